"""Is what was measured what was planned?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.lines.model import Measured, Path, Row

BANDWIDTH_SHARE = 0.8
"""The least part of the contracted rate that a transfer must reach on a guaranteed or reserved line: headers take 5 %,
the start of a short transfer the rest."""
ELSEWHERE = "cannot be measured from here: no host of {site} is simulated"


def evaluate(planned: Sequence[Path], measured: Mapping[Path, Measured]) -> tuple[Row, ...]:
    """Return a row per path; one that was not measured has a finding that says so."""
    return tuple(
        Row(path=path, measured=measured.get(path), findings=_findings(path, planned, measured)) for path in planned
    )


def _findings(path: Path, planned: Sequence[Path], measured: Mapping[Path, Measured]) -> tuple[str, ...]:
    found = measured.get(path)
    if found is None:
        return (ELSEWHERE.format(site=path.site),)
    rivals = [
        (other, measured[other]) for other in planned if other in measured and _same_lan(other, path) and other != path
    ]
    findings = [f"cut in the lab at the {place}" for place in found.cuts]
    if not found.office_known:
        findings.append("the carrier has no route to the office")
    if not found.services_known:
        findings.append("the carrier has no route to the services: the gateways announce none here")
    if not found.office_route:
        findings.append("the office has no route over this line")
    if path.targets and found.office_route and path.role == "main" and not found.carries:
        findings.append("carries nothing, although the office has a route over it")
    if path.role == "backup" and found.carries:
        mains = [other.line for other, seen in rivals if other.role == "main" and seen.office_route]
        findings += [f"carries traffic while {line} is there" for line in mains]
    if path.targets and path.role == "main" and not found.carries and not any(seen.carries for _, seen in rivals):
        findings.append("no line carries this LAN's traffic")
    findings += [f"{service} does not answer" for service in found.silent]
    if found.office_known and None in (found.mbps_up, found.mbps_down):
        findings.append("a transfer between the office and the carrier failed")
    findings += _bandwidth(path, found)
    return tuple(findings)


def _same_lan(one: Path, other: Path) -> bool:
    return (one.lan, one.site) == (other.lan, other.site)


def _bandwidth(path: Path, found: Measured) -> list[str]:
    """A best-effort line promises no rate."""
    if path.line_class == "best_effort":
        return []
    least = BANDWIDTH_SHARE * path.mbps
    return [
        f"{mbps:.0f} Mbit/s {direction}, less than {least:.0f} of the {path.mbps} contracted"
        for mbps, direction in ((found.mbps_up, "up"), (found.mbps_down, "down"))
        if mbps is not None and mbps < least
    ]

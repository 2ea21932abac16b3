"""The declared recovery time against what the configured timers allow at best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.declaration.findings import Problem
from infra.declaration.model import Declaration, Line
from network import timers


def check_recovery(declaration: Declaration) -> Iterator[Problem]:
    """No redundant layer takes longer to serve again than the service level agreement allows."""
    if declaration.sla is None:
        return
    allowed = declaration.sla.recovery_hours * 3600
    for layer, seconds in _worst(declaration).items():
        if seconds > allowed:
            message = (
                f"the layer {layer} serves again after {seconds:.1f} s at worst, by its timers; {allowed:g} s are "
                f"declared, so declare a longer time"
            )
            yield Problem(("sla", "recovery_hours"), message)


def _worst(declaration: Declaration) -> Mapping[str, float]:
    """Return the longest computed time of each layer that has somebody to take over, as the plan prints it."""
    profile = timers.PROFILES[declaration.availability.timers]
    found = {"gateway": timers.gateway_takeover_s(profile)}
    backed = {(line.member, line.site) for line in declaration.lines if line.role == "backup"}
    mains = [line for line in declaration.lines if line.role == "main" and (line.member, line.site) in backed]
    if mains:
        found["line"] = max(_line_s(profile, line) for line in mains)
    nodes = [service.nodes for service in declaration.services]
    if any("application" in roles and roles["application"].count > 1 for roles in nodes):
        takeover = timers.vrrp_takeover_s(profile, backup_rank=1)
        found["application"] = max(takeover, timers.backend_detection_s(profile))
    if any("database" in roles and roles["database"].count > 1 for roles in nodes):
        database = profile.database
        found["database"] = timers.patroni_frozen_s(database)
    return found


def _line_s(profile: timers.Timers, line: Line) -> float:
    """Return the longest time of one line; where the lab makes the hand-off, it has BFD."""
    handoffs = list(line.handoff.values()) if line.handoff else []
    ways = [(handoff.bfd, handoff.hold_s) for handoff in handoffs if handoff.routing == "bgp" or handoff.bfd]
    seconds = [timers.line_recovery_s(profile, bfd=bfd, hold_s=hold_s) for bfd, hold_s in ways]
    return max(seconds, default=timers.line_recovery_s(profile, bfd=True, hold_s=None))

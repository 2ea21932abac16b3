"""The isolation audit of large groups: every ordered pair of a declaration, and the rules of every machine.

The rules are loaded by the kernel in sandboxes, which is not part of the figures; reading them back is. What grows is
measured one thing at a time, in processor seconds, since other work on the machine does not change those.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from infra.audit import check, sandbox
from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.render import nftables, render_all
from tests.bench import growth, netpol, network, timing

TARGETS = (31, 100)
"""The second largest real group, and the size that the target names; three zones each."""
PICTURE = pathlib.Path(".kumiai/bench/audit-growth.svg")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A group: every member has every zone, and a machine for each service of each zone."""

    members: int
    zones: int = len(network.ZONES)
    services_per_zone: int = 1
    ports: int = 1
    """Of each service."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Groups that differ in one thing."""

    title: str
    axis: str
    """What of the measured is counted along the picture's x axis."""
    sizes: Sequence[Size]


SERIES = (
    Series(title="members", axis="members", sizes=[Size(members=count) for count in (10, 31, 100, 200)]),
    Series(title="rules", axis="rules", sizes=[Size(members=10, ports=count) for count in (1, 4, 16, 64)]),
    Series(title="segments (zones)", axis="segments", sizes=[Size(members=31, zones=count) for count in (1, 2, 3)]),
    Series(
        title="services",
        axis="services",
        sizes=[Size(members=10, services_per_zone=count) for count in (1, 2, 4, 8)],
    ),
)


def declaration(size: Size) -> Declaration:
    """Return what a stack file of ``size`` would say."""
    return network.large_group(size.members, size.services_per_zone, network.ZONES[: size.zones], size.ports)


def group(size: Size) -> Plan:
    """Return the plan of ``size``."""
    return builder.build("bench", declaration(size), Lock(stack="bench"), network.DAY, clock=time.perf_counter).plan


def main() -> None:
    """Measure each size in a process of its own, for its memory; then ask another program the same question."""
    known: dict[Size, Mapping[str, float]] = {}
    for series in SERIES:
        for size in series.sizes:
            if size not in known:
                known[size] = _apart(size)
                _targets(size, known[size])
    curves = [
        growth.Curve(
            title=series.title,
            level=level,
            points=tuple((known[size][series.axis], known[size][f"{level}_cpu_s"]) for size in series.sizes),
        )
        for series in SERIES
        for level in ("declared", "rules")
    ]
    growth.table(curves)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(growth.drawing(curves), encoding="utf-8")
    print(f"picture: {PICTURE}", flush=True)
    netpol.main()


def _apart(size: Size) -> Mapping[str, float]:
    argv = (sys.executable, "-m", "tests.bench.audit", json.dumps(dataclasses.asdict(size)))
    done = subprocess.run(argv, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


def _targets(size: Size, found: Mapping[str, float]) -> None:
    if size not in {Size(members=count) for count in TARGETS}:
        return
    what = f"audit: {size.members} members × 3 zones, {found['pairs']} ordered pairs"
    target = "< 1 s, < 200 MiB more" if size.members == TARGETS[-1] else "-"
    timing.line(what, f"{found['declared_s']:.2f} s, {found['declared_mib']:.0f} MiB", target)
    what = f"  rules of {found['machines']} machines ({found['rules']}) against it"
    timing.line(what, f"{found['rules_s']:.2f} s, {found['rules_mib']:.0f} MiB", "-")


def measure(size: Size) -> dict[str, float]:
    """Return how much there is, and for both levels seconds by the clock, processor seconds and peak MiB more."""
    plan = group(size)
    with timing.work() as declared_work:
        declared = check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))
    cards = {node.name: [card.name for card in node.interfaces] for node in plan.network.nodes}
    texts = {name: files[nftables.RULES] for name, files in render_all(plan.network).items()}
    listings = sandbox.load_texts(texts, cards)
    with timing.work() as rules_work:
        rules = check.audit_rules(plan, listings)
    if (declared.verdict, rules.verdict) != ("pass", "pass"):
        raise AssertionError(f"declared {declared.verdict}, rendered {rules.verdict}")
    return {
        "members": len(plan.members),
        "segments": len(plan.network.segments),
        "services": len(plan.network.endpoints),
        "pairs": declared.examined.pairs,
        "machines": rules.examined.machines,
        "rules": rules.examined.rules,
        "declared_s": declared_work.seconds,
        "declared_cpu_s": declared_work.cpu_s,
        "declared_mib": declared_work.peak_mib,
        "rules_s": rules_work.seconds,
        "rules_cpu_s": rules_work.cpu_s,
        "rules_mib": rules_work.peak_mib,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Size(**json.loads(sys.argv[1])))))

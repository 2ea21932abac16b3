"""The isolation audit of large groups: every ordered pair of a declaration, and the rules of every machine.

The rules are loaded by the kernel in sandboxes, which is not part of the figures; reading them back is.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import time

from infra.audit import check, sandbox
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.render import nftables, render_all
from tests.bench import network, timing

MEMBERS = (31, 100)
"""The second largest real group, and the size that the target names; three zones each."""
DAY = datetime.date(2026, 4, 1)


def group(members: int) -> Plan:
    """Return the plan of ``members`` × 3 zones with one service of each member's own in each zone."""
    declared = network.large_group(members, services_per_zone=1)
    return builder.build("bench", declared, Lock(stack="bench"), DAY, clock=time.perf_counter).plan


def main() -> None:
    """Measure each size in a process of its own, for its memory."""
    for members in MEMBERS:
        argv = (sys.executable, "-m", "tests.bench.audit", str(members))
        done = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True)
        found = json.loads(done.stdout)
        what = f"audit: {members} members × 3 zones, {found['pairs']} ordered pairs"
        target = "< 1 s, < 200 MiB more" if members == MEMBERS[-1] else "-"
        timing.line(what, f"{found['declared_s']:.2f} s, {found['declared_mib']:.0f} MiB", target)
        what = f"  rules of {found['machines']} machines ({found['rules']}) against it"
        timing.line(what, f"{found['rules_s']:.2f} s, {found['rules_mib']:.0f} MiB", "-")


def measure(members: int) -> dict[str, float]:
    """Return seconds and MiB of both levels."""
    plan = group(members)
    before = _memory_mib()
    begun = time.perf_counter()
    declared = check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))
    declared_s, declared_mib = time.perf_counter() - begun, _memory_mib() - before
    cards = {node.name: [card.name for card in node.interfaces] for node in plan.network.nodes}
    texts = {name: files[nftables.RULES] for name, files in render_all(plan.network).items()}
    listings = sandbox.load_texts(texts, cards)
    before = _memory_mib()
    begun = time.perf_counter()
    rules = check.audit_rules(plan, listings)
    rules_s, rules_mib = time.perf_counter() - begun, _memory_mib() - before
    if (declared.verdict, rules.verdict) != ("pass", "pass"):
        raise AssertionError(f"declared {declared.verdict}, rendered {rules.verdict}")
    return {
        "pairs": declared.examined.pairs,
        "machines": rules.examined.machines,
        "rules": rules.examined.rules,
        "declared_s": declared_s,
        "declared_mib": declared_mib,
        "rules_s": rules_s,
        "rules_mib": rules_mib,
    }


def _memory_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))

"""Plans and audits for the tests of reports."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import pathlib
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import infra.plan
from infra.audit import check, sandbox
from infra.audit.model import Audit, Level, Packet, TwoStep, UnusedRule, Violation
from infra.declaration.model import Declaration
from infra.plan import build
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.render import nftables, render_all
from tests.plan import factory

ROOT = pathlib.Path(__file__).parents[2]
DAY = datetime.date(2026, 4, 1)


@functools.cache
def demo() -> Plan:
    return infra.plan.compute(ROOT / "stacks" / "demo.yaml", DAY).plan


@functools.cache
def large(members: int = 31) -> Plan:
    """31 members with two lines each, a shared service, one of their own, and a third zone."""
    found = factory.data(members)
    found["group"] = {"name": "large", "title": f"{members}団体の共同利用"}
    found["members"] = [factory.member(n, ("mynumber", "lgwan", "internet")) for n in range(1, members + 1)]
    found["lines"] = [
        {
            **factory.line(n, role, ("mynumber", "lgwan", "internet")),
            "handoff": {zone: _handoff(6 * n + 3 * r + z) for z, zone in enumerate(("mynumber", "lgwan", "internet"))},
        }
        for n in range(1, members + 1)
        for r, role in enumerate(("main", "backup"))
    ]
    found["services"] = [
        factory.service("juki", "multi_tenant", "mynumber", title="住民情報"),
        factory.service("zaimu", "mixed", "lgwan", title="財務会計"),
        factory.service("jinji", "mixed", "lgwan", title="人事給与", runs_on="zaimu", nodes={}, listen=["tcp/8443"]),
        factory.service("koho", "mixed", "internet", title="広報"),
    ]
    found["flows"] = [
        {
            "from": "service:juki@each_member", "to": "service:zaimu", "allow": ["tcp/8443"], "kind": "specific",
            "reason": "住民税の収納連携", "approved_by": "情報政策課", "expires": "2026-05-31",
        }
    ]  # fmt: skip
    found["hosts"] = [factory.host(number) for number in range(1, 21)]
    declared_ = Declaration.model_validate(found)
    return build.build("large", declared_, Lock(stack="large"), DAY, clock=time.perf_counter).plan


def _handoff(number: int) -> factory.Data:
    """Return a hand-off in 100.64.0.0/10 (RFC 6598), which is neither an office's nor the cloud's."""
    first = int(IPv4Address("100.64.0.0")) + 8 * number
    peer, one, other, vip = (str(IPv4Address(first + host)) for host in range(1, 5))
    return {"prefix": f"{IPv4Address(first)}/29", "peer": peer, "local": [one, other], "vip": vip, "routing": "static"}


@functools.cache
def _declared(plan_of: Callable[[], Plan]) -> Audit:
    plan = plan_of()
    return check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))


def audit(plan_of: Callable[[], Plan] = demo, level: Level = "declared", **more: Any) -> Audit:
    """Return the declared level of a plan; of another level, what it would be if that found just the same.

    ``more`` replaces fields.
    """
    found = _declared(plan_of)
    if level != "declared":
        looked = dataclasses.replace(found.examined, rules=100)
        inputs = {name: f"sha256:{name:0>64}" for name in plan_of().network.node_by_name}
        found = dataclasses.replace(found, level=level, examined=looked, inputs=inputs)
    return dataclasses.replace(found, **more)


@functools.cache
def rendered(plan_of: Callable[[], Plan] = demo) -> Audit:
    """Return the rendered level; needs what a sandbox needs."""
    network = plan_of().network
    cards = {node.name: [card.name for card in node.interfaces] for node in network.nodes}
    texts = {name: files[nftables.RULES] for name, files in render_all(network).items()}
    return check.audit_rules(plan_of(), sandbox.load_texts(texts, cards))


VIOLATION = Violation(
    kind="not_declared",
    severity="critical",
    level="rendered",
    source="office:nishiki/mynumber",
    target="office:tsuno/mynumber",
    packet=Packet(protocol="tcp", source="10.1.0.1", destination="10.2.0.1", port=445),
    path=("office:nishiki/mynumber", "dc1-gw1a forward seg9", "office:tsuno/mynumber"),
    rule="dc1-gw1a: chain forward: tcp dport 445 accept",
    reason="nothing declares it",
)
TWO_STEP = TwoStep(
    source="office:nishiki/mynumber",
    through="juki-ap1",
    target="service:zaimu-tsuno",
    members=("nishiki", "tsuno"),
    zones=("lgwan", "mynumber"),
)
UNUSED = UnusedRule(machine="dc1-gw1b", rule="chain forward: element 7", reason="no possible packet reaches it")

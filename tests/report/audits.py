"""Audits for the tests of reports: what a plan declares, as a level would find it, without any rules behind it."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import pathlib
import time
from collections import defaultdict
from ipaddress import IPv4Address

import infra.plan
from infra.audit.declared import Allowed, declared
from infra.audit.model import (
    Audit,
    Control,
    Examined,
    FlowReference,
    Level,
    Packet,
    PacketRange,
    Pair,
    Passing,
    TwoStep,
    UnusedRule,
    Violation,
)
from infra.audit.topology import Topology
from infra.declaration.model import Declaration
from infra.plan import build, document
from infra.plan.lock import Lock
from infra.plan.model import Plan
from tests.plan import factory

ROOT = pathlib.Path(__file__).parents[2]
DAY = datetime.date(2026, 4, 1)
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


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


def audit(plan: Plan, level: Level = "declared", **more: object) -> Audit:
    """Return a level that found exactly what ``plan`` declares; ``more`` replaces fields."""
    topology = Topology(plan.network)
    pairs: dict[tuple[str, str], dict[tuple[FlowReference, tuple[str, ...]], set[PacketRange]]] = defaultdict(dict)
    for one in declared(plan.network).allowed:
        if one.target is None:
            continue
        target = topology.who(one.target_segment, int(one.target))
        for prefix in one.sources:
            for segment in one.source_segments:
                source = topology.who(segment, int(prefix.network_address))
                path = (source, *_through(topology, one, segment), target)
                here = pairs[source, target].setdefault((one.flow, path), set())
                here.add(
                    PacketRange(
                        protocol=_PROTOCOLS.get(one.protocol, str(one.protocol)),
                        sources=str(prefix.network_address) if prefix.prefixlen == 32 else str(prefix),
                        destinations=str(one.target),
                        ports=_ports(one),
                    )
                )
    rendered = level != "declared"
    found = Audit(
        stack=plan.stack,
        title=plan.title,
        level=level,
        as_of=plan.as_of,
        digest=document.document(plan)["digest"],
        inputs={f"{node.name}/etc/nftables.conf": f"sha256:{node.name:0>64}" for node in plan.nodes}
        if rendered
        else {},
        examined=Examined(
            pairs=topology.pairs,
            classes=len(topology.classes),
            rules=100 if rendered else 0,
            packet_classes=1000 if rendered else 0,
            machines=len(plan.nodes),
        ),
        endpoints=topology.endpoints,
        classes=topology.classes,
        pairs=tuple(
            Pair(
                source=source,
                target=target,
                passing=tuple(
                    Passing(packets=tuple(sorted(ranges)), flow=flow, path=path)
                    for (flow, path), ranges in passing.items()
                ),
            )
            for (source, target), passing in sorted(pairs.items())
        ),
        violations=(),
        missing=(),
        unused_rules=(),
        two_steps=(),
        expiring=(),
        controls=CONTROLS,
    )
    return dataclasses.replace(found, **more)  # type: ignore[arg-type]  # a test knows the fields


def _through(topology: Topology, one: Allowed, segment: str) -> tuple[str, ...]:
    if segment == one.target_segment:
        return ()
    machines = topology.machines_by_segment
    return tuple(m.name for m in machines[segment] if m.forwards and m in machines[one.target_segment])[:1]


def _ports(one: Allowed) -> str:
    if one.protocol == 1:
        return "8"
    if one.ports is None:
        return "any"
    first, last = one.ports
    return str(first) if first == last else f"{first}-{last}"


CONTROLS = (
    Control(
        id="CLD.9.5.1",
        framework="ISO/IEC 27017:2015",
        title="Segregation in virtual computing environments",
        title_ja="仮想コンピューティング環境における分離",
        status="met",
        evidence="no packet passes between members",
        evidence_ja="団体の間を通るパケットはない",
    ),
    Control(
        id="SC-7(5)",
        framework="NIST SP 800-53 Rev. 5",
        title="Deny by Default — Allow by Exception",
        title_ja="既定拒否・例外許可",
        status="met",
        evidence="the default of every filter is drop",
        evidence_ja="どのフィルタも既定は破棄",
    ),
)
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

"""A small plan made by hand: three hosts, two members, a shared gateway, lines over LGWAN and an IP-VPN."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.plan.model import Host, Node, PlacementSummary, Plan
from network.model import (
    Handoff,
    Interface,
    Line,
    NetworkNode,
    NetworkPlan,
    OfficeLan,
    Segment,
)

ZONES = ("mynumber", "lgwan")
MEMBERS = ("nishiki", "tsuno")
HOSTS = ("kvm01", "kvm02", "kvm03")


def small_plan(
    stack: str = "small", *, members: Sequence[str] = MEMBERS, hosts: Sequence[str] = HOSTS, bgp: bool = False
) -> Plan:
    """Return the plan; ``members`` and ``hosts`` may be fewer, hand-offs are routed statically or by BGP."""
    tag = sum(stack.encode()) % 4096
    segments = [
        _segment(tag, 1, "management-dc1", "management", None, (), "172.16.0.0/26"),
        _segment(tag, 2, "juki", "service", "mynumber", tuple(members), "172.16.1.0/26"),
    ]
    lines: list[Line] = []
    offices: list[OfficeLan] = []
    for m, member in enumerate(members):
        for r, (role, net) in enumerate((("main", "lgwan"), ("backup", "vpn-a"))):
            handoffs = []
            for z, zone in enumerate(ZONES):
                number = 10 + 8 * m + 4 * r + z
                base = IPv4Network(f"198.51.{100 + m}.{64 * r + 8 * z}/29")
                name = f"{member}-{role}-{zone}"
                segments.append(_segment(tag, number, name, "line", zone, (member,), str(base)))
                handoffs.append(_handoff(zone, name, base, 64600 + r if bgp else None))
            lines.append(_line(member, role, net, handoffs))
        offices += [
            OfficeLan(member=member, office="honcho", zone=zone, prefixes=(IPv4Network(f"10.{m + 1}.{64 * z}.0/24"),))
            for z, zone in enumerate(ZONES)
        ]
    cards = [("gw", "gateway", [s.name for s in segments]), *((f"ap{n}", "application", ["juki"]) for n in (1, 2))]
    nodes = tuple(
        NetworkNode(
            name=name,
            role=role,
            service=None if role == "gateway" else "juki",
            members=tuple(members),
            zone="mynumber",
            site="dc1",
            routes=(),
            interfaces=tuple(
                _card(n, k, next(s for s in segments if s.name == segment))
                for k, segment in enumerate(dict.fromkeys(["management-dc1", *on]))
            ),
        )
        for n, (name, role, on) in enumerate(cards)
    )
    network = NetworkPlan(
        stack=stack,
        segments=tuple(segments),
        nodes=nodes,
        vips=(),
        offices=tuple(offices),
        lines=tuple(lines),
        endpoints=(),
        flows=(),
        stations={"dc1": IPv4Interface("172.16.0.1/26")},
    )
    return Plan(
        stack=stack,
        title="small",
        as_of=datetime.date(2026, 4, 1),
        members={member: member for member in members},
        services={"juki": "juki"},
        nodes=tuple(_node(node, hosts[n % len(hosts)]) for n, node in enumerate(nodes)),
        hosts=tuple(_host(host) for host in hosts),
        network=network,
        placement=PlacementSummary(hosts_used=3, lower_bound=3, optimal=True, seconds=0, minimum_hosts=()),
        survives=(),
        recovery=(),
        assumed=(),
        expired=(),
        log_activity_months=3,
        log_security_years=5,
    )


def with_host(plan: Plan, host: str, **changes: object) -> Plan:
    """Return ``plan`` with fields of ``host`` changed."""
    hosts = tuple(dataclasses.replace(h, **changes) if h.id == host else h for h in plan.hosts)  # type: ignore[arg-type]
    return dataclasses.replace(plan, hosts=hosts)


def _segment(  # noqa: PLR0917
    tag: int, number: int, name: str, kind: str, zone: str | None, members: tuple[str, ...], prefix: str
) -> Segment:
    return Segment(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        zone=zone,
        members=members,
        site="dc1",
        prefixes=(IPv4Network(prefix),),
        bridge=f"k{tag:05x}-{number}",
        vni=(tag << 12) | number,
    )


def _card(node: int, card: int, segment: Segment) -> Interface:
    address = IPv4Interface(f"{segment.prefix[2 + node]}/{segment.prefix.prefixlen}")
    name = "mgmt" if card == 0 else f"net{card}"
    mac = f"52:54:00:00:{node:02x}:{card:02x}"
    return Interface(segment=segment.name, name=name, mac=mac, addresses=(address,), isolated=card == 0)


def _handoff(zone: str, segment: str, base: IPv4Network, peer_as: int | None) -> Handoff:
    local: tuple[IPv4Address, ...] = (base[2], base[3])
    return Handoff(
        zone=zone,
        segment=segment,
        peer=base[1],
        local=local,
        vip=base[4],
        routing="static" if peer_as is None else "bgp",
        peer_as=peer_as,
        local_as=None if peer_as is None else 65010,
        hold_s=None if peer_as is None else 9,
        bfd=peer_as is not None,
    )


def _line(member: str, role: str, net: str, handoffs: list[Handoff]) -> Line:
    return Line(
        name=f"{member}-{role}",
        member=member,
        site="dc1",
        closed_network=net,
        closed_network_kind="lgwan" if net == "lgwan" else "ip_vpn",
        role=role,  # type: ignore[arg-type]
        line_class="guaranteed" if role == "main" else "best_effort",
        mbps=100,
        zones=ZONES,
        handoffs=tuple(handoffs),
    )


def _node(node: NetworkNode, host: str) -> Node:
    return Node(
        name=node.name,
        role=node.role,
        service=node.service,
        members=node.members,
        zone=node.zone,
        site=node.site,
        host=host,
        vcpus=1,
        memory_mib=512,
        data_gib=0,
        replica_sets=(),
        generation=1,
        image="test",
    )


def _host(host: str) -> Host:
    return Host(
        id=host,
        site="dc1",
        libvirt="lab",
        underlay=None,
        chassis=None,
        key=None,
        vcpus=8,
        vcpus_used=1,
        memory_mib=4096,
        memory_mib_used=512,
        storage_gib=40,
        storage_gib_used=4,
    )

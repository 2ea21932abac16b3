"""A small network to bend: two members, a multi-tenant service, a per-member one, one gateway, one site."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from network import ports
from network.model import (
    Flow,
    Handoff,
    Interface,
    Line,
    NetworkNode,
    NetworkPlan,
    OfficeLan,
    Segment,
    ServiceEndpoint,
    Vip,
)

MEMBERS = ("east", "west")


def segment(name: str, prefix: str, kind: Any, zone: str | None = None, members: tuple[str, ...] = ()) -> Segment:
    return Segment(
        name=name, kind=kind, zone=zone, members=members, site="dc1", prefixes=(IPv4Network(prefix),),
        bridge=name[:15], vni=1,
    )  # fmt: skip


def node(name: str, role: str, cards: dict[str, str], **more: Any) -> NetworkNode:
    """``cards``: segment → address with prefix length; the first is management."""
    return NetworkNode(
        name=name,
        role=role,
        service=more.get("service"),
        members=more.get("members", MEMBERS),
        zone=more.get("zone"),
        site="dc1",
        interfaces=tuple(
            Interface(
                segment=where,
                name="mgmt" if number == 0 else where[:15],
                mac=f"52:54:00:00:00:{number:02x}",
                addresses=(IPv4Interface(address),),
                isolated=number == 0,
            )
            for number, (where, address) in enumerate(cards.items())
        ),
        routes=more.get("routes", ()),
    )


def endpoint(
    service: str, member: str | None, where: str, application: tuple[str, ...], **more: Any
) -> ServiceEndpoint:
    return ServiceEndpoint(
        service=service,
        member=member,
        participants=more.get("participants", MEMBERS if member is None else (member,)),
        zone=more.get("zone", "lgwan"),
        site="dc1",
        segment=where,
        vip=f"service/{service}" + (f"-{member}" if member else ""),
        listen=(ports.parse("tcp/443"),),
        application=application,
        database=more.get("database", ()),
        load_balancer=more.get("load_balancer", ()),
        witness=(),
    )


def vip(name: str, where: str, address: str, *nodes: str) -> Vip:
    return Vip(name=name, segment=where, address=IPv4Interface(address), nodes=nodes, vrid=1)


def flow(source: str, target: str, *allow: str, kind: str = "specific") -> Flow:
    return Flow(
        source=source, target=target, allow=tuple(ports.parse(p) for p in allow or ("tcp/443",)), kind=kind, reason="r"
    )


def line(member: str, index: int, **more: Any) -> Line:
    base = f"192.0.2.{8 * index}"
    first = IPv4Address(base)
    return Line(
        name=f"{member}-main", member=member, site="dc1", closed_network="lgwan", closed_network_kind="lgwan",
        role="main", line_class="guaranteed", mbps=100, zones=("lgwan",),
        handoffs=(
            Handoff(
                zone=more.get("zone", "lgwan"), segment=f"{member}-line", peer=first + 1, local=(first + 2, first + 3),
                vip=first + 4, routing=more.get("routing", "static"), peer_as=None, local_as=None, hold_s=None,
                bfd=False,
            ),
        ),
    )  # fmt: skip


def network(*flows: Flow, **more: Any) -> NetworkPlan:
    """Services ``shared`` (for both) and ``own`` (one set each) in the zone lgwan; keywords replace parts."""
    gateway = node(
        "gw", "gateway",
        {"management": "10.0.0.2/24", "east-line": "192.0.2.2/29", "west-line": "192.0.2.10/29",
         "common": "10.0.1.2/24", "east": "10.0.2.2/24", "west": "10.0.3.2/24"},
    )  # fmt: skip
    parts: dict[str, Any] = {
        "stack": "small",
        "segments": (
            segment("management", "10.0.0.0/24", "management"),
            segment("east-line", "192.0.2.0/29", "line", "lgwan", ("east",)),
            segment("west-line", "192.0.2.8/29", "line", "lgwan", ("west",)),
            segment("common", "10.0.1.0/24", "service", "lgwan", MEMBERS),
            segment("east", "10.0.2.0/24", "tenant", "lgwan", ("east",)),
            segment("west", "10.0.3.0/24", "tenant", "lgwan", ("west",)),
        ),
        "nodes": (
            gateway,
            node("shared-ap1", "application", {"management": "10.0.0.3/24", "common": "10.0.1.11/24"}),
            node("shared-ap2", "application", {"management": "10.0.0.4/24", "common": "10.0.1.12/24"}),
            node("own-east-ap1", "application", {"management": "10.0.0.5/24", "east": "10.0.2.11/24"}),
            node("own-west-ap1", "application", {"management": "10.0.0.6/24", "west": "10.0.3.11/24"}),
        ),
        "vips": (
            vip("service/shared", "common", "10.0.1.10/24", "shared-ap1", "shared-ap2"),
            vip("service/own-east", "east", "10.0.2.10/24", "own-east-ap1"),
            vip("service/own-west", "west", "10.0.3.10/24", "own-west-ap1"),
        ),
        "offices": tuple(
            OfficeLan(member=member, office="hall", zone="lgwan", prefixes=(IPv4Network(f"10.{number}.0.0/24"),))
            for number, member in enumerate(MEMBERS, 1)
        ),
        "lines": (line("east", 0), line("west", 1)),
        "endpoints": (
            endpoint("shared", None, "common", ("shared-ap1", "shared-ap2")),
            endpoint("own", "east", "east", ("own-east-ap1",)),
            endpoint("own", "west", "west", ("own-west-ap1",)),
        ),
        "flows": flows,
        "stations": {"dc1": IPv4Interface("10.0.0.1/24")},
    }
    return NetworkPlan(**{**parts, **more})

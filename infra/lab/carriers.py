"""The carriers: provider edges of closed networks, from the hand-offs in the data center to the offices.

An ``ip_vpn`` (and every other private network) has one namespace per member: a namespace is a VRF. LGWAN is one
shared routed network of all members, as in reality, and must not become a path between them. Two things prevent it:

- *Routing by where a packet came in.* Every hand-off has two tables: one for what comes from the offices of its line
  and zone (everything to the gateways' virtual address), one for what comes from the gateways (only the office
  prefixes of this member and zone). No table knows another member's or zone's offices, and the same office prefix at
  two members does no harm.
- *Forwarding only between a hand-off and its own access links*; all other pairs of interfaces are dropped.

So whatever an office sends, and wherever to, arrives at the gateways at the hand-off of its own line and zone, and it
is the gateways' rules that let it pass or not. Source addresses are not filtered here: gateways must not rely on it.
"""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Interface, IPv4Network

from infra.lab import places, underlay
from infra.lab.drawing import EVERYWHERE, Cable, Drawing, Namespace, Port, Selection, Way
from infra.plan.model import Plan
from network.errors import InputError
from network.model import Handoff, Line, OfficeLan

SHARED_KINDS = frozenset({"lgwan"})
"""Kinds of closed networks that are one routed network for all members."""
ACCESS = IPv4Network("100.65.0.0/16")
"""Point-to-point links of 31 bits (RFC 3021) between provider edges and offices."""
FIRST_TABLE = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccessLink:
    """The part of a line between a provider edge and one office, for one zone."""

    line: Line
    lan: OfficeLan
    carrier: Port
    office: Port


def namespace_of(stack: str, line: Line) -> str:
    """Return the provider edge of ``line``."""
    if line.closed_network_kind in SHARED_KINDS:
        return places.namespace(stack, "carrier", line.closed_network)
    return places.namespace(stack, "carrier", line.closed_network, line.member)


def access_links(plan: Plan) -> tuple[AccessLink, ...]:
    """Return all access links, in the order of lines, zones and offices."""
    wanted = tuple(
        (line, lan)
        for line in plan.network.lines
        if line.site in underlay.lab_sites(plan)
        for zone in line.zones
        for lan in plan.network.offices
        if lan.member == line.member and lan.zone == zone
    )
    pairs = ACCESS.subnets(new_prefix=31)
    return tuple(_access_link(plan.stack, line, lan, pair) for (line, lan), pair in zip(wanted, pairs, strict=False))


def office_interface(line: Line, zone: str) -> str:
    """Return the name of the line's interface in an office."""
    return places.interface("m" if line.role == "main" else "b", line.name, zone)


def draw(plan: Plan) -> Drawing:
    """Return the provider edges, plugged into the access switches of the data centers and into the offices."""
    links = access_links(plan)
    drafts: dict[str, list[Namespace]] = {}
    cables: list[Cable] = []
    table = FIRST_TABLE
    for line in plan.network.lines:
        if line.site not in underlay.lab_sites(plan):
            continue
        for handoff in line.handoffs:
            here = tuple(link for link in links if link.line is line and handoff.zone in (None, link.lan.zone))
            port = _handoff_port(plan, line, handoff)
            drafts.setdefault(port.namespace, []).append(_routing(port, handoff, here, table))
            cables.append(_handoff_cable(plan, line, handoff, port))
            table += 2
    for link in links:
        cables.append(
            Cable(ends=(link.carrier, link.office), about=f"{link.line.name} {link.lan.office}/{link.lan.zone}")
        )
    return Drawing(namespaces=tuple(_merged(name, parts) for name, parts in drafts.items()), cables=tuple(cables))


def _access_link(stack: str, line: Line, lan: OfficeLan, pair: IPv4Network) -> AccessLink:
    def end(namespace: str, name: str, number: int) -> Port:
        return Port(namespace=namespace, name=name, addresses=(IPv4Interface((pair[number], 31)),))

    return AccessLink(
        line=line,
        lan=lan,
        carrier=end(namespace_of(stack, line), places.interface("a", line.name, lan.office, lan.zone), 0),
        office=end(places.namespace(stack, "office", lan.member, lan.office), office_interface(line, lan.zone), 1),
    )


def _handoff_port(plan: Plan, line: Line, handoff: Handoff) -> Port:
    prefix = plan.network.segment_by_name[handoff.segment].prefix
    if handoff.peer not in prefix:
        raise InputError(f"line {line.name}: the carrier's address {handoff.peer} is not in the hand-off's {prefix}")
    return Port(
        namespace=namespace_of(plan.stack, line),
        name=places.interface("h", handoff.segment),
        addresses=(IPv4Interface((handoff.peer, prefix.prefixlen)),),
    )


def _handoff_cable(plan: Plan, line: Line, handoff: Handoff, port: Port) -> Cable:
    segment = plan.network.segment_by_name[handoff.segment]
    switch = underlay.namespace_of(plan.stack, underlay.edge(line.site))
    plug = Port(namespace=switch, name=port.name, bridge=segment.bridge)
    return Cable(ends=(plug, port), about=f"hand-off {handoff.segment}")


def _routing(port: Port, handoff: Handoff, links: tuple[AccessLink, ...], table: int) -> Namespace:
    """Return the routing of one hand-off: ``table`` from the offices to it, the next one from it to the offices."""
    to_offices = table + 1
    return Namespace(
        name=port.namespace,
        forwards=tuple((port.name, link.carrier.name) for link in links),
        ways=(
            Way(prefix=EVERYWHERE, via=handoff.vip, table=table),
            *(
                Way(prefix=prefix, via=link.office.addresses[0].ip, table=to_offices)
                for link in links
                for prefix in link.lan.prefixes
            ),
            Way(prefix=EVERYWHERE, via=None, table=to_offices),
        ),
        selections=(
            Selection(interface=port.name, table=to_offices),
            *(Selection(interface=link.carrier.name, table=table) for link in links),
        ),
    )


def _merged(name: str, parts: list[Namespace]) -> Namespace:
    return Namespace(
        name=name,
        forwards=tuple(pair for part in parts for pair in part.forwards),
        ways=tuple(way for part in parts for way in part.ways),
        selections=tuple(selection for part in parts for selection in part.selections),
    )

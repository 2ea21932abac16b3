"""The carriers: from the hand-offs in the data center to the offices.

A packet's way over one line, from left to right, with the places where `faults` can cut it::

    gateways ══ hand-off ══ provider edge ══ carrier ══ core ══ access ══ office router

- A *provider edge* stands behind every hand-off. It speaks BGP with the gateways and with the offices of its member
  and zone. The lab's kernel has no VRF, so a VRF is a namespace with a routing daemon of its own: one per line and
  zone, for every kind of closed network. It knows the offices of one member and zone and nothing else, so the same
  office prefix at two members does no harm, and what an office sends arrives at the gateways at the hand-off of its
  own line and zone.
- A *core* is the carrier's transport. LGWAN has one, shared by all members, as in reality; an ``ip_vpn`` and every
  other private network has one per member. It runs no routing daemon, because its routes would be a path between the
  members: it knows the way from an access link to its provider edge and back, in a table per interface, and forwards
  between these pairs of interfaces only. The sessions between office and provider edge cross it as in a carrier's
  network.

A line carries what was contracted, no more: the cable between provider edge and core is limited in both directions, for
each zone by itself.

A hand-off with ``routing: static`` has no session with the gateways: its edge is told what lies behind them.

The edge of a ``tunnel`` is the Internet and the far end's router in one. It has an interface for the tunnel of each
gateway, with a session inside; `tunnels` says who is behind them.

What a provider edge has learned no route for goes to the gateways' virtual address all the same (routing table
``default``, which the kernel asks last): an office that sends to places it has no business with must be stopped by
the gateways' rules, not by luck. Source addresses are not filtered here either: gateways must not rely on it.
"""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.lab import places, underlay
from infra.lab.drawing import DEFAULT, EVERYWHERE, Cable, Drawing, Namespace, Port, Redirect, Selection, Way
from infra.plan.model import Plan
from network.errors import InputError
from network.model import Handoff, Line, OfficeLan

SHARED_KINDS = frozenset({"lgwan"})
"""Kinds of closed networks that are one routed network for all members."""
ACCESS = IPv4Network("100.65.0.0/16")
"""Point-to-point links of 31 bits (RFC 3021) between cores and offices."""
TRUNKS = IPv4Network("100.66.0.0/16")
"""The same between provider edges and cores."""
BESIDE = IPv4Network("100.67.0.0/30")
"""The same between a provider edge and the far ends of its tunnels; nobody else sees them, so all edges share it."""
FIRST_TABLE = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FarEnd:
    """The far end of one gateway's tunnel: an IKE daemon in a namespace of its own, beside the provider edge."""

    gateway: IPv4Address
    """Outer address of the gateway."""
    outer: IPv4Address
    """Its own, as the gateway knows it."""
    near: Port
    """At the provider edge."""
    daemon: Port
    """The other end of the same cable."""
    interface: str
    """The tunnel's interface, in the provider edge."""
    inner: IPv4Interface
    """Its own address inside the tunnel."""
    gateway_inner: IPv4Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The provider edge of one hand-off."""

    line: Line
    handoff: Handoff
    switch: Port
    """At the access switch of the data center."""
    outside: Port
    """Towards the gateways."""
    inside: Port
    """Towards the core."""
    core: Port
    far_ends: tuple[FarEnd, ...] = ()
    """Of a hand-off with tunnels, in the order of its gateways."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AccessLink:
    """The part of a line between the core and one office, for one zone."""

    edge: Edge
    lan: OfficeLan
    core: Port
    office: Port

    @property
    def line(self) -> Line:
        """The line that it is a part of."""
        return self.edge.line


def core_of(stack: str, line: Line) -> str:
    """Return the namespace of the core that carries ``line``."""
    if line.closed_network_kind in SHARED_KINDS:
        return places.namespace(stack, "carrier", line.closed_network)
    return places.namespace(stack, "carrier", line.closed_network, line.member)


def edge_of(stack: str, line: Line, handoff: Handoff) -> str:
    """Return the namespace of a hand-off's provider edge."""
    return places.namespace(stack, "pe", line.name, handoff.zone or "all")


def edges(plan: Plan) -> tuple[Edge, ...]:
    """Return all provider edges of simulated sites, in the order of lines and hand-offs."""
    wanted = tuple(
        (line, handoff)
        for line in plan.network.lines
        if line.site in underlay.lab_sites(plan)
        for handoff in line.handoffs
    )
    pairs = TRUNKS.subnets(new_prefix=31)
    return tuple(_edge(plan, line, handoff, pair) for (line, handoff), pair in zip(wanted, pairs, strict=False))


def access_links(plan: Plan) -> tuple[AccessLink, ...]:
    """Return all access links, in the order of lines, zones and offices."""
    wanted = tuple(
        (edge, lan)
        for edge in edges(plan)
        for zone in edge.line.zones
        if edge.handoff.zone in (None, zone)
        for lan in plan.network.offices
        if lan.member == edge.line.member and lan.zone == zone
    )
    pairs = ACCESS.subnets(new_prefix=31)
    return tuple(_access_link(plan.stack, edge, lan, pair) for (edge, lan), pair in zip(wanted, pairs, strict=False))


def office_router(stack: str, lan: OfficeLan) -> str:
    """Return the namespace of the router of an office's LAN."""
    return places.namespace(stack, "office", lan.member, lan.office, lan.zone)


def draw(plan: Plan) -> Drawing:
    """Return cores and provider edges, plugged into the access switches of the data centers and into the offices."""
    links = access_links(plan)
    namespaces: list[Namespace] = []
    cores: dict[str, list[Namespace]] = {}
    cables: list[Cable] = []
    for number, edge in enumerate(edges(plan)):
        here = tuple(link for link in links if link.edge == edge)
        namespaces.append(_edge_router(plan, edge, here))
        part = _transport(edge, here, FIRST_TABLE + 2 * number)
        cores.setdefault(part.name, []).append(part)
        cables.append(Cable(ends=(edge.switch, edge.outside), about=f"hand-off {edge.handoff.segment}"))
        for far in edge.far_ends:
            namespaces.append(
                Namespace(name=far.daemon.namespace, ways=(Way(prefix=EVERYWHERE, via=far.near.addresses[0].ip),))
            )
            cables.append(Cable(ends=(far.near, far.daemon), about=f"tunnel of {edge.handoff.segment}"))
        about = f"carrier of {edge.handoff.segment}"
        cables.append(Cable(ends=(edge.inside, edge.core), about=about, rate_mbps=edge.line.mbps))
    for link in links:
        about = f"{link.line.name} {link.lan.office}/{link.lan.zone}"
        cables.append(Cable(ends=(link.core, link.office), about=about))
    namespaces += [_merged(name, parts) for name, parts in cores.items()]
    return Drawing(namespaces=tuple(namespaces), cables=tuple(cables))


def data_center_prefixes(plan: Plan, edge: Edge) -> tuple[IPv4Network, ...]:
    """Return what lies behind a hand-off: the segments of the member's businesses in its zones, sorted."""
    zones = edge.line.zones if edge.handoff.zone is None else (edge.handoff.zone,)
    return tuple(
        sorted(
            prefix
            for segment in plan.network.segments
            if segment.kind in ("tenant", "service")
            and segment.site == edge.line.site
            and segment.zone in zones
            and edge.line.member in segment.members
            for prefix in segment.prefixes
        )
    )


def _edge(plan: Plan, line: Line, handoff: Handoff, pair: IPv4Network) -> Edge:
    segment = plan.network.segment_by_name[handoff.segment]
    if handoff.peer not in segment.prefix:
        raise InputError(
            f"line {line.name}: the carrier's address {handoff.peer} is not in the hand-off's {segment.prefix}"
        )
    here, name = edge_of(plan.stack, line, handoff), places.interface("h", handoff.segment)
    address = IPv4Interface((handoff.peer, segment.prefix.prefixlen))
    switch = underlay.namespace_of(plan.stack, underlay.edge(line.site))
    return Edge(
        line=line,
        handoff=handoff,
        switch=Port(namespace=switch, name=name, bridge=segment.bridge),
        outside=Port(namespace=here, name=name, addresses=(address,)),
        inside=Port(namespace=here, name=places.interface("c", handoff.segment), addresses=(_end(pair, 0),)),
        core=Port(
            namespace=core_of(plan.stack, line),
            name=places.interface("e", handoff.segment),
            addresses=(_end(pair, 1),),
        ),
        far_ends=_far_ends(plan.stack, line, handoff),
    )


def _far_ends(stack: str, line: Line, handoff: Handoff) -> tuple[FarEnd, ...]:
    tunnel = handoff.tunnel
    if tunnel is None:
        return ()
    edge, links = edge_of(stack, line, handoff), BESIDE.subnets(new_prefix=31)
    return tuple(
        FarEnd(
            gateway=gateway,
            outer=tunnel.peer,
            near=Port(namespace=edge, name=f"vpn{number}", addresses=(_end(link, 0),)),
            daemon=Port(
                namespace=places.namespace(stack, "vpn", line.name, handoff.zone or "all", str(number)),
                name="outside",
                addresses=(_end(link, 1),),
            ),
            interface=f"tun{number}",
            inner=IPv4Interface((inner[2], inner.prefixlen)),
            gateway_inner=inner[1],
        )
        for number, (gateway, inner, link) in enumerate(zip(handoff.local, tunnel.inner, links, strict=False), start=1)
    )


def _access_link(stack: str, edge: Edge, lan: OfficeLan, pair: IPv4Network) -> AccessLink:
    kind = "m" if edge.line.role == "main" else "b"
    return AccessLink(
        edge=edge,
        lan=lan,
        core=Port(
            namespace=edge.core.namespace,
            name=places.interface("a", edge.line.name, lan.office, lan.zone),
            addresses=(_end(pair, 0),),
        ),
        office=Port(
            namespace=office_router(stack, lan),
            name=places.interface(kind, edge.line.name, lan.zone),
            addresses=(_end(pair, 1),),
        ),
    )


def _end(pair: IPv4Network, number: int) -> IPv4Interface:
    return IPv4Interface((pair[number], pair.prefixlen))


def _edge_router(plan: Plan, edge: Edge, links: tuple[AccessLink, ...]) -> Namespace:
    """Return a provider edge; with static routing it is told what lies behind the gateways, else it learns it."""
    static = edge.handoff.routing == "static"
    return Namespace(
        name=edge.outside.namespace,
        forwards=(
            (edge.outside.name, edge.inside.name),
            *((edge.outside.name, far.near.name) for far in edge.far_ends),
            *((far.interface, edge.inside.name) for far in edge.far_ends),
        ),
        redirects=tuple(
            Redirect(source=far.gateway, target=far.outer, to=far.daemon.addresses[0].ip) for far in edge.far_ends
        ),
        ways=(
            Way(prefix=EVERYWHERE, via=edge.handoff.vip, table=DEFAULT),
            *(Way(prefix=_only(link.office), via=edge.core.addresses[0].ip) for link in links),
            *(
                Way(prefix=prefix, via=edge.handoff.vip)
                for prefix in (data_center_prefixes(plan, edge) if static else ())
            ),
        ),
    )


def _transport(edge: Edge, links: tuple[AccessLink, ...], table: int) -> Namespace:
    """Return one hand-off's part of a core: ``table`` from the offices to the edge, the next one back."""
    to_offices = table + 1
    return Namespace(
        name=edge.core.namespace,
        forwards=tuple((edge.core.name, link.core.name) for link in links),
        ways=(
            Way(prefix=EVERYWHERE, via=edge.inside.addresses[0].ip, table=table),
            *(
                Way(prefix=prefix, via=link.office.addresses[0].ip, table=to_offices)
                for link in links
                for prefix in (_only(link.office), *link.lan.prefixes)
            ),
            Way(prefix=EVERYWHERE, via=None, table=to_offices),
        ),
        selections=(
            Selection(interface=edge.core.name, table=to_offices),
            *(Selection(interface=link.core.name, table=table) for link in links),
        ),
    )


def _only(port: Port) -> IPv4Network:
    """Return the prefix of one address: a link's own address is no host of its prefix to others."""
    return IPv4Network((port.addresses[0].ip, 32))


def _merged(name: str, parts: list[Namespace]) -> Namespace:
    return Namespace(
        name=name,
        forwards=tuple(pair for part in parts for pair in part.forwards),
        ways=tuple(way for part in parts for way in part.ways),
        selections=tuple(selection for part in parts for selection in part.selections),
    )

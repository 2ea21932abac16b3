"""The planned network: segments, interfaces, addresses, lines and flows, all frozen.

This is the slice of the plan that renderers and the proof see. Names are unique within a stack.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

from network import ports
from network.timers import STANDARD, Timers

Routing = Literal["bgp", "static", "tunnel"]
SegmentKind = Literal["tenant", "service", "line", "sync", "management"]
ImpliedKind = Literal["office_access", "database", "replication", "load_balancing", "management"]
VOTERS = 3
MANAGEMENT_INTERFACE = "mgmt"
"""Name of the management card inside every node; cloud-init gives it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One layer-2 network of a site (セグメント)."""

    name: str
    kind: SegmentKind
    zone: str | None
    """None for management, sync and a hand-off that carries several zones."""
    members: tuple[str, ...]
    """Members whose traffic it carries, sorted; empty for management and sync."""
    site: str
    prefixes: tuple[IPv4Network, ...]
    bridge: str
    """Bridge on every host of the site, at most 15 characters."""
    vni: int
    """VXLAN network identifier between hosts, 24 bit, unique in the stack."""

    @property
    def prefix(self) -> IPv4Network:
        """The prefix that nodes are addressed from."""
        return self.prefixes[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A node's card on a segment."""

    segment: str
    name: str
    """Name inside the node, at most 15 characters."""
    mac: str
    addresses: tuple[IPv4Interface, ...]
    isolated: bool
    """Whether its port on the bridge reaches only ports that are not isolated: so on the management segment."""

    @property
    def address(self) -> IPv4Interface:
        """The card's own address (virtual addresses stand in :class:`Vip`)."""
        return self.addresses[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Route:
    """A static route of a node."""

    prefix: IPv4Network
    via: IPv4Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkNode:
    """A machine as the network sees it."""

    name: str
    role: str
    service: str | None
    members: tuple[str, ...]
    zone: str | None
    site: str
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]

    def interface(self, segment: str) -> Interface:
        """Return the card on ``segment``; KeyError when the node is not attached to it."""
        for interface in self.interfaces:
            if interface.segment == segment:
                return interface
        raise KeyError(f"{self.name} has no card on {segment}")

    @property
    def management(self) -> Interface:
        """The management card."""
        return self.interfaces[0]

    @property
    def segments(self) -> tuple[str, ...]:
        """Names of the segments it is attached to, in card order."""
        return tuple(interface.segment for interface in self.interfaces)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vip:
    """A virtual address that one of several nodes holds (VRRP, RFC 9568)."""

    name: str
    segment: str
    address: IPv4Interface
    nodes: tuple[str, ...]
    """In the order of preference."""
    vrid: int
    """1–255, unique on the segment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Translation:
    """Addresses that a gateway rewrites one by one (RFC 3022, 2.1): those of ``inside`` appear as ``outside``."""

    inside: IPv4Network
    outside: IPv4Network
    """As long as ``inside``."""

    def shown(self, prefix: IPv4Network) -> IPv4Network | None:
        """Return what ``prefix`` appears as; None when it is not wholly ``inside``."""
        if not prefix.subnet_of(self.inside):
            return None
        offset = int(prefix.network_address) - int(self.inside.network_address)
        return IPv4Network((int(self.outside.network_address) + offset, prefix.prefixlen))


def shown(translations: Iterable[Translation], prefix: IPv4Network) -> IPv4Network:
    """Return what ``prefix`` appears as where ``translations`` hold: itself when it is in none of them."""
    return next((found for one in translations if (found := one.shown(prefix))), prefix)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OfficeLan:
    """The LANs of one zone in one office."""

    member: str
    office: str
    zone: str
    prefixes: tuple[IPv4Network, ...]
    """Their own addresses, which lines and gateways see."""
    translated: tuple[IPv4Network, ...] = ()
    """What services see of ``prefixes``, in the same order; empty where no gateway translates them."""

    @property
    def seen(self) -> tuple[IPv4Network, ...]:
        """The addresses that services see."""
        return self.translated or self.prefixes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Addresses outside the stack that the lines of some closed network lead to."""

    name: str
    """As flows write it: ``network:lgwan`` or ``external:juki-net``."""
    closed_network: str
    prefixes: tuple[IPv4Network, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """IPsec over a hand-off: each gateway of the pair has a tunnel and a routing session of its own to the far end."""

    name: str
    """Its interface in both gateways, at most 15 characters."""
    number: int
    """Identifier of the XFRM interface, unique in the stack."""
    peer: IPv4Address
    """Outer address of the far end."""
    inner: tuple[IPv4Network, ...]
    """The networks inside, of 30 bits, in the order of the gateways' addresses: first the gateway, then the far end."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Where a line meets the gateways: the carrier's values of one zone, or of all zones together."""

    zone: str | None
    segment: str
    peer: IPv4Address
    local: tuple[IPv4Address, ...]
    vip: IPv4Address
    routing: Routing
    peer_as: int | None
    local_as: int | None
    hold_s: int | None
    bfd: bool
    md5: str | None = None
    """Name of the secret that holds the session's password; the password itself is in no plan."""
    tunnel: Tunnel | None = None
    """Where ``routing`` is ``tunnel``: what everything but IPsec itself passes through."""

    def __post_init__(self) -> None:
        if (self.routing == "tunnel") != (self.tunnel is not None):
            raise ValueError(f"{self.segment}: `tunnel` belongs to `routing: tunnel`, and nothing else does")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A physical line with its hand-offs."""

    name: str
    member: str
    site: str
    closed_network: str
    closed_network_kind: str
    role: Literal["main", "backup"]
    line_class: Literal["guaranteed", "reserved", "best_effort"]
    mbps: int
    zones: tuple[str, ...]
    handoffs: tuple[Handoff, ...]
    sources: tuple[Translation, ...] = ()
    """What the gateways make of office addresses (inside) that come in by this line."""
    destinations: tuple[Translation, ...] = ()
    """At which addresses (outside) this line reaches those of services (inside)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEndpoint:
    """One address at which a business is reached: a service, or one member's own set of it."""

    service: str
    member: str | None
    """The member that the node set belongs to; None when it serves several."""
    participants: tuple[str, ...]
    zone: str
    site: str
    segment: str
    vip: str
    listen: tuple[ports.PortRange, ...]
    application: tuple[str, ...]
    """Node names, as are the next three."""
    database: tuple[str, ...]
    """Empty when the service declares no database nodes."""
    load_balancer: tuple[str, ...]
    witness: tuple[str, ...]
    common_data: bool = False
    """One data area for all participants, told apart by the application alone (pattern ④ with ``data: common``)."""

    @property
    def name(self) -> str:
        """``juki``, or ``zaimu-nishiki`` for one member's set."""
        return self.service if self.member is None else f"{self.service}-{self.member}"

    @property
    def entry(self) -> tuple[str, ...]:
        """The nodes that take requests in and hold the virtual address."""
        return self.load_balancer or self.application


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The servers of one replicated database, and those who vote on which of them is the primary."""

    name: str
    """Name of the endpoint whose nodes they are; others may run on the same ones."""
    segment: str
    databases: tuple[str, ...]
    """Node names, as are the next two."""
    voters: tuple[str, ...]
    """An odd number, each on a host of its own: three databases, or two with a witness or an application node."""
    applications: tuple[str, ...]
    """Who uses the database."""
    endpoints: tuple[ServiceEndpoint, ...]
    """Whose data it keeps, in plan order."""

    @property
    def server_name(self) -> str:
        """Name that the server's certificate shows, whichever node is the primary."""
        return f"{self.name}-database"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Traffic that may pass: implied by the declaration or a declared exception."""

    source: str
    """Endpoint text such as ``office:nishiki/mynumber``."""
    target: str
    allow: tuple[ports.PortRange, ...]
    kind: str
    reason: str
    approved_by: str | None = None
    expires: datetime.date | None = None
    until: datetime.datetime | None = None
    """The moment at which it closes by itself; None: with the plan that no longer holds it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """Everything that renderers and the proof need."""

    stack: str
    segments: tuple[Segment, ...]
    nodes: tuple[NetworkNode, ...]
    vips: tuple[Vip, ...]
    offices: tuple[OfficeLan, ...]
    lines: tuple[Line, ...]
    endpoints: tuple[ServiceEndpoint, ...]
    flows: tuple[Flow, ...]
    stations: Mapping[str, IPv4Interface]
    """Site → address of the management station on that site's management segment."""
    outsides: tuple[Outside, ...] = ()
    timers: Timers = STANDARD

    @functools.cached_property
    def segment_by_name(self) -> Mapping[str, Segment]:
        """Segments by name."""
        return {segment.name: segment for segment in self.segments}

    @functools.cached_property
    def node_by_name(self) -> Mapping[str, NetworkNode]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def vip_by_name(self) -> Mapping[str, Vip]:
        """Virtual addresses by name."""
        return {vip.name: vip for vip in self.vips}

    @functools.cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """The replicated databases: every set of two or more database nodes, in plan order."""
        sharing: dict[tuple[str, ...], list[ServiceEndpoint]] = {}
        for endpoint in self.endpoints:
            if len(endpoint.database) > 1:
                sharing.setdefault(endpoint.database, []).append(endpoint)
        return tuple(self._cluster(tuple(endpoints)) for endpoints in sharing.values())

    def _cluster(self, endpoints: tuple[ServiceEndpoint, ...]) -> Cluster:
        databases = endpoints[0].database
        owner = next(e for e in endpoints if e.service == self.node_by_name[databases[0]].service)
        third = owner.witness or owner.application
        return Cluster(
            name=owner.name,
            segment=owner.segment,
            databases=databases,
            voters=(*databases, *third[:1])[:VOTERS],
            applications=owner.application,
            endpoints=endpoints,
        )

    @functools.cached_property
    def cluster_by_node(self) -> Mapping[str, Cluster]:
        """The replicated database that a node keeps, votes on or uses."""
        return {
            node: cluster
            for cluster in self.clusters
            for node in (*cluster.databases, *cluster.voters, *cluster.applications)
        }

    def endpoint_of_node(self, name: str) -> tuple[ServiceEndpoint, ...]:
        """Return the endpoints that ``name`` helps to serve, in plan order."""
        return tuple(
            endpoint
            for endpoint in self.endpoints
            if name in (*endpoint.application, *endpoint.database, *endpoint.load_balancer, *endpoint.witness)
        )

    def management_segment(self, site: str) -> Segment:
        """Return the management segment of ``site``."""
        return next(s for s in self.segments if s.kind == "management" and s.site == site)

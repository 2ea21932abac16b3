"""Flows resolved to addresses: who may open a connection to whom, and through which segments.

The plan names flows by their ends (``office:nishiki/mynumber -> service:juki``). :func:`resolve` turns each of them
into :class:`Accept` records, and those are all that any firewall of the stack lets in: a gateway takes the ones that
cross from one of its segments to another, a host firewall the ones that end at one of its addresses. Nothing is left
out silently: an end without addresses, or two segments that no gateway joins, is an error, since an empty side must
never come to mean "any".
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import ipaddress
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from network import endpoints, gateways, ports, service_ports
from network.errors import OperationError
from network.model import Cluster, Flow, NetworkNode, NetworkPlan, ServiceEndpoint, Vip

NTP = ports.PortRange("udp", 123, 123)
SSH = ports.PortRange("tcp", 22, 22)
POSTGRESQL = ports.PortRange("tcp", 5432, 5432)
PATRONI = ports.PortRange("tcp", 8008, 8008)
"""Where a database node says whether it is the primary."""
VOTING = ports.PortRange("tcp", 2379, 2379)
"""Where etcd is asked."""
VOTERS = ports.PortRange("tcp", 2380, 2380)
"""Where the voters (etcd) speak to each other."""
BGP = ports.PortRange("tcp", 179, 179)
SYNC_PORT = ports.PortRange("udp", 3780, 3780)
"""On which the gateways of a pair tell each other of open connections (conntrackd's own example)."""
OFFICE_ACCESS = "office_access"
"""Implied kind: an office reaches the services of its own zone."""
FROM_ENDPOINTS = frozenset({"database", "replication", "load_balancing", "management"})
"""Implied kinds that follow from the nodes of a service or a site; their texts are for people."""


class RenderError(OperationError):
    """The plan cannot become configuration without leaving something out."""


class NoPathError(RenderError):
    """A declared flow has no path through the gateways of the plan."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Accept:
    """Connections that may be opened: from a prefix on one segment to one address on another, or on the same one."""

    source_segment: str
    source: IPv4Network
    target_segment: str
    target: IPv4Network
    """A single address of a service or node; the LAN of an office, or what lies outside."""
    ports: ports.PortRange
    """``icmp`` means echo requests; errors about a known connection pass without a rule of their own."""
    flow: str
    """Where it comes from, such as ``office:nishiki/mynumber -> service:juki``."""
    until: int = 0
    """Seconds since 1970 (UTC) from which on it is closed; 0: open as long as it is planned."""
    public: bool = False
    """Whether one end is the public Internet: whoever is none of :func:`named`."""
    seen: IPv4Network | None = dataclasses.field(default=None, compare=False)
    """What the target sees of ``source`` where a gateway translates it; follows from source and segment."""

    @property
    def source_seen(self) -> IPv4Network:
        """The source as the target sees it."""
        return self.seen or self.source

    @property
    def crosses(self) -> bool:
        """Whether a gateway has to pass it on."""
        return self.source_segment != self.target_segment


def named(network: NetworkPlan) -> tuple[IPv4Network, ...]:
    """Return the addresses of all that the plan knows by name, sorted: offices, the cloud and systems outside.

    They are no part of the public Internet, although the same lines lead to some of them. By default nothing is
    open to them, and what is has its own flow with its own condition.
    """
    public = f"external:{endpoints.INTERNET}"
    every = [prefix for one in network.outsides if one.name == public for prefix in one.prefixes]
    known = {prefix for lan in network.offices for prefix in lan.prefixes}
    known |= {prefix for segment in network.segments for prefix in segment.prefixes}
    known |= {prefix for one in network.outsides if one.name != public for prefix in one.prefixes}
    return tuple(ipaddress.collapse_addresses(p for p in known if not any(whole.subnet_of(p) for whole in every)))


Place = tuple[str, IPv4Network]
"""Segment and prefix."""
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclasses.dataclass(frozen=True)
class Resolution:
    """Every accept of a stack, sorted, with the views that firewalls need."""

    network: NetworkPlan
    accepts: tuple[Accept, ...]
    unopened: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """Source and target of declared flows that nothing is opened for, each with the reason."""

    def through(self, gateway: NetworkNode) -> tuple[Accept, ...]:
        """Return what ``gateway`` passes on between its segments, sorted."""
        pairs = itertools.permutations(gateway.segments, 2)
        return tuple(sorted(accept for pair in pairs for accept in self._by_segments.get(pair, ())))

    def into(self, node: NetworkNode) -> tuple[Accept, ...]:
        """Return what ``node`` takes in on its own and its virtual addresses, sorted."""
        held = {(i.segment, address.ip) for i in node.interfaces for address in i.addresses}
        held |= {(vip.segment, vip.address.ip) for vip in self.vips_of(node)}
        held |= set(self._in_tunnels(node))
        return tuple(sorted(accept for place in held for accept in self.to(*place)))

    def to(self, segment: str, address: IPv4Address) -> Sequence[Accept]:
        """Return what may be opened to ``address`` on ``segment``."""
        return self._by_target.get((segment, IPv4Network(address)), ())

    def asked_by(self, address: IPv4Address) -> Sequence[Accept]:
        """Return what the single address ``address`` may open."""
        return self._by_source.get(IPv4Network(address), ())

    def out_of(self, node: NetworkNode) -> tuple[Accept, ...]:
        """Return what ``node`` opens itself from its own addresses, sorted."""
        own = [address.ip for interface in node.interfaces for address in interface.addresses]
        own += [address for _, address in self._in_tunnels(node)]
        return tuple(sorted(accept for address in own for accept in self.asked_by(address)))

    def _in_tunnels(self, node: NetworkNode) -> tuple[tuple[str, IPv4Address], ...]:
        """Return segment and address of the tunnels' ends that ``node`` holds."""
        found = gateways.tunnels(self.network, node) if node.role == "gateway" else ()
        return tuple((hand.handoff.segment, hand.session[0]) for hand, _ in found)

    def reached_at(self, address: IPv4Address) -> Sequence[ServiceEndpoint]:
        """Return the services with the virtual address ``address``."""
        return self._endpoints_by_address.get(address, ())

    def vips_of(self, node: NetworkNode) -> Sequence[Vip]:
        """Return the virtual addresses that ``node`` holds or may hold, by name."""
        return self._vips_by_node.get(node.name, ())

    def endpoints_of(self, node: NetworkNode) -> Sequence[ServiceEndpoint]:
        """Return the services that ``node`` helps to serve, in plan order."""
        return self._endpoints_by_node.get(node.name, ())

    @functools.cached_property
    def application_ports(self) -> Mapping[str, int]:
        """Ports of the business applications by endpoint name."""
        return service_ports.application_ports(self.network)

    # A stack has thousands of nodes and accepts: each view is an index, made once.

    @functools.cached_property
    def _by_segments(self) -> Mapping[tuple[str, str], Sequence[Accept]]:
        return _index(((a.source_segment, a.target_segment), a) for a in self.accepts)

    @functools.cached_property
    def _by_target(self) -> Mapping[tuple[str, IPv4Network], Sequence[Accept]]:
        return _index(((a.target_segment, a.target), a) for a in self.accepts)

    @functools.cached_property
    def _by_source(self) -> Mapping[IPv4Network, Sequence[Accept]]:
        return _index((a.source, a) for a in self.accepts)

    @functools.cached_property
    def _vips_by_node(self) -> Mapping[str, Sequence[Vip]]:
        return _index((n, vip) for vip in sorted(self.network.vips, key=lambda v: v.name) for n in vip.nodes)

    @functools.cached_property
    def _endpoints_by_address(self) -> Mapping[IPv4Address, Sequence[ServiceEndpoint]]:
        return _index((self.network.vip_by_name[e.vip].address.ip, e) for e in self.network.endpoints)

    @functools.cached_property
    def _endpoints_by_node(self) -> Mapping[str, Sequence[ServiceEndpoint]]:
        return _index(
            (node, endpoint)
            for endpoint in self.network.endpoints
            for node in dict.fromkeys(
                (*endpoint.application, *endpoint.database, *endpoint.load_balancer, *endpoint.witness)
            )
        )


def _index(pairs: Iterable[tuple[K, V]]) -> Mapping[K, Sequence[V]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def resolve(network: NetworkPlan) -> Resolution:
    """Return every accept that the flows of ``network`` and its services imply."""
    of_applications = service_ports.application_ports(network)
    declared, unopened = resolve_declared(network)
    accepts = {
        *_management(network),
        *_gateways(network),
        *(accept for endpoint in network.endpoints for accept in _inside(network, endpoint, of_applications)),
        *(accept for cluster in network.clusters for accept in _replicated(network, cluster)),
        *declared,
    }
    return Resolution(network, tuple(sorted(accepts)), unopened)


def resolve_declared(network: NetworkPlan) -> tuple[tuple[Accept, ...], Mapping[tuple[str, str], str]]:
    """Return the accepts of flows alone, and for which declared ones there is no path, with the reason.

    An office without a path to its own services is an error.
    """
    resolver = _Resolver(network)
    accepts: list[Accept] = []
    unopened: dict[tuple[str, str], str] = {}
    for flow in network.flows:
        if flow.kind in FROM_ENDPOINTS:
            continue
        try:
            accepts += resolver.accepts_of(flow)
        except NoPathError as error:
            if flow.kind == OFFICE_ACCESS:
                raise
            unopened[flow.source, flow.target] = str(error)
    return tuple(accepts), unopened


def database_nodes(endpoint: ServiceEndpoint) -> tuple[str, ...]:
    """Return the nodes that carry the service's database: its own, else its first application node."""
    return endpoint.database or endpoint.application[:1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Addresses of one end of a flow, as far as they belong together."""

    member: str | None
    """Whose they are; None for a service that serves several."""
    named: bool
    """Whether the flow names this one member, so that it may differ from the other side's."""
    each: bool = False
    """Whether the flow says ``@each_member``."""
    participants: tuple[str, ...]
    places: tuple[Place, ...]
    """Where packets from a source come in, or at which address a target is reached."""
    outside_by: tuple[str, ...] = ()
    """Members of a service by whose lines it may reach what lies outside; the first that has one is taken."""


class _Resolver:
    """Looks up the ends of flows."""

    def __init__(self, network: NetworkPlan) -> None:
        self._network = network
        self._endpoints: dict[str, list[ServiceEndpoint]] = collections.defaultdict(list)
        for endpoint in network.endpoints:
            self._endpoints[endpoint.service].append(endpoint)
        self._lans: dict[tuple[str, str], set[IPv4Network]] = collections.defaultdict(set)
        for lan in network.offices:
            self._lans[lan.member, lan.zone].update(lan.prefixes)
        self._entrances: dict[tuple[str, str], set[tuple[str, tuple[str, ...]]]] = collections.defaultdict(set)
        for line in network.lines:
            for handoff in line.handoffs:
                self._entrances[line.member, line.site].add((handoff.segment, gateways.zones_of(line, handoff)))
        self._led: dict[tuple[str, IPv4Network], str] = {}
        self._translations = {handoff.segment: line.sources for line in network.lines for handoff in line.handoffs}
        machines = [node for node in network.nodes if node.role == "gateway"]
        self._joined = {pair for node in machines for pair in itertools.permutations(node.segments, 2)}

    def accepts_of(self, flow: Flow) -> list[Accept]:
        """Return the accepts of ``flow``; raise RenderError when it has none."""
        label = f"{flow.source} -> {flow.target}"
        if not flow.allow:
            raise RenderError(f"flow {label}: allows no port")
        ends = endpoints.parse(flow.source), endpoints.parse(flow.target)
        public = any(isinstance(end, endpoints.ExternalEnd) and end.public_internet for end in ends)
        found = [
            Accept(
                source_segment=here,
                source=prefix,
                target_segment=there,
                target=address,
                ports=allowed,
                flow=label,
                until=int(flow.until.timestamp()) if flow.until else 0,
                public=public,
                seen=self._seen(here, prefix) if here != there else None,
            )
            for source, target in self._pairs(flow, label)
            for (here, prefix), (there, address) in self._joined_places(source, target, label)
            for allowed in flow.allow
        ]
        if not found:
            raise RenderError(f"flow {label}: the two ends have no member in common, so it allows nothing")
        return found

    def _pairs(self, flow: Flow, label: str) -> Iterator[tuple[_Side, _Side]]:
        """Yield the sides that the flow joins."""
        source, target = endpoints.parse(flow.source), endpoints.parse(flow.target)
        if isinstance(target, endpoints.ServiceEnd):
            for near in self._services(target, label, reached=True):
                if isinstance(source, endpoints.ServiceEnd):
                    others: Iterable[_Side] = self._services(source, label, reached=False)
                else:
                    others = [self._elsewhere(source, near, label)]
                yield from ((other, near) for other in others if _belong_together(other, near, label))
        elif isinstance(source, endpoints.ServiceEnd):
            for near in self._services(source, label, reached=False):
                other = self._elsewhere(target, near, label)
                if _belong_together(near, other, label):
                    yield near, other
        else:
            raise NoPathError(f"flow {label}: no end of it is a service, so it passes no gateway of the data center")

    def _joined_places(self, source: _Side, target: _Side, label: str) -> Iterator[tuple[Place, Place]]:
        for one, other in itertools.product(source.places, target.places):
            if one[0] != other[0] and (one[0], other[0]) not in self._joined:
                raise NoPathError(f"flow {label}: no gateway has cards on both {one[0]} and {other[0]}")
            yield one, other

    def _seen(self, segment: str, source: IPv4Network) -> IPv4Network | None:
        """Return what a gateway makes of ``source`` that comes in by ``segment``; None when it leaves it as it is."""
        translations = self._translations.get(segment, ())
        return next((found for one in translations if (found := one.shown(source))), None)

    def _services(self, end: endpoints.ServiceEnd, label: str, *, reached: bool) -> Iterator[_Side]:
        """Yield a service's sides: at its virtual address when it is ``reached``, else at those of its applications."""
        for endpoint in self._chosen(end, label):
            if reached:
                vip = self._network.vip_by_name[endpoint.vip]
                places: tuple[Place, ...] = ((vip.segment, IPv4Network(vip.address.ip)),)
            else:
                places = tuple(
                    (endpoint.segment, IPv4Network(_address(self._network, name, endpoint.segment)))
                    for name in endpoint.application
                )
            yield from _sides(end, endpoint, places)

    def _elsewhere(self, end: endpoints.Endpoint, near: _Side, label: str) -> _Side:
        """Return the side of an office or of what lies outside, as ``near`` meets it at its site."""
        site = self._network.segment_by_name[near.places[0][0]].site
        if isinstance(end, endpoints.OfficeEnd):
            lans = sorted(self._lans[end.member, end.zone])
            if not lans:
                raise RenderError(f"flow {label}: {end} has no LAN")
            cards = sorted(segment for segment, zones in self._entrances[end.member, site] if end.zone in zones)
            if not cards:
                raise NoPathError(f"flow {label}: no line of {end.member} carries the zone {end.zone} into {site}")
            return _Side(
                member=end.member, named=True, participants=(end.member,), places=tuple(itertools.product(cards, lans))
            )
        public = isinstance(end, endpoints.ExternalEnd) and end.public_internet
        return self._outside(f"external:{endpoints.INTERNET}" if public else str(end), near, site, label)

    def _outside(self, text: str, near: _Side, site: str, label: str) -> _Side:
        """Return the side of what lies outside, behind the lines of one member.

        Machines that serve several members go there by the lines of the first one that has some: there is one route.
        """
        prefixes = {one.closed_network: one.prefixes for one in self._network.outsides if one.name == text}
        if not prefixes:
            raise NoPathError(f"flow {label}: no closed network says at which addresses it `reaches` {text}")
        zone = self._network.segment_by_name[near.places[0][0]].zone
        for member in near.outside_by:
            places = tuple(
                (handoff.segment, prefix)
                for line in self._network.lines
                if (line.member, line.site) == (member, site) and line.closed_network in prefixes
                for handoff in line.handoffs
                if zone in gateways.zones_of(line, handoff)
                for prefix in prefixes[line.closed_network]
            )
            if places:
                for (here, _), (_, prefix) in itertools.product(near.places, places):
                    other = self._led.setdefault((here, prefix), member)
                    if other != member:
                        raise NoPathError(
                            f"flow {label}: machines on {here} reach {prefix} by the lines of {other} already"
                        )
                return _Side(member=near.member, named=near.named, participants=(member,), places=places)
        whose = " or ".join(near.outside_by)
        raise NoPathError(f"flow {label}: no line of {whose} carries the zone {zone} from {site} to {text}")

    def _chosen(self, end: endpoints.ServiceEnd, label: str) -> list[ServiceEndpoint]:
        chosen = [e for e in self._endpoints[end.service] if end.member is None or end.member in e.participants]
        if not chosen:
            raise RenderError(f"flow {label}: nothing of the plan is {end}")
        return chosen


def _sides(
    end: endpoints.ServiceEnd, endpoint: ServiceEndpoint, places: tuple[tuple[str, IPv4Network], ...]
) -> Iterator[_Side]:
    """Return one side for each member that ``end`` names, or one for the whole node set."""
    if not places:
        raise RenderError(f"{endpoint.name}: the service has no application node")
    named = end.member is not None
    if endpoint.member is None and end.each_member:
        members: tuple[str | None, ...] = endpoint.participants
    else:
        members = (end.member if named else endpoint.member,)
    for member in members:
        yield _Side(
            member=member,
            named=named,
            each=end.each_member,
            participants=endpoint.participants,
            places=places,
            outside_by=(member,) if member is not None and (named or endpoint.member) else endpoint.participants,
        )


def _belong_together(source: _Side, target: _Side, label: str) -> bool:
    """Say whether the flow joins two sides: the same member, a service for all, or two that it names."""
    if source.named and target.named:
        return True
    if target.member is None:
        return source.member is None or source.member in target.participants
    if source.member is None:
        if not (target.named or target.each):
            raise RenderError(f"flow {label}: from a service of several members, name one with @MEMBER or @each_member")
        return target.member in source.participants
    return source.member == target.member


def _management(network: NetworkPlan) -> Iterator[Accept]:
    """The station of a site opens SSH to its nodes, and they ask it for the time; nothing else is on management."""
    segments = {site: network.management_segment(site).name for site in network.stations}
    for node in network.nodes:
        segment, station = segments[node.site], network.stations[node.site].ip
        own = _address(network, node.name, segment)
        opened = ((station, own, SSH, "management station ->"), (own, station, NTP, "time of"))
        for source, target, allowed, what in opened:
            yield Accept(
                source_segment=segment,
                source=IPv4Network(source),
                target_segment=segment,
                target=IPv4Network(target),
                ports=allowed,
                flow=f"{what} {node.name}",
            )


def _gateways(network: NetworkPlan) -> Iterator[Accept]:
    """A gateway speaks BGP with the edge of each hand-off, and tells its partner of open connections.

    VRRP and BFD are no part of it: they are judged by their hop limit too, and have rules of their own.
    """
    for node in network.nodes:
        if node.role != "gateway":
            continue
        for hand in gateways.attached(network, node):
            if hand.handoff.routing != "static":
                own, far = hand.session
                for source, target in ((far, own), (own, far)):
                    yield _on_segment(hand.handoff.segment, source, target, BGP, f"routing of {hand.line.name}")
        partner, sync = gateways.partner_of(network, node), gateways.sync_of(network, node)
        if partner is not None and sync is not None:
            own, other = _address(network, node.name, sync), _address(network, partner.name, sync)
            yield _on_segment(sync, own, other, SYNC_PORT, f"open connections of {node.name}")


def _on_segment(segment: str, source: IPv4Address, target: IPv4Address, allowed: ports.PortRange, what: str) -> Accept:
    return Accept(
        source_segment=segment,
        source=IPv4Network(source),
        target_segment=segment,
        target=IPv4Network(target),
        ports=allowed,
        flow=what,
    )


def _inside(network: NetworkPlan, endpoint: ServiceEndpoint, of_applications: Mapping[str, int]) -> Iterator[Accept]:
    """Return what the nodes of one service say to each other on their segment."""
    port = of_applications[endpoint.name]
    application = ports.PortRange("tcp", port, port)
    inside = functools.partial(_among, network, endpoint)
    yield from inside(endpoint.entry, endpoint.application, allowed=application, what="load balancing")
    yield from inside(endpoint.application, database_nodes(endpoint), allowed=POSTGRESQL, what="database")


def _replicated(network: NetworkPlan, cluster: Cluster) -> Iterator[Accept]:
    """Return what the nodes of a replicated database say to each other, and who asks which of them is the primary."""
    inside = functools.partial(_among, network, cluster)
    databases, voters = cluster.databases, cluster.voters
    yield from inside(databases, databases, allowed=POSTGRESQL, what="replication")
    yield from inside((*databases, *cluster.applications), databases, allowed=PATRONI, what="primary")
    yield from inside(dict.fromkeys((*databases, *voters)), voters, allowed=VOTING, what="votes")
    yield from inside(voters, voters, allowed=VOTERS, what="voters")


def _among(
    network: NetworkPlan,
    endpoint: ServiceEndpoint | Cluster,
    sources: Iterable[str],
    targets: Iterable[str],
    *,
    allowed: ports.PortRange,
    what: str,
) -> Iterator[Accept]:
    for source, target in itertools.product(sources, targets):
        if source != target:  # what a node says to itself goes over its loopback
            yield Accept(
                source_segment=endpoint.segment,
                source=IPv4Network(_address(network, source, endpoint.segment)),
                target_segment=endpoint.segment,
                target=IPv4Network(_address(network, target, endpoint.segment)),
                ports=allowed,
                flow=f"{what} of {endpoint.name}",
            )


def _address(network: NetworkPlan, name: str, segment: str) -> IPv4Address:
    try:
        return network.node_by_name[name].interface(segment).address.ip
    except KeyError:
        raise RenderError(f"{name}: has no card on {segment}, which its service needs") from None

"""What the plan declares, as connections between addresses: the yardstick of every other level.

Written from the declaration's rules and not from the code that renders them, so that a mistake there shows here.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit.model import FlowReference
from network import endpoints, ports, service_ports
from network.model import Cluster, Flow, Handoff, NetworkNode, NetworkPlan, ServiceEndpoint, Vip, shown

IMPLIED = frozenset(
    {"office_access", "database", "replication", "load_balancing", "management", "routing", "tunnel", "pair"}
)
"""Kinds of flows that follow from the plan; all others are exceptions of the stack file."""
HOP_LIMIT = 255
"""A packet that arrives with it was sent on the same segment (RFC 5881, 5; RFC 9568, 5.1.1.3)."""
_SSH, _NTP, _POSTGRESQL, _BGP, _BFD, _SYNC = 22, 123, 5432, 179, 3784, 3780
_VOTES, _VOTERS, _PRIMARY = 2379, 2380, 8008
"""etcd asked, etcd among themselves, and where Patroni says who is the primary."""
_VRRP = 112
_IKE, _IKE_BEHIND_NAT = 500, 4500
"""RFC 7296, 2 and 2.23: the second carries ESP too, where an address is translated on the way."""
_ESP = 50
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Connections that may be opened, and must be possible."""

    flow: FlowReference
    source_segments: tuple[str, ...]
    """Where the packets that open them come in; any of them."""
    sources: tuple[IPv4Network, ...]
    """Their own addresses, as gateways see them."""
    target_segment: str
    target: IPv4Network | None
    """An address of the stack, an office's LAN or what lies outside. None: whatever address the receiver takes it at
    (VRRP is sent to a group)."""
    protocol: int
    ports: tuple[int, int] | None
    """None where the protocol has none; of ICMP, echo requests are meant."""
    seen: tuple[IPv4Network, ...] = ()
    """The senders as the receiver sees them, where a gateway translates them."""
    asked: IPv4Network | None = None
    """The target as the sender sees it, where it lies behind a line and a gateway translates it."""
    apart: tuple[IPv4Network, ...] = ()
    """Addresses of the end that lies outside which are not meant: the public Internet is whoever the plan does not know
    by name. Gateways tell them apart; the receiver need not."""
    receiver: str | None = None
    """Name of the machine, where there is no target."""
    each_packet: bool = False
    """Each packet is judged for itself and must carry :data:`HOP_LIMIT`; connections play no part."""

    @property
    def crosses(self) -> bool:
        """Whether a gateway passes it on."""
        return self.target_segment not in self.source_segments

    @property
    def address(self) -> IPv4Address | None:
        """The target, where it is a single address."""
        return self.target.network_address if self.target is not None and self.target.prefixlen == 32 else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """A flow for which the plan has no addresses."""

    flow: FlowReference
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Everything that may pass in a stack."""

    allowed: tuple[Allowed, ...]
    unresolved: tuple[Unresolved, ...]


def declared(network: NetworkPlan) -> Declared:
    """Return what the plan allows."""
    return _Reader(network).everything()


def reference(flow: Flow) -> FlowReference:
    """Return how findings name ``flow``."""
    return FlowReference(
        source=flow.source,
        target=flow.target,
        kind=flow.kind,
        reason=flow.reason,
        approved_by=flow.approved_by,
        expires=flow.expires,
        declared=flow.kind not in IMPLIED,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One end of a flow for one member, or for all of a service."""

    member: str | None
    """None: a service that serves several, and the flow names none of them."""
    named: bool
    """The flow names this member, so that the other side may be another one's."""
    participants: tuple[str, ...]


class _NoWayError(Exception):
    """Nobody can say where packets of a flow go; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """Senders and receiver of a flow."""

    source_segments: tuple[str, ...]
    sources: tuple[IPv4Network, ...]
    target_segment: str
    target: IPv4Network


class _Reader:
    def __init__(self, network: NetworkPlan) -> None:
        self._network = network
        self._by_service: dict[str, list[ServiceEndpoint]] = collections.defaultdict(list)
        for endpoint in network.endpoints:
            self._by_service[endpoint.service].append(endpoint)
        self._entrances = entrances(network)
        self._lans: dict[tuple[str, str], set[IPv4Network]] = collections.defaultdict(set)
        for lan in network.offices:
            self._lans[lan.member, lan.zone].update(lan.prefixes)
        self._stations = {site: network.management_segment(site).name for site in network.stations}
        self._handoffs = {handoff.segment: (line, handoff) for line in network.lines for handoff in line.handoffs}
        self._lines = {inside(handoff): line for line, handoff in self._handoffs.values()}
        self._led: dict[tuple[str, IPv4Network], str] = {}
        places = {handoff.segment: inside(handoff) for _, handoff in self._handoffs.values()}
        self._between = {
            (places.get(one, one), places.get(other, other))
            for node in network.nodes
            if node.role == "gateway"
            for one, other in itertools.permutations(node.segments, 2)
        }
        self._pairs: dict[str, list[NetworkNode]] = collections.defaultdict(list)
        for node in network.nodes:
            for segment in node.segments if node.role == "gateway" else ():
                if network.segment_by_name[segment].kind == "sync":
                    self._pairs[segment].append(node)
        self._unresolved: list[Unresolved] = []

    def everything(self) -> Declared:
        """Return all of it, each once."""
        allowed: list[Allowed] = []
        for flow in self._network.flows:
            if flow.kind in {"database", "replication", "load_balancing", "management"}:
                continue  # from nodes, below
            allowed += self._of(flow)
        application = service_ports.application_ports(self._network)
        for endpoint in self._network.endpoints:
            name = f"service:{endpoint.name}"
            allowed += self._tried(name, name, self._inside(endpoint, application[endpoint.name]))
        for cluster in self._network.clusters:
            name = f"service:{cluster.name}"
            allowed += self._tried(name, name, self._replicated(cluster))
        for node in self._network.nodes:
            allowed += self._tried(f"station:{node.site}", node.name, self._management(node))
            if node.role == "gateway":
                allowed += self._tried(node.name, node.name, self._gateway(node))
        for vip in self._network.vips:
            allowed += self._tried(vip.name, vip.name, self._virtual_address(vip))
        return Declared(allowed=tuple(dict.fromkeys(allowed)), unresolved=tuple(self._unresolved))

    def _tried(self, source: str, target: str, found: Iterator[Allowed]) -> Sequence[Allowed]:
        """Return what is implied, or note why nobody can say what it is."""
        try:
            return tuple(found)
        except _NoWayError as e:
            flow = _implied(source, target, "implied", "計画から導かれる通信")
            self._unresolved.append(Unresolved(flow=flow, reason=str(e)))
            return ()

    def _of(self, flow: Flow) -> Iterator[Allowed]:
        """Return what ``flow`` opens: for all that it names, or for nobody."""
        known = reference(flow)
        ends = endpoints.parse(flow.source), endpoints.parse(flow.target)
        public = any(isinstance(end, endpoints.ExternalEnd) and end.public_internet for end in ends)
        try:
            if not flow.allow:
                raise _NoWayError("it allows no port")
            joined = tuple(self._joined(endpoints.parse(flow.source), endpoints.parse(flow.target)))
            if not joined:
                raise _NoWayError("its ends have no member in common")
            for one in joined:
                self._passes(one)
        except _NoWayError as e:
            self._unresolved.append(Unresolved(flow=known, reason=str(e)))
            return
        for one, allow in itertools.product(joined, flow.allow):
            yield Allowed(
                flow=known,
                source_segments=one.source_segments,
                sources=one.sources,
                target_segment=one.target_segment,
                target=one.target,
                seen=self._seen(one.source_segments, one.sources),
                asked=self._asked(one),
                apart=self._named if public else (),
                protocol=PROTOCOLS[allow.protocol],
                ports=_span(allow),
            )

    @functools.cached_property
    def _named(self) -> tuple[IPv4Network, ...]:
        """Whom the plan knows by name: offices, segments, and what else lies outside."""
        network, internet = self._network, outsides(self._network, f"external:{endpoints.INTERNET}")
        known = itertools.chain(
            (prefix for lan in network.offices for prefix in lan.prefixes),
            (prefix for segment in network.segments for prefix in segment.prefixes),
            (p for one in network.outsides if one.name != f"external:{endpoints.INTERNET}" for p in one.prefixes),
        )
        whole = {prefix for prefixes in internet.values() for prefix in prefixes}
        return tuple(sorted({prefix for prefix in known if not any(one.subnet_of(prefix) for one in whole)}))

    def _passes(self, one: _Joined) -> None:
        """Make sure that some gateway stands between the two sides."""
        for here in one.source_segments:
            if here != one.target_segment and (here, one.target_segment) not in self._between:
                raise _NoWayError(f"no gateway stands on both {here} and {one.target_segment}")

    def _joined(self, source: endpoints.Endpoint, target: endpoints.Endpoint) -> Iterator[_Joined]:
        if isinstance(target, endpoints.ServiceEnd):
            for near, endpoint in self._sides(target):
                vip = self._network.vip_by_name[endpoint.vip]
                for segments, prefixes in self._far(source, near, endpoint):
                    yield _Joined(
                        source_segments=segments,
                        sources=prefixes,
                        target_segment=vip.segment,
                        target=IPv4Network(vip.address.ip),
                    )
        elif isinstance(source, endpoints.ServiceEnd):
            for near, endpoint in self._sides(source):
                for segments, prefixes in self._far(target, near, endpoint):
                    for there, prefix in itertools.product(segments, prefixes):
                        yield _Joined(
                            source_segments=(endpoint.segment,),
                            sources=self._applications(endpoint),
                            target_segment=there,
                            target=prefix,
                        )
        else:
            raise _NoWayError("no end of it is a service, so that it passes no gateway of the stack")

    def _far(
        self, end: endpoints.Endpoint, near: _Side, endpoint: ServiceEndpoint
    ) -> Iterator[tuple[tuple[str, ...], tuple[IPv4Network, ...]]]:
        """Yield segments, and the prefixes of ``end`` on each of them, as a service meets it at its own site."""
        if isinstance(end, endpoints.ServiceEnd):
            for side, other in self._sides(end):
                if _belong(side, near):
                    yield (other.segment,), self._applications(other)
        elif isinstance(end, endpoints.OfficeEnd):
            if _belong(_Side(member=end.member, named=True, participants=(end.member,)), near):
                segments = self._entrances.get((end.member, end.zone, endpoint.site), ())
                lans = tuple(sorted(self._lans[end.member, end.zone]))
                if not lans or not segments:
                    what = f"line of {end.member} that carries {end.zone} to {endpoint.site}" if lans else "LAN of it"
                    raise _NoWayError(f"the plan has no {what}")
                yield segments, lans
        else:
            public = isinstance(end, endpoints.ExternalEnd) and end.public_internet
            name = f"external:{endpoints.INTERNET}" if public else str(end)
            yield from self._outside(name, near, endpoint)

    def _outside(
        self, name: str, near: _Side, endpoint: ServiceEndpoint
    ) -> Iterator[tuple[tuple[str, ...], tuple[IPv4Network, ...]]]:
        """Yield the hand-offs by which a service's machines meet what lies outside.

        Machines of one member go by its lines; those of several by the lines of the first that has some, since a
        machine knows one way to an address. For the same reason, one segment meets an address by one member's lines.
        """
        reached = outsides(self._network, name)
        if not any(reached.values()):
            raise _NoWayError(f"no closed network says at which addresses it reaches {name}")
        own = near.member is not None and (near.named or endpoint.member is not None)
        for member in (near.member or "",) if own else near.participants:
            found = [
                (segment, prefixes)
                for line in self._network.lines
                if line.member == member and line.site == endpoint.site and endpoint.zone in line.zones
                if (prefixes := reached.get(line.closed_network))
                for handoff in line.handoffs
                if handoff.zone in {None, endpoint.zone}
                for segment in [inside(handoff)]
            ]
            if found:
                for prefix in sorted({prefix for _, prefixes in found for prefix in prefixes}):
                    other = self._led.setdefault((endpoint.segment, prefix), member)
                    if other != member:
                        raise _NoWayError(f"{endpoint.segment} meets {prefix} by the lines of {other} already")
                yield from (((segment,), prefixes) for segment, prefixes in found)
                return
        raise _NoWayError(f"no line carries {endpoint.zone} from {endpoint.site} to {name}")

    def _applications(self, endpoint: ServiceEndpoint) -> tuple[IPv4Network, ...]:
        """Return the addresses from which a service opens connections."""
        addresses = sorted(self._address(name, endpoint.segment) for name in endpoint.application)
        if not addresses:
            raise _NoWayError(f"{endpoint.name} has no machine that opens anything")
        return tuple(IPv4Network(int(address)) for address in addresses)

    def _sides(self, end: endpoints.ServiceEnd) -> Sequence[tuple[_Side, ServiceEndpoint]]:
        """Return a service's sides: one for each member that the flow names, or one for all of a node set."""
        sides: list[tuple[_Side, ServiceEndpoint]] = []
        for endpoint in self._by_service[end.service]:
            members: tuple[str | None, ...] = (endpoint.member,)
            if end.member is not None:
                if end.member not in endpoint.participants:
                    continue
                members = (end.member,)
            elif end.each_member:
                members = endpoint.participants
            for member in members:
                side = _Side(member=member, named=end.member is not None, participants=endpoint.participants)
                sides.append((side, endpoint))
        if not sides:
            raise _NoWayError(f"nothing of the plan is {end}")
        return sides

    def _seen(self, segments: Sequence[str], sources: Sequence[IPv4Network]) -> tuple[IPv4Network, ...]:
        """Return what gateways make of ``sources``; nothing where they make nothing of them."""
        found = {
            shown(self._lines[segment].sources, source)
            for segment in segments
            if segment in self._lines
            for source in sources
        }
        return tuple(sorted(found)) if found and found != set(sources) else ()

    def _asked(self, one: _Joined) -> IPv4Network | None:
        """Return at which addresses services reach a target behind a line; None where those are its own."""
        if one.target_segment not in self._lines:
            return None
        found = shown(self._lines[one.target_segment].sources, one.target)
        return found if found != one.target else None

    def _address(self, node: str, segment: str) -> IPv4Address:
        try:
            return self._network.node_by_name[node].interface(segment).address.ip
        except KeyError:
            raise _NoWayError(f"{node} has no card on {segment}") from None

    def _inside(self, endpoint: ServiceEndpoint, port: int) -> Iterator[Allowed]:
        """What the machines of one service say to each other."""
        database = endpoint.database or endpoint.application[:1]
        steps = (
            (endpoint.entry, endpoint.application, port, "load_balancing", "入口から業務アプリケーションへの通信"),
            (endpoint.application, database, _POSTGRESQL, "database", "業務アプリケーションからデータベースへの通信"),
        )
        for sources, targets, number, kind, reason in steps:
            flow = _implied(f"service:{endpoint.name}", f"service:{endpoint.name}", kind, reason)
            for source, target in itertools.product(sources, targets):
                if source != target:
                    yield _single(
                        flow,
                        endpoint.segment,
                        self._address(source, endpoint.segment),
                        self._address(target, endpoint.segment),
                        ("tcp", number),
                    )

    def _replicated(self, cluster: Cluster) -> Iterator[Allowed]:
        """What the servers and voters of a replicated database say to each other, and who looks for the primary."""
        servers, voters = set(cluster.databases), set(cluster.voters)
        steps = (
            (servers, servers, _POSTGRESQL, "データベースの複製"),
            (servers | set(cluster.applications), servers, _PRIMARY, "主系の確認"),
            (servers | voters, voters, _VOTES, "投票者への問合せ"),
            (voters, voters, _VOTERS, "投票者の間の合意"),
        )
        for sources, targets, number, reason in steps:
            flow = _implied(f"service:{cluster.name}", f"service:{cluster.name}", "replication", reason)
            for source, target in itertools.product(sorted(sources), sorted(targets)):
                if source != target:
                    here, there = (self._address(node, cluster.segment) for node in (source, target))
                    yield _single(flow, cluster.segment, here, there, ("tcp", number))

    def _management(self, node: NetworkNode) -> Iterator[Allowed]:
        station = self._network.stations[node.site].ip
        segment = self._stations[node.site]
        own, name = self._address(node.name, segment), f"station:{node.site}"
        yield _single(
            _implied(name, node.name, "management", "運用管理端末からの保守"), segment, station, own, ("tcp", _SSH)
        )
        yield _single(_implied(node.name, name, "management", "時刻同期"), segment, own, station, ("udp", _NTP))

    def _gateway(self, node: NetworkNode) -> Iterator[Allowed]:
        """Routing with the carriers' edges, and what the two of a pair tell each other."""
        for line, handoff in (self._handoffs[name] for name in node.segments if name in self._handoffs):
            edge, own, place = handoff.peer, self._address(node.name, handoff.segment), inside(handoff)
            name = f"line:{line.name}" + (f"/{handoff.zone}" if handoff.zone else "")
            if handoff.tunnel is not None:
                yield from self._ipsec(name, node.name, handoff.segment, own, handoff.tunnel.peer)
                if own not in handoff.local:
                    raise _NoWayError(f"{own} is none of the addresses of line {line.name}")
                inner = handoff.tunnel.inner[handoff.local.index(own)]
                own, edge = inner[1], inner[2]
            flow = _implied(name, node.name, "routing", "回線事業者との経路交換")
            if handoff.routing != "static":
                yield _single(flow, place, edge, own, ("tcp", _BGP))
                yield _single(flow, place, own, edge, ("tcp", _BGP))
            if handoff.bfd:
                watched = (PROTOCOLS["udp"], (_BFD, _BFD))
                for sender, to in ((edge, node.name), (edge, own), (own, edge)):
                    yield _each_packet(flow, place, sender, to, watched)
        for segment in node.segments:
            for other in self._pairs.get(segment, ()):
                if other.name != node.name:
                    flow = _implied(node.name, other.name, "pair", "対の機器の間の接続状態の同期")
                    one, two = self._address(node.name, segment), self._address(other.name, segment)
                    yield _single(flow, segment, one, two, ("udp", _SYNC))

    def _ipsec(self, line: str, gateway: str, segment: str, own: IPv4Address, far: IPv4Address) -> Iterator[Allowed]:
        """All that a hand-off with a tunnel carries in clear: what the two ends need to make the tunnel."""
        flow = _implied(line, gateway, "tunnel", "暗号化トンネル(IPsec)の確立と通信")
        for source, target in ((far, own), (own, far)):
            for port in (_IKE, _IKE_BEHIND_NAT):
                yield _single(flow, segment, source, target, ("udp", port))
            yield dataclasses.replace(_single(flow, segment, source, target, ("udp", _IKE)), protocol=_ESP, ports=None)

    def _virtual_address(self, vip: Vip) -> Iterator[Allowed]:
        """Those that share a virtual address hear each other; a pair of gateways does on its sync segment."""
        for one, other in itertools.permutations(vip.nodes, 2):
            segment = vip.segment
            here, there = self._network.node_by_name[one], self._network.node_by_name[other]
            if here.role == "gateway":
                both = {*here.segments} & {*there.segments}
                sync = [name for name in both if self._network.segment_by_name[name].kind == "sync"]
                if not sync:
                    raise _NoWayError(f"{one} and {other} share {vip.address.ip} and no segment to hear each other on")
                segment = sync[0]
            flow = _implied(one, other, "pair", "仮想アドレスを共有する機器の間の生存通知")
            for target in (other, self._address(other, segment)):
                yield _each_packet(flow, segment, self._address(one, segment), target, (_VRRP, None))


def outsides(network: NetworkPlan, name: str) -> Mapping[str, tuple[IPv4Network, ...]]:
    """Return closed network → the addresses at which it reaches what lies outside and is called ``name``."""
    return {one.closed_network: one.prefixes for one in network.outsides if one.name == name}


def inside(handoff: Handoff) -> str:
    """Return where packets of offices are in clear on a hand-off: its segment, or the inside of its tunnel."""
    return handoff.segment if handoff.tunnel is None else f"tunnel:{handoff.segment}"


def entrances(network: NetworkPlan) -> Mapping[tuple[str, str, str], tuple[str, ...]]:
    """Return, by (member, zone, site), where packets of the member's offices come in, sorted."""
    found: dict[tuple[str, str, str], set[str]] = collections.defaultdict(set)
    for line in network.lines:
        for handoff in line.handoffs:
            for zone in line.zones if handoff.zone is None else {handoff.zone} & set(line.zones):
                found[line.member, zone, line.site].add(inside(handoff))
    return {key: tuple(sorted(segments)) for key, segments in found.items()}


def _belong(source: _Side, target: _Side) -> bool:
    """Say whether a flow joins two sides: one member with itself, a service for all, or two that it names."""
    if source.named and target.named:
        return True
    if target.member is None:
        return source.member is None or source.member in target.participants
    if source.member is None:
        return target.member in source.participants
    return source.member == target.member


def _implied(source: str, target: str, kind: str, reason: str) -> FlowReference:
    return FlowReference(source=source, target=target, kind=kind, reason=reason)


def _single(
    flow: FlowReference, segment: str, source: IPv4Address, target: IPv4Address, service: tuple[str, int]
) -> Allowed:
    protocol, port = service
    return Allowed(
        flow=flow,
        source_segments=(segment,),
        sources=(IPv4Network(int(source)),),
        target_segment=segment,
        target=IPv4Network(int(target)),
        protocol=PROTOCOLS[protocol],
        ports=(port, port),
    )


def _each_packet(
    flow: FlowReference,
    segment: str,
    source: IPv4Address,
    to: IPv4Address | str,
    service: tuple[int, tuple[int, int] | None],
) -> Allowed:
    """``to`` is an address, or the machine that takes it in at whatever address."""
    protocol, span = service
    return Allowed(
        flow=flow,
        source_segments=(segment,),
        sources=(IPv4Network(int(source)),),
        target_segment=segment,
        target=IPv4Network(int(to)) if isinstance(to, IPv4Address) else None,
        receiver=to if isinstance(to, str) else None,
        protocol=protocol,
        ports=span,
        each_packet=True,
    )


def _span(allow: ports.PortRange) -> tuple[int, int] | None:
    return None if allow.protocol == "icmp" else (allow.first, allow.last)

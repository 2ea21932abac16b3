"""What the plan declares, as connections between addresses: the yardstick of every other level.

Written from the declaration's rules and not from the code that renders them, so that a mistake there shows here.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit.model import FlowReference
from network import endpoints, ports, service_ports
from network.model import Cluster, Flow, NetworkNode, NetworkPlan, ServiceEndpoint, shown

IMPLIED = frozenset({"office_access", "database", "replication", "load_balancing", "management", "routing", "pair"})
"""Kinds of flows that follow from the plan; all others are exceptions of the stack file."""
HOP_LIMIT = 255
"""A packet that arrives with it was sent on the same segment (RFC 5881, 5; RFC 9568, 5.1.1.3)."""
_SSH, _NTP, _POSTGRESQL, _BGP, _BFD, _SYNC = 22, 123, 5432, 179, 3784, 3780
_VOTES, _VOTERS, _PRIMARY = 2379, 2380, 8008
"""etcd asked, etcd among themselves, and where Patroni says who is the primary."""
_VRRP = 112
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
    target: IPv4Address | None
    """None: whatever address the receiver takes it at (VRRP is sent to a group)."""
    protocol: int
    ports: tuple[int, int] | None
    """None where the protocol has none; of ICMP, echo requests are meant."""
    seen: tuple[IPv4Network, ...] = ()
    """The senders as the receiver sees them, where a gateway translates them."""
    receiver: str | None = None
    """Name of the machine, where there is no target."""
    each_packet: bool = False
    """Each packet is judged for itself and must carry :data:`HOP_LIMIT`; connections play no part."""

    @property
    def crosses(self) -> bool:
        """Whether a gateway passes it on."""
        return self.target_segment not in self.source_segments


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
    endpoint: ServiceEndpoint | None = None
    zone: str | None = None


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
            allowed += self._inside(endpoint, application[endpoint.name])
        for cluster in self._network.clusters:
            allowed += self._replicated(cluster)
        for node in self._network.nodes:
            allowed += self._management(node)
            if node.role == "gateway":
                allowed += self._gateway(node)
        allowed += self._virtual_addresses()
        return Declared(allowed=tuple(dict.fromkeys(allowed)), unresolved=tuple(self._unresolved))

    def _of(self, flow: Flow) -> Iterator[Allowed]:
        known, found = reference(flow), 0
        if not flow.allow:
            self._unresolved.append(Unresolved(flow=known, reason="it allows no port"))
            return
        for source, target in itertools.product(self._sides(flow.source), self._sides(flow.target)):
            if target.endpoint is None or not _belong(source, target):
                continue
            vip = self._network.vip_by_name[target.endpoint.vip]
            segments, sources = self._senders(source, target.endpoint.site)
            if not segments or not sources:
                continue
            for allow in flow.allow:
                found += 1
                yield Allowed(
                    flow=known,
                    source_segments=segments,
                    sources=sources,
                    target_segment=vip.segment,
                    target=vip.address.ip,
                    seen=self._seen(segments, sources),
                    protocol=PROTOCOLS[allow.protocol],
                    ports=_span(allow),
                )
        if not found:
            self._unresolved.append(Unresolved(flow=known, reason="the plan holds no addresses of both its ends"))

    def _sides(self, text: str) -> Sequence[_Side]:
        end = endpoints.parse(text)
        if isinstance(end, endpoints.OfficeEnd):
            return [_Side(member=end.member, named=True, participants=(end.member,), zone=end.zone)]
        if not isinstance(end, endpoints.ServiceEnd):
            return []
        sides: list[_Side] = []
        for endpoint in self._by_service[end.service]:
            members: tuple[str | None, ...] = (endpoint.member,)
            if end.member is not None:
                if end.member not in endpoint.participants:
                    continue
                members = (end.member,)
            elif end.each_member:
                members = endpoint.participants
            sides += [
                _Side(
                    member=member,
                    named=end.member is not None,
                    participants=endpoint.participants,
                    endpoint=endpoint,
                )
                for member in members
            ]
        return sides

    def _senders(self, side: _Side, site: str) -> tuple[tuple[str, ...], tuple[IPv4Network, ...]]:
        """Return where packets of ``side`` come in at ``site``, and from which addresses."""
        if side.endpoint is not None:
            names = side.endpoint.application
            addresses = sorted(self._address(name, side.endpoint.segment) for name in names)
            return (side.endpoint.segment,), tuple(IPv4Network(address) for address in addresses)
        end = (side.member or "", side.zone or "")
        return self._entrances.get((*end, site), ()), tuple(sorted(self._lans[end]))

    def _seen(self, segments: Sequence[str], sources: Sequence[IPv4Network]) -> tuple[IPv4Network, ...]:
        """Return what gateways make of ``sources``; nothing where they make nothing of them."""
        found = {
            shown(self._handoffs[segment][0].sources, source)
            for segment in segments
            if segment in self._handoffs
            for source in sources
        }
        return tuple(sorted(found)) if found and found != set(sources) else ()

    def _address(self, node: str, segment: str) -> IPv4Address:
        return self._network.node_by_name[node].interface(segment).address.ip

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
            edge, own = handoff.peer, self._address(node.name, handoff.segment)
            name = f"line:{line.name}" + (f"/{handoff.zone}" if handoff.zone else "")
            flow = _implied(name, node.name, "routing", "回線事業者との経路交換")
            if handoff.routing == "bgp":
                yield _single(flow, handoff.segment, edge, own, ("tcp", _BGP))
                yield _single(flow, handoff.segment, own, edge, ("tcp", _BGP))
            if handoff.bfd:
                watched = (PROTOCOLS["udp"], (_BFD, _BFD))
                for sender, to in ((edge, node.name), (edge, own), (own, edge)):
                    yield _each_packet(flow, handoff.segment, sender, to, watched)
        for segment in node.segments:
            for other in self._pairs.get(segment, ()):
                if other.name != node.name:
                    flow = _implied(node.name, other.name, "pair", "対の機器の間の接続状態の同期")
                    one, two = self._address(node.name, segment), self._address(other.name, segment)
                    yield _single(flow, segment, one, two, ("udp", _SYNC))

    def _virtual_addresses(self) -> Iterator[Allowed]:
        """Those that share a virtual address hear each other; a pair of gateways does on its sync segment."""
        for vip in self._network.vips:
            for one, other in itertools.permutations(vip.nodes, 2):
                segment = vip.segment
                if self._network.node_by_name[one].role == "gateway":
                    both = set(self._network.node_by_name[one].segments) & set(
                        self._network.node_by_name[other].segments
                    )
                    sync = [name for name in both if self._network.segment_by_name[name].kind == "sync"]
                    if not sync:
                        continue
                    segment = sync[0]
                flow = _implied(one, other, "pair", "仮想アドレスを共有する機器の間の生存通知")
                for target in (other, self._address(other, segment)):
                    yield _each_packet(flow, segment, self._address(one, segment), target, (_VRRP, None))


def entrances(network: NetworkPlan) -> Mapping[tuple[str, str, str], tuple[str, ...]]:
    """Return, by (member, zone, site), the hand-off segments by which packets of the member's offices come in, sorted.

    A tunnel's packets enter by its own card and never in clear on the hand-off.
    """
    found: dict[tuple[str, str, str], set[str]] = collections.defaultdict(set)
    for line in network.lines:
        for handoff in line.handoffs:
            if handoff.routing != "tunnel":
                for zone in line.zones if handoff.zone is None else {handoff.zone} & set(line.zones):
                    found[line.member, zone, line.site].add(handoff.segment)
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
        sources=(IPv4Network(source),),
        target_segment=segment,
        target=target,
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
        sources=(IPv4Network(source),),
        target_segment=segment,
        target=to if isinstance(to, IPv4Address) else None,
        receiver=to if isinstance(to, str) else None,
        protocol=protocol,
        ports=span,
        each_packet=True,
    )


def _span(allow: ports.PortRange) -> tuple[int, int] | None:
    return None if allow.protocol == "icmp" else (allow.first, allow.last)

"""From wishes and the address book to the planned network."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.declaration.links import Link
from infra.declaration.model import Declaration, Service
from infra.plan import wishes
from infra.plan.wishes import SegmentDraft
from infra.tenancy.gateways import Shard
from infra.tenancy.groups import Instance, NodeWish, node_names
from network import addressing, endpoints, ports, timers
from network.addressing import AddressBook
from network.model import (
    MANAGEMENT_INTERFACE,
    Flow,
    Handoff,
    Interface,
    Line,
    NetworkNode,
    NetworkPlan,
    OfficeLan,
    Route,
    Segment,
    ServiceEndpoint,
    Vip,
)

DATABASE_PORT = ports.PortRange("tcp", 5432, 5432)
REPLICATION_PORTS = (ports.PortRange("tcp", 2379, 2380), DATABASE_PORT, ports.PortRange("tcp", 8008, 8008))
"""Votes (etcd), PostgreSQL's replication, and the question who is the primary (Patroni)."""
CARRIER_AS = 64600
"""AS numbers and hold time of hand-offs without declared values, which only a site of simulated hosts may have: the
first closed network has this number, the next one the following. Private numbers (RFC 6996), with BFD."""
GATEWAY_AS = 65010
HOLD_S = 9


class Builder:
    """Puts the network of one stack together; every method reads only what the constructor was given."""

    def __init__(
        self,
        *,
        stack: str,
        declaration: Declaration,
        as_of: datetime.date,
        instances: Sequence[Instance],
        shards: Sequence[Shard],
        nodes: Sequence[NodeWish],
        shared: Mapping[str, str],
        book: AddressBook,
        cards: Mapping[str, Sequence[str]],
        links: Sequence[Link] = (),
    ) -> None:
        """``cards`` is the card order that the lock holds per node (segment names)."""
        self._stack, self._declaration, self._as_of = stack, declaration, as_of
        self._instances, self._shards, self._nodes = instances, shards, nodes
        self._shared, self._book, self._cards = shared, book, cards
        self._links = links
        self._services: dict[str, Service] = {service.id: service for service in declaration.services}
        self._drafts: tuple[SegmentDraft, ...] = wishes.drafts(declaration, instances, shards, shared)
        self._by_instance = {instance.name: instance for instance in instances}
        self._shard_of = {
            (shard.site, zone, member): shard for shard in shards for zone in shard.zones for member in shard.members
        }
        self._served = {(shard.site, member) for shard in shards for member in shard.members}
        self._office_prefixes: dict[tuple[str, str], tuple[IPv4Network, ...]] = {}
        for member in declaration.members:
            for office in member.offices:
                for zone, lans in office.zones.items():
                    here = tuple(prefix for prefix in lans if isinstance(prefix, IPv4Network))
                    self._office_prefixes[member.id, zone] = (*self._office_prefixes.get((member.id, zone), ()), *here)

    def build(self) -> NetworkPlan:
        """Return the network."""
        flows = (*self._implied_flows(), *self._declared_flows())
        return NetworkPlan(
            stack=self._stack,
            segments=tuple(self._segment(draft) for draft in self._drafts),
            nodes=tuple(self._node(node) for node in self._nodes),
            vips=self._vips(),
            offices=self._offices(),
            lines=self._lines(),
            endpoints=tuple(self._endpoint(instance) for instance in self._instances),
            flows=flows,
            stations={
                draft.site: self._interface_address(draft.name, wishes.STATION)
                for draft in self._drafts
                if draft.kind == "management"
            },
            timers=timers.PROFILES[self._declaration.availability.timers],
        )

    def _segment(self, draft: SegmentDraft) -> Segment:
        entry = self._book.segments[draft.name]
        return Segment(
            name=draft.name,
            kind=draft.kind,  # type: ignore[arg-type]  # drafts are made with these literals only
            zone=draft.zone,
            members=draft.members,
            site=draft.site,
            prefixes=(entry.prefix,),
            bridge=addressing.bridge_name(self._stack, entry.ordinal),
            vni=addressing.vni(self._stack, entry.ordinal),
        )

    def _interface_address(self, segment: str, owner: str) -> IPv4Interface:
        entry = self._book.segments[segment]
        return IPv4Interface(f"{entry.addresses[owner]}/{entry.prefix.prefixlen}")

    def _node(self, node: NodeWish) -> NetworkNode:
        wanted = self.segments_of(node)
        order = [segment for segment in self._cards.get(node.name, ()) if segment in wanted]
        order += [segment for segment in wanted if segment not in order]
        return NetworkNode(
            name=node.name,
            role=node.role,
            service=node.service,
            members=node.members,
            zone=node.zone,
            site=node.site,
            interfaces=tuple(self._interface(node, segment) for segment in order),
            routes=self._gateway_routes(node) if node.role == "gateway" else self._service_routes(node),
        )

    def segments_of(self, node: NodeWish) -> tuple[str, ...]:
        """Return the segments that ``node`` needs a card on, management first."""
        segments = [wishes.management(node.site)]
        if node.instance is not None:
            segments.append(wishes.segment_of(self._by_instance[node.instance], self._shared))
            return tuple(segments)
        shard = self._shard(node)
        segments.append(wishes.sync(shard))
        segments += wishes.segments_of_shard(shard, self._instances, self._shared)
        segments += self._handoff_segments(shard)
        return tuple(segments)

    def _shard(self, node: NodeWish) -> Shard:
        return next(shard for shard in self._shards if node.name in shard.nodes)

    def _interface(self, node: NodeWish, segment: str) -> Interface:
        entry = self._book.segments[segment]
        owner = node.name
        if any(draft.name == segment and draft.kind == "line" for draft in self._drafts):
            owner = wishes.LOCAL[self._shard(node).nodes.index(node.name)]
        name = MANAGEMENT_INTERFACE if segment == wishes.management(node.site) else f"seg{entry.ordinal}"
        return Interface(
            segment=segment,
            name=name,
            mac=addressing.mac(self._stack, node.name, segment),
            addresses=(self._interface_address(segment, owner),),
        )

    def _via(self, site: str, zone: str, member: str, segment: str) -> IPv4Address:
        """Return the gateway address on ``segment`` that leads to ``member``."""
        shard = self._shard_of[site, zone, member]
        return self._book.segments[segment].addresses[wishes.gateway_vip(shard.name, segment)]

    def _service_routes(self, node: NodeWish) -> tuple[Route, ...]:
        """Routes to the offices of the members it serves and to the services it has a declared flow with."""
        assert node.instance is not None  # noqa: S101 - only gateways have none
        own = self._by_instance[node.instance]
        carried = [i for i in self._instances if own.name in (i.name, i.runs_on)]
        segment = wishes.segment_of(own, self._shared)
        routes: set[Route] = set()
        for instance in carried:
            for caller, zone, member in self._office_callers(instance):
                via = self._via(own.site, own.zone, member, segment)
                routes |= {Route(prefix=p, via=via) for p in self._office_prefixes.get((caller, zone), ())}
            for member in instance.participants:
                via = self._via(own.site, own.zone, member, segment)
                routes |= {Route(prefix=p, via=via) for p in self._office_prefixes.get((member, own.zone), ())}
            for other, member in self._flow_peers(instance):
                far = wishes.segment_of(other, self._shared)
                if far != segment and other.site == own.site:
                    via = self._via(own.site, own.zone, member, segment)
                    routes.add(Route(prefix=self._book.segments[far].prefix, via=via))
        return tuple(sorted(routes))

    def _office_callers(self, instance: Instance) -> Iterable[tuple[str, str, str]]:
        """Yield member and zone of the offices that a declared flow lets in beside those of the service's own zone.

        The third value is the member whose gateway leads there: the one that the flow ends at.
        """
        for flow in self._declared_flows():
            source, target = endpoints.parse(flow.source), endpoints.parse(flow.target)
            if isinstance(source, endpoints.OfficeEnd) and isinstance(target, endpoints.ServiceEnd):
                member = target.member or source.member
                ends_here = target.service == instance.service and member in instance.participants
                if ends_here and instance.member in (None, member):
                    yield source.member, source.zone, member

    def _flow_peers(self, instance: Instance) -> Iterable[tuple[Instance, str]]:
        """Yield the instances on the other end of declared flows, with the member whose gateway leads there."""
        for flow in self._declared_flows():
            source, target = endpoints.parse(flow.source), endpoints.parse(flow.target)
            for near, far in ((source, target), (target, source)):
                if not isinstance(near, endpoints.ServiceEnd) or near.service != instance.service:
                    continue
                if isinstance(far, endpoints.ServiceEnd):
                    for other in self._instances:
                        member = other.member or instance.member or other.participants[0]
                        if other.service == far.service and instance.member in (None, other.member, member):
                            yield other, member

    def _gateway_routes(self, node: NodeWish) -> tuple[Route, ...]:
        """Routes to the office LANs by static main lines without BFD; all others are FRR's."""
        shard = self._shard(node)
        routes: set[Route] = set()
        for line in self._lines():
            if line.site != shard.site or line.member not in shard.members or line.role != "main":
                continue
            for handoff in line.handoffs:
                if handoff.routing == "bgp" or handoff.bfd:
                    continue
                for zone in line.zones if handoff.zone is None else (handoff.zone,):
                    if zone in shard.zones:
                        routes |= {
                            Route(prefix=prefix, via=handoff.peer)
                            for prefix in self._office_prefixes.get((line.member, zone), ())
                        }
        return tuple(sorted(routes))

    def _vips(self) -> tuple[Vip, ...]:
        vips: list[Vip] = []
        for shard in self._shards:
            # One VRRP instance per pair, on the sync segment, moves all addresses of the shard together.
            vrid = self._book.segments[wishes.sync(shard)].vrids[shard.name]
            for segment in wishes.segments_of_shard(shard, self._instances, self._shared):
                name = wishes.gateway_vip(shard.name, segment)
                vips.append(self._vip(name, segment, name, shard.nodes, vrid))
            for segment in self._handoff_segments(shard):
                vips.append(self._vip(wishes.gateway_vip(shard.name, segment), segment, "vip", shard.nodes, vrid))
        for instance in self._instances:
            segment, name = wishes.segment_of(instance, self._shared), wishes.vip_of(instance)
            vrid = self._book.segments[segment].vrids[name]
            vips.append(self._vip(name, segment, name, self._endpoint(instance).entry, vrid))
        return tuple(sorted(vips, key=lambda vip: vip.name))

    def _vip(self, name: str, segment: str, owner: str, nodes: tuple[str, ...], vrid: int) -> Vip:
        return Vip(name=name, segment=segment, address=self._interface_address(segment, owner), nodes=nodes, vrid=vrid)

    def _handoff_segments(self, shard: Shard) -> Iterable[str]:
        for line in self._declaration.lines:
            if line.site == shard.site and line.member in shard.members:
                for key in wishes.handoffs_of(line):
                    if key == "all" or key in shard.zones:
                        yield wishes.handoff_segment(line, key)

    def _endpoint(self, instance: Instance) -> ServiceEndpoint:
        service = self._services[instance.service]
        carrier = self._by_instance[instance.runs_on] if instance.runs_on else instance
        specs = self._services[carrier.service].nodes

        def names(role: str) -> tuple[str, ...]:
            return tuple(
                name for key, spec in specs.items() if key == role for name in node_names(carrier, key, spec.count)
            )

        return ServiceEndpoint(
            service=instance.service,
            member=instance.member,
            participants=instance.participants,
            zone=instance.zone,
            site=instance.site,
            segment=wishes.segment_of(instance, self._shared),
            vip=wishes.vip_of(instance),
            listen=service.listen,
            application=names("application"),
            database=names("database"),
            load_balancer=names("load_balancer"),
            witness=names("witness"),
            common_data=service.data == "common",
        )

    def _offices(self) -> tuple[OfficeLan, ...]:
        return tuple(
            OfficeLan(
                member=member.id,
                office=office.id,
                zone=zone,
                prefixes=tuple(prefix for prefix in lans if isinstance(prefix, IPv4Network)),
            )
            for member in self._declaration.members
            for office in member.offices
            for zone, lans in office.zones.items()
        )

    def _lines(self) -> tuple[Line, ...]:
        kinds = {network.id: network.kind for network in self._declaration.closed_networks}
        carrier_as = {network: CARRIER_AS + index for index, network in enumerate(kinds)}
        lines: list[Line] = []
        for line in self._declaration.lines:
            if (line.site, line.member) not in self._served:
                continue
            handoffs: list[Handoff] = []
            for key, declared in wishes.handoffs_of(line).items():
                entry = self._book.segments[wishes.handoff_segment(line, key)]
                handoffs.append(
                    Handoff(
                        zone=None if key == "all" else key,
                        segment=wishes.handoff_segment(line, key),
                        peer=entry.addresses["peer"],
                        local=tuple(entry.addresses[owner] for owner in wishes.LOCAL),
                        vip=entry.addresses["vip"],
                        routing=declared.routing if declared else "bgp",
                        peer_as=declared.peer_as if declared else carrier_as[line.closed_network],
                        local_as=declared.local_as if declared else GATEWAY_AS,
                        hold_s=declared.hold_s if declared else HOLD_S,
                        bfd=declared.bfd if declared else True,
                        md5=declared.md5 if declared else None,
                    )
                )
            lines.append(
                Line(
                    name=line.id,
                    member=line.member,
                    site=line.site,
                    closed_network=line.closed_network,
                    closed_network_kind=kinds[line.closed_network],
                    role=line.role,
                    line_class=line.class_,
                    mbps=line.mbps,
                    zones=line.zones,
                    handoffs=tuple(handoffs),
                )
            )
        return tuple(lines)

    def _implied_flows(self) -> tuple[Flow, ...]:
        """What follows from the services: offices reach those of their zone, applications their database."""
        flows: list[Flow] = []
        for instance in self._instances:
            target = f"service:{instance.service}" + (f"@{instance.member}" if instance.member else "")
            for member in instance.participants:
                if self._office_prefixes.get((member, instance.zone)):
                    flows.append(
                        Flow(
                            source=f"office:{member}/{instance.zone}",
                            target=target,
                            allow=self._services[instance.service].listen,
                            kind="office_access",
                            reason="同じ系の庁内LANから業務への通信",
                        )
                    )
            if len(self._endpoint(instance).database) > 1 and instance.runs_on is None:
                flows.append(
                    Flow(
                        source=target,
                        target=target,
                        allow=REPLICATION_PORTS,
                        kind="replication",
                        reason="データベースの複製と主系の選出",
                    )
                )
            if self._endpoint(instance).database:
                flows.append(
                    Flow(
                        source=target,
                        target=target,
                        allow=(DATABASE_PORT,),
                        kind="database",
                        reason="業務アプリケーションからそのデータベースへの通信",
                    )
                )
        return tuple(flows)

    def _declared_flows(self) -> tuple[Flow, ...]:
        """The declared exceptions that are still valid on the day of the plan (the last day is included).

        Support between members is among them only while a link opens it.
        """
        flows: list[Flow] = []
        for flow in self._declaration.flows:
            link = next((link for link in self._links if link.opens(flow)), None)
            if flow.expires < self._as_of or (flow.kind == "mutual_support" and link is None):
                continue
            opened = f"; {link.event}, {link.requested_by}, until {link.until.isoformat()}" if link else ""
            flows.append(
                Flow(
                    source=flow.from_,
                    target=flow.to,
                    allow=flow.allow,
                    kind=flow.kind,
                    reason=f"{flow.reason}{opened}",
                    approved_by=flow.approved_by,
                    expires=flow.expires,
                )
            )
        return tuple(flows)

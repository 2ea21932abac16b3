"""From wishes and the address book to the planned network."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

from infra.declaration import model as declared_model
from infra.declaration import queries
from infra.declaration.links import Link
from infra.declaration.model import Declaration, Service
from infra.declaration.model import Line as DeclaredLine
from infra.plan import wishes
from infra.plan.wishes import SegmentDraft
from infra.tenancy.gateways import Shard
from infra.tenancy.groups import Instance, NodeWish, node_names
from network import addressing, endpoints, ports, timers
from network.addressing import AddressBook
from network.errors import InputError
from network.flows import resolve_declared
from network.model import (
    MANAGEMENT_INTERFACE,
    Flow,
    Handoff,
    Interface,
    Line,
    NetworkNode,
    NetworkPlan,
    OfficeLan,
    Outside,
    Route,
    Routing,
    Segment,
    ServiceEndpoint,
    Translation,
    Tunnel,
    Vip,
    shown,
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
        # Asked for each node: looked up here, for a stack has thousands of them.
        self._line_segments = {draft.name for draft in self._drafts if draft.kind == "line"}
        self._shard_of_node = {name: shard for shard in shards for name in shard.nodes}
        self._inner_of = {shard.name: wishes.segments_of_shard(shard, instances, shared) for shard in shards}
        self._handoffs_of = {shard.name: tuple(self._handoff_segments(shard)) for shard in shards}
        self._carried: dict[str, list[Instance]] = {}
        self._of_service: dict[str, list[Instance]] = {}
        for instance in instances:
            self._of_service.setdefault(instance.service, []).append(instance)
            self._carried.setdefault(instance.runs_on or instance.name, []).append(instance)
        self._declared = tuple(self._declared_flows())
        self._ends_of: dict[str, list[tuple[endpoints.Endpoint, endpoints.Endpoint]]] = {}
        for flow in self._declared:
            ends = endpoints.parse(flow.source), endpoints.parse(flow.target)
            for service in dict.fromkeys(end.service for end in ends if isinstance(end, endpoints.ServiceEnd)):
                self._ends_of.setdefault(service, []).append(ends)
        self._endpoints = {instance.name: self._endpoint(instance) for instance in instances}
        self._translations = _source_translations(declaration)
        self._office_prefixes: dict[tuple[str, str], tuple[IPv4Network, ...]] = {}
        for lan in self._offices():
            before = self._office_prefixes.get((lan.member, lan.zone), ())
            self._office_prefixes[lan.member, lan.zone] = (*before, *lan.prefixes)

    def build(self) -> NetworkPlan:
        """Return the network."""
        flows = (*self._implied_flows(), *self._declared)
        found = NetworkPlan(
            stack=self._stack,
            segments=tuple(self._segment(draft) for draft in self._drafts),
            nodes=tuple(self._node(node) for node in self._nodes),
            vips=self._vips(),
            offices=self._offices(),
            lines=self._lines,
            endpoints=tuple(self._endpoints.values()),
            flows=flows,
            stations={
                draft.site: self._interface_address(draft.name, wishes.STATION)
                for draft in self._drafts
                if draft.kind == "management"
            },
            timers=timers.PROFILES[self._declaration.availability.timers],
            outsides=self._outsides(),
        )
        return self._with_ways_outside(found)

    def _with_ways_outside(self, network: NetworkPlan) -> NetworkPlan:
        """Add the nodes' routes to what lies outside: which gateways lead there follows from the resolved flows."""
        outside = {prefix for one in network.outsides for prefix in one.prefixes}
        if not outside:
            return network
        routes: dict[str, set[Route]] = {}
        for accept in resolve_declared(network)[0]:
            ways = (
                (accept.source_segment, accept.target_segment, accept.target),
                (accept.target_segment, accept.source_segment, accept.source),
            )
            for near, far, prefix in ways:
                if prefix in outside and near != far:
                    shard = next(s for s in self._shards if far in self._handoffs_of[s.name])
                    via = self._book.segments[near].addresses[wishes.gateway_vip(shard.name, near)]
                    routes.setdefault(near, set()).add(Route(prefix=prefix, via=via))
        nodes = tuple(
            node
            if node.role == "gateway"
            else dataclasses.replace(
                node, routes=tuple(sorted({*node.routes, *(r for s in node.segments for r in routes.get(s, ()))}))
            )
            for node in network.nodes
        )
        return dataclasses.replace(network, nodes=nodes)

    def _outsides(self) -> tuple[Outside, ...]:
        """Return what closed networks lead to; an internet zone's lines lead to all of the Internet."""
        carried = {line.closed_network for line in self._declaration.lines if "internet" in line.zones}
        found: list[Outside] = []
        for network in self._declaration.closed_networks:
            reached = {f"external:{name}": prefixes for name, prefixes in network.reaches.items()}
            if network.assigned_prefix is not None:
                reached[f"network:{network.id}"] = (network.assigned_prefix,)
            if network.id in carried:
                reached.setdefault(f"external:{endpoints.INTERNET}", (IPv4Network("0.0.0.0/0"),))
            found += [
                Outside(
                    name=name,
                    closed_network=network.id,
                    prefixes=tuple(prefix for prefix in prefixes if isinstance(prefix, IPv4Network)),
                )
                for name, prefixes in reached.items()
            ]
        return tuple(found)

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
        segments += self._inner_of[shard.name]
        segments += self._handoffs_of[shard.name]
        return tuple(segments)

    def _shard(self, node: NodeWish) -> Shard:
        return self._shard_of_node[node.name]

    def _interface(self, node: NodeWish, segment: str) -> Interface:
        entry = self._book.segments[segment]
        owner = node.name
        if segment in self._line_segments:
            owner = wishes.LOCAL[self._shard(node).nodes.index(node.name)]
        name = MANAGEMENT_INTERFACE if segment == wishes.management(node.site) else f"seg{entry.ordinal}"
        return Interface(
            segment=segment,
            name=name,
            mac=addressing.mac(self._stack, node.name, segment),
            addresses=(self._interface_address(segment, owner),),
            isolated=name == MANAGEMENT_INTERFACE,
        )

    def _via(self, site: str, zone: str, member: str, segment: str) -> IPv4Address:
        """Return the gateway address on ``segment`` that leads to ``member``."""
        shard = self._shard_of[site, zone, member]
        return self._book.segments[segment].addresses[wishes.gateway_vip(shard.name, segment)]

    def _service_routes(self, node: NodeWish) -> tuple[Route, ...]:
        """Routes to the offices of the members it serves and to the services it has a declared flow with."""
        assert node.instance is not None  # noqa: S101 - only gateways have none
        own = self._by_instance[node.instance]
        carried = self._carried[own.name]
        segment = wishes.segment_of(own, self._shared)
        routes: set[Route] = set()
        for instance in carried:
            for caller, zone, member in self._office_callers(instance):
                via = self._via(own.site, own.zone, member, segment)
                routes |= {Route(prefix=p, via=via) for p in self._seen_prefixes(caller, zone)}
            for member in instance.participants:
                via = self._via(own.site, own.zone, member, segment)
                routes |= {Route(prefix=p, via=via) for p in self._seen_prefixes(member, own.zone)}
            for other, member in self._flow_peers(instance):
                far = wishes.segment_of(other, self._shared)
                if far != segment and other.site == own.site:
                    via = self._via(own.site, own.zone, member, segment)
                    routes.add(Route(prefix=self._book.segments[far].prefix, via=via))
        return tuple(sorted(routes))

    def _seen_prefixes(self, member: str, zone: str) -> Iterable[IPv4Network]:
        """Return what services see of a member's LANs."""
        translations = self._translations.get((member, zone), ())
        return (shown(translations, prefix) for prefix in self._office_prefixes.get((member, zone), ()))

    def _office_callers(self, instance: Instance) -> Iterable[tuple[str, str, str]]:
        """Yield member and zone of the offices that a declared flow joins with it beside those of its own zone.

        The third value is the member whose gateway leads there: the one that the service's end names.
        """
        for source, target in self._ends_of.get(instance.service, ()):
            for office, service in ((source, target), (target, source)):
                if isinstance(office, endpoints.OfficeEnd) and isinstance(service, endpoints.ServiceEnd):
                    member = service.member or office.member
                    ends_here = service.service == instance.service and member in instance.participants
                    if ends_here and instance.member in (None, member):
                        yield office.member, office.zone, member

    def _flow_peers(self, instance: Instance) -> Iterable[tuple[Instance, str]]:
        """Yield the instances on the other end of declared flows, with the member whose gateway leads there."""
        for source, target in self._ends_of.get(instance.service, ()):
            for near, far in ((source, target), (target, source)):
                if not isinstance(near, endpoints.ServiceEnd) or near.service != instance.service:
                    continue
                if isinstance(far, endpoints.ServiceEnd):
                    for other in self._of_service.get(far.service, ()):
                        member = other.member or instance.member or other.participants[0]
                        if instance.member in (None, other.member, member):
                            yield other, member

    def _gateway_routes(self, node: NodeWish) -> tuple[Route, ...]:
        """Routes to office LANs by static main lines without BFD, and to the far ends of tunnels; others are FRR's."""
        shard = self._shard(node)
        handed = set(self._handoff_segments(shard))
        routes = {
            Route(prefix=IPv4Network(tunnel.peer), via=handoff.peer)
            for line in self._lines
            for handoff in line.handoffs
            if handoff.segment in handed and (tunnel := handoff.tunnel) is not None
            if tunnel.peer not in self._book.segments[handoff.segment].prefix
        }
        for line in self._lines:
            if line.site != shard.site or line.member not in shard.members or line.role != "main":
                continue
            for handoff in line.handoffs:
                if handoff.routing != "static" or handoff.bfd:
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
            for segment in self._inner_of[shard.name]:
                name = wishes.gateway_vip(shard.name, segment)
                vips.append(self._vip(name, segment, name, shard.nodes, vrid))
            for segment in self._handoffs_of[shard.name]:
                vips.append(self._vip(wishes.gateway_vip(shard.name, segment), segment, "vip", shard.nodes, vrid))
        for instance in self._instances:
            segment, name = wishes.segment_of(instance, self._shared), wishes.vip_of(instance)
            vrid = self._book.segments[segment].vrids[name]
            vips.append(self._vip(name, segment, name, self._endpoints[instance.name].entry, vrid))
        return tuple(sorted(vips, key=lambda vip: vip.name))

    def _vip(self, name: str, segment: str, owner: str, nodes: tuple[str, ...], vrid: int) -> Vip:
        return Vip(name=name, segment=segment, address=self._interface_address(segment, owner), nodes=nodes, vrid=vrid)

    def _handoff_segments(self, shard: Shard) -> Iterable[str]:
        for line in self._declaration.lines:
            if line.site == shard.site and line.member in shard.members:
                here = set(line.zones) & set(shard.zones)
                for key in wishes.handoffs_of(line):
                    if here and key in {"all", *here}:
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
        found: list[OfficeLan] = []
        for member in self._declaration.members:
            for office in member.offices:
                for zone, lans in office.zones.items():
                    own = tuple(prefix for prefix in lans if isinstance(prefix, IPv4Network))
                    seen = tuple(shown(self._translations.get((member.id, zone), ()), prefix) for prefix in own)
                    translated = seen if seen != own else ()
                    lan = OfficeLan(member=member.id, office=office.id, zone=zone, prefixes=own, translated=translated)
                    found.append(lan)
        return tuple(found)

    @functools.cached_property
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
                simulated: Routing = "tunnel" if kinds[line.closed_network] == "internet_vpn" else "bgp"
                routing: Routing = declared.routing if declared else simulated
                handoffs.append(
                    Handoff(
                        zone=None if key == "all" else key,
                        segment=wishes.handoff_segment(line, key),
                        peer=entry.addresses["peer"],
                        local=tuple(entry.addresses[owner] for owner in wishes.LOCAL),
                        vip=entry.addresses["vip"],
                        routing=routing,
                        peer_as=declared.peer_as if declared else carrier_as[line.closed_network],
                        local_as=declared.local_as if declared else GATEWAY_AS,
                        hold_s=declared.hold_s if declared else HOLD_S,
                        bfd=declared.bfd or routing == "tunnel" if declared else True,
                        md5=declared.md5 if declared else None,
                        tunnel=self._tunnel(entry, declared) if routing == "tunnel" else None,
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
                    sources=_translations(self._declaration, line, "source"),
                    destinations=self._destinations(line),
                )
            )
        return tuple(lines)

    def _destinations(self, line: DeclaredLine) -> tuple[Translation, ...]:
        """Return at which addresses a line reaches services; raise InputError when a segment would be cut in two."""
        found = _translations(self._declaration, line, "destination")
        for one, draft in itertools.product(found, self._drafts if found else ()):
            prefix = self._book.segments[draft.name].prefix
            if draft.site == line.site and prefix != one.inside and one.inside.subnet_of(prefix):
                raise InputError(
                    f"{self._stack}: the destination translation of {one.inside} on {line.closed_network} covers "
                    f"a part of the segment {draft.name} ({prefix}) only; write `inside: {prefix}` and an `outside` of "
                    f"its size"
                )
        return found

    def _tunnel(self, entry: addressing.SegmentEntry, declared: declared_model.Handoff | None) -> Tunnel:
        far = declared.tunnel_peer if declared else None
        return Tunnel(
            name=f"tun{entry.ordinal}",
            number=entry.ordinal,
            peer=far if isinstance(far, IPv4Address) else entry.addresses["peer"],
            inner=addressing.tunnel_networks(entry.ordinal),
        )

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
            if len(self._endpoints[instance.name].database) > 1 and instance.runs_on is None:
                flows.append(
                    Flow(
                        source=target,
                        target=target,
                        allow=REPLICATION_PORTS,
                        kind="replication",
                        reason="データベースの複製と主系の選出",
                    )
                )
            if self._endpoints[instance.name].database:
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
                    until=link.until if link else None,
                )
            )
        return tuple(flows)


def _translations(
    declaration: Declaration, line: DeclaredLine, direction: Literal["source", "destination"]
) -> tuple[Translation, ...]:
    return tuple(
        sorted(
            Translation(inside=one.inside, outside=one.outside)
            for one in queries.translations_of(declaration, line)
            if one.direction == direction
            and isinstance(one.inside, IPv4Network)
            and isinstance(one.outside, IPv4Network)
        )
    )


def _source_translations(declaration: Declaration) -> dict[tuple[str, str], tuple[Translation, ...]]:
    """Return what gateways make of the addresses of a member's zone; every line of both does the same."""
    return {
        (line.member, zone): found
        for line in declaration.lines
        if (found := _translations(declaration, line, "source"))
        for zone in line.zones
    }

"""Machines, cards, routes and endpoints of a plan: where packets come from, where they go, and whose they are."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit.declared import entrances
from infra.audit.model import Endpoint, EndpointClass
from infra.audit.packets import Interval
from network.model import NetworkNode, NetworkPlan, OfficeLan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card with every address that may be on it."""

    name: str
    segment: str
    addresses: tuple[IPv4Address, ...]
    """Its own and the virtual ones, sorted."""
    own: tuple[IPv4Address, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as a filter between its cards."""

    name: str
    forwards: bool
    cards: tuple[Card, ...]
    routes: tuple[tuple[IPv4Network, str], ...]
    """Prefix → name of a card by which it may be reached; a prefix with several lines stands several times."""

    def card_on(self, segment: str) -> Card | None:
        """Return the card on ``segment``."""
        return next((card for card in self.cards if card.segment == segment), None)

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """All its addresses."""
        return tuple(address for card in self.cards for address in card.addresses)


def machine(
    node: NetworkNode,
    vips: Mapping[str, Sequence[tuple[str, IPv4Address]]],
    learned: Mapping[str, Sequence[IPv4Network]],
) -> Machine:
    """Return ``node`` as a filter; ``vips`` are (segment, address) by node, ``learned`` prefixes by hand-off."""
    cards = []
    for interface in node.interfaces:
        own = tuple(address.ip for address in interface.addresses)
        virtual = tuple(address for segment, address in vips.get(node.name, ()) if segment == interface.segment)
        cards.append(
            Card(
                name=interface.name,
                segment=interface.segment,
                addresses=tuple(sorted({*own, *virtual})),
                own=own,
            )
        )
    routes = [(interface.address.network, interface.name) for interface in node.interfaces]
    for route in node.routes:
        routes += [(route.prefix, card.name) for card in node.interfaces if route.via in card.address.network]
    if node.role == "gateway":
        routes += [(prefix, card.name) for card in node.interfaces for prefix in learned.get(card.segment, ())]
    return Machine(
        name=node.name,
        forwards=node.role == "gateway",
        cards=tuple(cards),
        routes=tuple(dict.fromkeys(routes)),
    )


def _learned(network: NetworkPlan) -> Mapping[str, tuple[IPv4Network, ...]]:
    """Return the office LANs that each hand-off may lead to, whichever line is up."""
    lans: dict[str, list[OfficeLan]] = collections.defaultdict(list)
    for lan in network.offices:
        lans[lan.member].append(lan)
    return {
        handoff.segment: tuple(
            prefix
            for lan in lans[line.member]
            if lan.zone in (line.zones if handoff.zone is None else (handoff.zone,))
            for prefix in lan.prefixes
        )
        for line in network.lines
        for handoff in line.handoffs
    }


def _span(text: str) -> Interval:
    """Return first and last number of an address or prefix."""
    if "/" not in text:
        number = int(IPv4Address(text))
        return number, number
    prefix = IPv4Network(text)
    return int(prefix.network_address), int(prefix.broadcast_address)


class Topology:
    """Everything of a plan that an audit looks up."""

    def __init__(self, network: NetworkPlan) -> None:
        self.network = network
        vips: dict[str, list[tuple[str, IPv4Address]]] = collections.defaultdict(list)
        for vip in network.vips:
            for name in vip.nodes:
                vips[name].append((vip.segment, vip.address.ip))
        learned = _learned(network)
        self.machines: Mapping[str, Machine] = {node.name: machine(node, vips, learned) for node in network.nodes}
        self.endpoints: tuple[Endpoint, ...] = tuple(sorted(self._endpoints(), key=lambda endpoint: endpoint.name))
        self._places: dict[str, list[tuple[int, int, str]]] = collections.defaultdict(list)
        spans = {
            segment.name: [(int(own.network_address), int(own.broadcast_address)) for own in segment.prefixes]
            for segment in network.segments
        }
        for endpoint in self.endpoints:
            own = [_span(text) for text in endpoint.addresses]
            for segment in endpoint.segments:
                for first, last in own:
                    # A machine has other addresses on each segment; an office's are behind the hand-off.
                    here = any(low <= first and last <= high for low, high in spans[segment])
                    if here or endpoint.kind == "office":
                        self._places[segment].append((first, last, endpoint.name))
        for places in self._places.values():
            places.sort()

    @functools.cached_property
    def machines_by_segment(self) -> Mapping[str, tuple[Machine, ...]]:
        """Machines with a card on each segment."""
        found: dict[str, list[Machine]] = collections.defaultdict(list)
        for one in self.machines.values():
            for card in one.cards:
                found[card.segment].append(one)
        return {segment: tuple(machines) for segment, machines in found.items()}

    @functools.cached_property
    def holders(self) -> Mapping[tuple[str, int], tuple[Machine, ...]]:
        """(segment, address) → machines that may hold it."""
        found: dict[tuple[str, int], list[Machine]] = collections.defaultdict(list)
        for one in self.machines.values():
            for card in one.cards:
                for address in card.addresses:
                    found[card.segment, int(address)].append(one)
        return {place: tuple(machines) for place, machines in found.items()}

    @functools.cached_property
    def classes(self) -> tuple[EndpointClass, ...]:
        """Endpoints that every filter treats alike: of a kind, role, zone, members and segments."""
        groups: dict[tuple[object, ...], list[str]] = collections.defaultdict(list)
        roles = {node.name: (node.role, node.service) for node in self.network.nodes}
        for endpoint in self.endpoints:
            key = (
                endpoint.kind,
                endpoint.members,
                endpoint.zone,
                endpoint.site,
                endpoint.segments,
                roles.get(endpoint.name),
            )
            groups[key].append(endpoint.name)
        return tuple(
            sorted((EndpointClass(endpoints=tuple(names)) for names in groups.values()), key=lambda one: one.name)
        )

    @property
    def pairs(self) -> int:
        """Ordered pairs of different endpoints: the sum over pairs of classes of the product of their sizes."""
        sizes = [len(one.endpoints) for one in self.classes]
        total = sum(sizes)
        return total * total - total

    def who(self, segment: str, address: int, family: int = 0) -> str:
        """Return whose packets of ``address`` on ``segment`` are: an endpoint, or the segment itself."""
        if family == 0:
            found = self.overlapping(segment, (address, address))
            if found:
                return found[0][2]
        return self.unknown(segment)

    def unknown(self, segment: str) -> str:
        """Return the name for anybody on ``segment`` who is none of the endpoints there."""
        known = self.network.segment_by_name[segment]
        return f"line:{segment}" if known.kind == "line" else f"segment:{segment}"

    def overlapping(self, segment: str, interval: Interval) -> list[tuple[int, int, str]]:
        """Return (first, last, endpoint) of everybody on ``segment`` with addresses in ``interval``."""
        places = self._places.get(segment, [])
        end = bisect.bisect_right(places, (interval[1], 2**32, "\U0010ffff"))
        return [place for place in places[:end] if place[1] >= interval[0]]

    def _endpoints(self) -> Iterable[Endpoint]:
        network = self.network
        offices: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
        for lan in network.offices:
            offices[lan.member, lan.zone] |= {str(prefix) for prefix in lan.prefixes}
        sites = sorted({line.site for line in network.lines})
        entering = entrances(network)
        shared = {vip.address.ip for vip in network.vips}
        for (member, zone), prefixes in offices.items():
            segments = tuple(segment for site in sites for segment in entering.get((member, zone, site), ()))
            yield Endpoint(
                name=f"office:{member}/{zone}",
                kind="office",
                members=(member,),
                zone=zone,
                site="",
                segments=segments,
                addresses=tuple(sorted(prefixes)),
            )
        for node in network.nodes:
            one = self.machines[node.name]
            gateway = node.role == "gateway"
            yield Endpoint(
                name=node.name,
                kind="gateway" if gateway else "node",
                members=node.members,
                zone=node.zone,
                site=node.site,
                segments=tuple(card.segment for card in one.cards),
                addresses=tuple(str(a) for card in one.cards for a in card.addresses if gateway or a not in shared),
            )
        for endpoint in network.endpoints:
            yield Endpoint(
                name=f"service:{endpoint.name}",
                kind="service",
                members=endpoint.participants,
                zone=endpoint.zone,
                site=endpoint.site,
                segments=(endpoint.segment,),
                addresses=(str(network.vip_by_name[endpoint.vip].address.ip),),
            )
        for site, address in network.stations.items():
            yield Endpoint(
                name=f"station:{site}",
                kind="station",
                members=(),
                zone=None,
                site=site,
                segments=(network.management_segment(site).name,),
                addresses=(str(address.ip),),
            )
        for line in network.lines:
            for handoff in line.handoffs:
                yield Endpoint(
                    name=f"line:{handoff.segment}",
                    kind="line",
                    members=(line.member,),
                    zone=handoff.zone,
                    site=line.site,
                    segments=(handoff.segment,),
                    addresses=(str(handoff.peer),),
                )

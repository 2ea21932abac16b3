"""Machines, cards, routes and endpoints of a plan: where packets come from, where they go, and whose they are."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit.declared import Allowed, entrances, inside, outsides
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
class Way:
    """A route of a table of its own, which the sender of a packet decides."""

    source: IPv4Network
    prefix: IPv4Network
    card: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as a filter between its cards."""

    name: str
    forwards: bool
    cards: tuple[Card, ...]
    routes: tuple[tuple[IPv4Network, str], ...]
    """Prefix → name of a card by which it may be reached; a prefix with several lines stands several times."""
    ways: tuple[Way, ...] = ()
    """Routes by the sender, for what none of :attr:`routes` leads to."""

    def card_on(self, segment: str) -> Card | None:
        """Return the card on ``segment``."""
        return next((card for card in self.cards if card.segment == segment), None)

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """All its addresses."""
        return tuple(address for card in self.cards for address in card.addresses)


def machine(
    network: NetworkPlan,
    node: NetworkNode,
    vips: Mapping[str, Sequence[tuple[str, IPv4Address]]],
    learned: Mapping[str, Sequence[IPv4Network]],
    outward: Iterable[Allowed],
) -> Machine:
    """Return ``node`` as a filter.

    ``vips`` are (segment, address) by node, ``learned`` prefixes by where a line leads to them, and ``outward`` is what
    crosses to and from addresses outside the stack.
    """
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
    ways: list[Way] = []
    if node.role == "gateway":
        for prefix, card in _inner_cards(network, node):
            cards.append(card)
            routes.append((prefix, card.name))
        by_segment = {card.segment: card.name for card in cards}
        routes += [(prefix, card.name) for card in cards for prefix in learned.get(card.segment, ())]
        for one in outward:
            ways += _ways(network, one, by_segment)
    return Machine(
        name=node.name,
        forwards=node.role == "gateway",
        cards=tuple(cards),
        routes=tuple(dict.fromkeys(routes)),
        ways=tuple(dict.fromkeys(ways)),
    )


def _inner_cards(network: NetworkPlan, node: NetworkNode) -> Iterable[tuple[IPv4Network, Card]]:
    """Yield the cards of a gateway's tunnels, each with the network inside."""
    addresses = {interface.segment: interface.address.ip for interface in node.interfaces}
    for line in network.lines:
        for handoff in line.handoffs:
            if handoff.tunnel is not None and addresses.get(handoff.segment) in handoff.local:
                within = handoff.tunnel.inner[handoff.local.index(addresses[handoff.segment])]
                own = (within[1],)
                yield within, Card(name=handoff.tunnel.name, segment=inside(handoff), addresses=own, own=own)


def _ways(network: NetworkPlan, one: Allowed, cards: Mapping[str, str]) -> Iterable[Way]:
    """Yield the routes by which packets of ``one`` go outside, or their answers."""
    outside = {prefix for known in network.outsides for prefix in known.prefixes}
    there = one.target_segment
    for here in one.source_segments:
        if here in cards and there in cards:
            if one.target in outside and one.target is not None:
                yield Way(source=network.segment_by_name[here].prefix, prefix=one.target, card=cards[there])
            for source in one.sources:
                if source in outside:
                    yield Way(source=network.segment_by_name[there].prefix, prefix=source, card=cards[here])


def _learned(network: NetworkPlan) -> Mapping[str, tuple[IPv4Network, ...]]:
    """Return the office LANs that each hand-off may lead to, whichever line is up."""
    lans: dict[str, list[OfficeLan]] = collections.defaultdict(list)
    for lan in network.offices:
        lans[lan.member].append(lan)
    return {
        inside(handoff): tuple(
            prefix
            for lan in lans[line.member]
            if lan.zone in (line.zones if handoff.zone is None else (handoff.zone,))
            for prefix in lan.prefixes
        )
        for line in network.lines
        for handoff in line.handoffs
    }


def span(prefix: IPv4Network) -> Interval:
    """Return first and last number of a prefix."""
    first = int(prefix.network_address)
    return first, first + (1 << (32 - prefix.prefixlen)) - 1


def _span(text: str) -> Interval:
    """Return first and last number of an address or prefix."""
    if "/" in text:
        return span(IPv4Network(text))
    number = int(IPv4Address(text))
    return number, number


class Topology:
    """Everything of a plan that an audit looks up."""

    def __init__(self, network: NetworkPlan, allowed: Iterable[Allowed]) -> None:
        self.network = network
        handoffs = [handoff for line in network.lines for handoff in line.handoffs]
        self.lines = frozenset({*(handoff.segment for handoff in handoffs), *map(inside, handoffs)})
        """Segments behind which a carrier stands, and the insides of tunnels."""
        vips: dict[str, list[tuple[str, IPv4Address]]] = collections.defaultdict(list)
        for vip in network.vips:
            for name in vip.nodes:
                vips[name].append((vip.segment, vip.address.ip))
        learned = _learned(network)
        outside = {prefix for one in network.outsides for prefix in one.prefixes}
        outward = [a for a in allowed if outside and a.crosses and (a.target in outside or outside & {*a.sources})]
        self.machines: Mapping[str, Machine] = {
            node.name: machine(network, node, vips, learned, outward) for node in network.nodes
        }
        self.endpoints: tuple[Endpoint, ...] = tuple(sorted(self._endpoints(), key=lambda endpoint: endpoint.name))
        self._places: dict[str, list[tuple[int, int, str]]] = collections.defaultdict(list)
        spans = {
            segment.name: [(int(own.network_address), int(own.broadcast_address)) for own in segment.prefixes]
            for segment in network.segments
        }
        beyond: dict[str, list[tuple[int, int, str]]] = collections.defaultdict(list)
        for endpoint in self.endpoints:
            own = [_span(text) for text in endpoint.addresses]
            for segment in endpoint.segments:
                for first, last in own:
                    if endpoint.kind == "network":
                        beyond[segment].append((first, last, endpoint.name))
                    # A machine has other addresses on each segment; an office's are behind the hand-off, as is the far
                    # end of a tunnel.
                    elif endpoint.kind in {"office", "line"} or any(
                        low <= first and last <= high for low, high in spans.get(segment, ())
                    ):
                        self._places[segment].append((first, last, endpoint.name))
        for segment, outer in beyond.items():
            # Whoever is known by a narrower prefix is meant by it: the Internet is everybody else.
            for first, last, name in sorted(outer, key=lambda place: place[1] - place[0]):
                known = [(low, high) for low, high, _ in self._places[segment] if low <= last and first <= high]
                self._places[segment] += [(low, high, name) for low, high in apart((first, last), known)]
        self._reach: dict[str, list[int]] = {}
        for name, places in self._places.items():
            places.sort()
            self._reach[name] = list(itertools.accumulate((last for _, last, _ in places), max))

    @functools.cached_property
    def endpoint_by_name(self) -> Mapping[str, Endpoint]:
        """Endpoints by name."""
        return {endpoint.name: endpoint for endpoint in self.endpoints}

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
        return f"line:{segment.removeprefix('tunnel:')}" if segment in self.lines else f"segment:{segment}"

    def overlapping(self, segment: str, interval: Interval) -> list[tuple[int, int, str]]:
        """Return (first, last, endpoint) of everybody on ``segment`` with addresses in ``interval``."""
        places = self._places.get(segment)
        if places is None:
            return []
        begin = bisect.bisect_left(self._reach[segment], interval[0])
        end = bisect.bisect_right(places, (interval[1], 2**32, "\U0010ffff"))
        return [place for place in places[begin:end] if place[1] >= interval[0]]

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
                tunnel = handoff.tunnel
                far = (tunnel.peer, *(within[2] for within in tunnel.inner)) if tunnel is not None else ()
                yield Endpoint(
                    name=f"line:{handoff.segment}",
                    kind="line",
                    members=(line.member,),
                    zone=handoff.zone,
                    site=line.site,
                    segments=tuple(dict.fromkeys((handoff.segment, inside(handoff)))),
                    addresses=tuple(str(address) for address in (handoff.peer, *far)),
                )
        names = dict.fromkeys(one.name for one in network.outsides)
        for name in names:
            known = outsides(network, name)
            segments = tuple(
                inside(handoff) for line in network.lines if known.get(line.closed_network) for handoff in line.handoffs
            )
            yield Endpoint(
                name=name,
                kind="network",
                members=(),
                zone=None,
                site="",
                segments=segments,
                addresses=tuple(sorted({str(prefix) for prefixes in known.values() for prefix in prefixes})),
            )


def apart(whole: Interval, known: Iterable[Interval]) -> Iterator[Interval]:
    """Yield what of ``whole`` none of ``known`` covers."""
    low = whole[0]
    for first, last in sorted(known):
        if first > whole[1]:
            break
        if first > low:
            yield low, first - 1
        low = max(low, last + 1)
    if low <= whole[1]:
        yield low, whole[1]

"""Who reaches whom, end to end: the exact packets of every ordered pair of endpoints that can open a connection."""

from __future__ import annotations

import collections
import dataclasses
import functools
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from infra.audit import expected, packets
from infra.audit.declared import Allowed
from infra.audit.filters import Filtered
from infra.audit.model import FlowReference, Pair, Passing, protocol_name
from infra.audit.model import PacketRange as Range
from infra.audit.nft import evaluate
from infra.audit.nft.evaluate import Translated
from infra.audit.nft.keys import ICMP, Cards
from infra.audit.nft.model import Rewrite
from infra.audit.packets import (
    DESTINATION,
    FAMILY,
    ICMP_TYPE,
    INCOMING,
    IPV4,
    IPV6,
    NEW,
    NONE,
    OUTGOING,
    PORT,
    PROTOCOL,
    SOURCE,
    STATE,
    Box,
    Interval,
    Node,
)
from infra.audit.topology import Machine, Topology, apart

_Found = dict[tuple[str, str], dict[tuple[Allowed | None, tuple[str, ...]], set[Range]]]


def of_declaration(topology: Topology, allowed: Iterable[Allowed]) -> tuple[Pair, ...]:
    """Return the pairs as declared."""
    found: _Found = {}
    for one in allowed:
        if one.target is not None:
            for segment in one.source_segments:
                _add(topology, found, expected.opened(one), one, (segment, (), one.target_segment))
    return _sorted(found)


def sets_of_declaration(topology: Topology, allowed: Iterable[Allowed]) -> Mapping[tuple[str, str], Node]:
    """Return the packets of every pair as one set, for comparison."""
    found: dict[tuple[str, str], Node] = {}
    for one in allowed:
        if one.target is None:
            continue
        for segment in one.source_segments:
            for box in expected.opened(one):
                for own, source in _owners(topology, segment, box[SOURCE]):
                    for to, target in _owners(topology, one.target_segment, box[DESTINATION]):
                        part = packets.box({**box, SOURCE: own, DESTINATION: to})
                        found[source, target] = found.get((source, target), NONE) | part
    return found


def _owners(topology: Topology, segment: str, whole: Interval) -> Iterator[tuple[Interval, str]]:
    """Yield the parts of an interval that belong to somebody on ``segment``, with the owner."""
    for first, last, name in topology.overlapping(segment, whole):
        yield (max(first, whole[0]), min(last, whole[1])), name


def ranges(node: Node) -> tuple[Range, ...]:
    """Return a set as people write it, sorted."""
    rows = []
    for box in packets.split(node):
        family = box.get(FAMILY, (IPV4, IPV4))[0]
        last = packets.V4_LAST if family == IPV4 else packets.V6_LAST
        rows.append(_range(box, family, box.get(SOURCE, (0, last)), box.get(DESTINATION, (0, last))))
    return tuple(sorted(rows))


_BEYOND = "beyond"
"""Where what is declared ends, that is more than one address: behind a line."""
_Places = Mapping[tuple[str, object], Sequence[tuple[Allowed, Node]]]
"""(segment, address or machine) → what is declared to end there."""


def _by_place(topology: Topology, allowed: Iterable[Allowed]) -> _Places:
    places: dict[tuple[str, object], list[tuple[Allowed, Node]]] = collections.defaultdict(list)
    for one in allowed:
        beyond = one.crosses and one.target_segment in topology.lines
        end: object = _BEYOND if beyond else one.receiver if one.target is None else one.address
        # Gateways tell the Internet from who is known by name, not the receiver.
        places[one.target_segment, end].append(
            (one, packets.boxes(expected.opened(one if beyond else dataclasses.replace(one, apart=()))))
        )
    return places


def _ending(places: _Places, machine: Machine, segment: str) -> list[tuple[Allowed, Node]]:
    """Return what is declared to end at a machine's card; what is sent to a group comes last."""
    card = machine.card_on(segment)
    ends: tuple[object, ...] = (*(card.addresses if card else ()), machine.name)
    return [found for end in ends for found in places.get((segment, end), ())]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What opens connections at one machine; the state and the card that is none are settled."""

    machine: Machine
    cards: Cards
    taken: Node
    """What it takes in itself."""
    passed: Node
    """What it passes on."""
    sent: Node
    """What it sends itself."""
    translated: tuple[Translated, ...] = ()
    """Where it rewrites senders."""


def opening(one: Filtered) -> Opening:
    """Return what opens connections at a machine."""
    taken, passed, sent = (packets.select(one.at(p).passing.may, STATE, NEW) for p in ("input", "forward", "output"))
    return Opening(
        machine=one.machine,
        cards=one.cards,
        taken=packets.select(taken, OUTGOING, 0),
        passed=passed,
        sent=packets.select(sent, INCOMING, 0),
        translated=one.at("forward").judged[-1].translated,
    )


def of_rules(
    topology: Topology,
    opened: Mapping[str, Opening],
    allowed: Sequence[Allowed],
) -> tuple[Pair, ...]:
    """Return the pairs as the rules of all machines together let them be."""
    found: _Found = {}
    places, outward = _by_place(topology, allowed), _outward(topology, allowed)
    for name, one in opened.items():
        machine = one.machine
        # On one segment nobody stands between, but the receiver itself.
        for card in machine.cards:
            taken = packets.select(one.taken, INCOMING, one.cards.number(card.name))
            taken = taken & _at(machine, card.segment)
            if taken:
                ending = _ending(places, machine, card.segment)
                _attribute(topology, found, taken, ending, (card.segment, (), machine.name))
        for wanted in outward.get(name, ()):
            _sent(topology, found, one, wanted)
        if not machine.forwards:
            continue
        passing = one.passed & expected.routed(machine, one.cards)
        segments = {one.cards.number(card.name): card.segment for card in machine.cards}
        for incoming, here in segments.items():
            by_in = packets.select(passing, INCOMING, incoming)
            for outgoing, there in segments.items():
                rest = packets.select(by_in, OUTGOING, outgoing)
                if not rest:
                    continue
                parts = _translated(one, incoming, outgoing, rest)
                _through(topology, opened, places, found, (one, here, there, parts))
    return _sorted(found)


def _outward(topology: Topology, allowed: Iterable[Allowed]) -> Mapping[str, Sequence[Allowed]]:
    """Return, by sender, what is declared towards those whose filters are not ours: stations and carriers' edges."""
    found: dict[str, list[Allowed]] = collections.defaultdict(list)
    for one in allowed:
        if not (one.crosses or one.address is None or (one.target_segment, int(one.address)) in topology.holders):
            places = {(s, int(source.network_address)) for s in one.source_segments for source in one.sources}
            for name in {machine.name for place in places for machine in topology.holders.get(place, ())}:
                found[name].append(one)
    return found


def _sent(topology: Topology, found: _Found, sender: Opening, one: Allowed) -> None:
    """Add what a machine opens of what is declared towards those whose filters are not ours."""
    card = next((c for s in one.source_segments if (c := sender.machine.card_on(s)) is not None), None)
    if card is None or one.address is None or not any(source.network_address in card.own for source in one.sources):
        return
    sent = packets.select(sender.sent, OUTGOING, sender.cards.number(card.name))
    part = sent & packets.boxes(expected.opened(one))
    if part:
        way: tuple[str, tuple[str, ...], str]
        way = (card.segment, (), topology.who(one.target_segment, int(one.address)))
        _add(topology, found, packets.split(part), one, way)


def _through(
    topology: Topology,
    opened: Mapping[str, Opening],
    places: _Places,
    found: _Found,
    step: tuple[Opening, str, str, Sequence[tuple[Node, Rewrite | None]]],
) -> None:
    """Follow what a gateway passes on to whoever takes it in on the next segment."""
    gateway, here, there, parts = step
    name = gateway.machine.name
    if there in topology.lines:
        for rest, _ in parts:
            _attribute(topology, found, rest, places.get((there, _BEYOND), ()), (here, (name,), there))
        return
    for other in topology.machines_by_segment.get(there, ()):
        if other.name == name or other.name not in opened:
            continue
        card = other.card_on(there)
        number = opened[other.name].cards.number(card.name) if card else 0
        for rest, rewrite in parts:
            at = rest & _at(other, there)
            if at and rewrite is not None:
                at = packets.mapped(at, functools.partial(evaluate.rewritten, kind="source", rewrite=rewrite))
            taken = at & packets.select(opened[other.name].taken, INCOMING, number)
            if taken and rewrite is not None:
                taken = packets.mapped(
                    taken, functools.partial(evaluate.rewritten, kind="source", rewrite=_back(rewrite))
                )
            if taken:
                _attribute(topology, found, taken, _ending(places, other, there), (here, (name,), other.name))


def _translated(gateway: Opening, incoming: int, outgoing: int, rest: Node) -> list[tuple[Node, Rewrite | None]]:
    """Divide what a gateway passes on by what it makes of the sender; None: nothing."""
    parts: list[tuple[Node, Rewrite | None]] = []
    for done in gateway.translated:
        if done.rewrite.from_prefix is not None:
            mine = packets.select(packets.select(done.packets.may, STATE, NEW), INCOMING, incoming)
            mine = packets.select(mine, OUTGOING, outgoing) & rest
            if mine:
                parts.append((mine, done.rewrite))
                rest = rest - mine
    return [*parts, (rest, None)]


def _back(rewrite: Rewrite) -> Rewrite:
    """Return the opposite of a rewriting that keeps the place of an address."""
    first, last = rewrite.from_prefix or (None, None)
    new = None if rewrite.first is None or rewrite.last is None else (rewrite.first, rewrite.last)
    return dataclasses.replace(rewrite, first=first, last=last, from_prefix=new)


def _at(machine: Machine, segment: str) -> Node:
    card = machine.card_on(segment)
    numbers = [int(address) for address in card.addresses] if card else []
    return packets.boxes({FAMILY: (IPV4, IPV4), DESTINATION: (n, n)} for n in numbers)


def _attribute(
    topology: Topology,
    found: _Found,
    node: Node,
    ending: Sequence[tuple[Allowed, Node]],
    way: tuple[str, tuple[str, ...], str],
) -> None:
    """Divide packets among the flows that declare them; what is left has none."""
    here = way[0]
    # What is sent to a group is listed once, with the receiver's own address.
    for one, declared in sorted(ending, key=lambda end: here not in end[0].source_segments):
        part = node & declared
        if part:
            node = node - part
            # A neighbour on the receiver's segment who writes a far sender into his packets is no pair of endpoints:
            # no filter of the receiver can tell him from the gateway.
            if one.target is not None and here in one.source_segments:
                _add(topology, found, packets.split(part), one, way)
    if node:
        _add(topology, found, packets.split(node), None, way)


def _add(
    topology: Topology, found: _Found, parts: Iterable[Box], one: Allowed | None, way: tuple[str, tuple[str, ...], str]
) -> None:
    here, through, there = way
    direct = not through
    for box in parts:
        family = box.get(FAMILY, (IPV4, IPV4))[0]
        last = packets.V4_LAST if family == IPV4 else packets.V6_LAST
        low, high = box.get(SOURCE, (0, last))
        senders = topology.overlapping(here, (low, high)) if family == IPV4 else []
        if one is None and direct:
            senders = [s for s in senders if not s[2].startswith("office:")]  # those come through a gateway
        covered = [(max(low, first), min(high, end), name) for first, end, name in senders]
        if not covered or (one is None and not _covers(covered, (low, high))):
            covered.append((low, high, topology.unknown(here)))
        for to, target in _targets(topology, there, box, one):
            for first, end, name in covered:
                if name != target:
                    key = (name, target)
                    rows = found.setdefault(key, {}).setdefault((one, (name, *through, target)), set())
                    rows.add(_range(box, family, (first, end), to))


def _targets(
    topology: Topology, there: str, box: Mapping[int, Interval], one: Allowed | None
) -> Iterator[tuple[Interval, str]]:
    """Yield the parts of the destinations, and whose they are; ``there`` is a machine, a segment or an endpoint."""
    family = box.get(FAMILY, (IPV4, IPV4))[0]
    whole = box.get(DESTINATION, (0, packets.V4_LAST if family == IPV4 else packets.V6_LAST))
    if one is not None and one.address is not None and one.target_segment not in topology.lines:
        yield whole, topology.who(one.target_segment, int(one.address))
    elif there in topology.machines:
        cards = topology.machines[there].cards
        segment = next((c.segment for c in cards if any(int(own) == whole[0] for own in c.addresses)), None)
        yield whole, topology.who(segment, whole[0]) if segment is not None else there
    elif there in topology.endpoint_by_name:
        yield whole, there
    else:
        known = list(_owners(topology, there, whole)) if family == IPV4 else []
        yield from known
        for rest in apart(whole, (own for own, _ in known)):
            yield rest, topology.unknown(there)


def _covers(covered: Sequence[tuple[int, int, str]], whole: Interval) -> bool:
    reached = whole[0] - 1
    for first, end, _ in sorted(covered):
        if first > reached + 1:
            return False
        reached = max(reached, end)
    return reached >= whole[1]


def _range(box: Mapping[int, Interval], family: int, source: Interval, target: Interval) -> Range:
    protocols = box.get(PROTOCOL, (0, 255))
    field = ICMP_TYPE if protocols == (ICMP, ICMP) else PORT
    return Range(
        protocol=protocol_name(protocols[0])
        if protocols[0] == protocols[1]
        else "any"
        if protocols == (0, 255)
        else f"{protocols[0]}-{protocols[1]}",
        sources=addresses(family, source),
        destinations=addresses(family, target),
        ports=_numbers(box.get(field)),
    )


def addresses(family: int, interval: Interval) -> str:
    """Return an interval of addresses as one address, one prefix, or first and last; ``any`` for all."""
    low, high = interval
    if (low, high) == (0, packets.V4_LAST if family == IPV4 else packets.V6_LAST):
        return "any"
    if low == high:
        return _address(family, low)
    size = high - low + 1
    if size & (size - 1) == 0 and low % size == 0:
        return f"{_address(family, low)}/{(128 if family == IPV6 else 32) - size.bit_length() + 1}"
    return f"{_address(family, low)}-{_address(family, high)}"


def _address(family: int, number: int) -> str:
    if family == IPV4:
        return ".".join(map(str, number.to_bytes(4, "big")))
    return str(ipaddress.IPv6Address(number))


def _numbers(interval: Interval | None) -> str:
    if interval is None:
        return "any"
    return str(interval[0]) if interval[0] == interval[1] else f"{interval[0]}-{interval[1]}"


def _sorted(found: _Found) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    for (source, target), rows in sorted(found.items()):
        merged: dict[tuple[Allowed | None, tuple[Range, ...]], tuple[str, ...]] = {}
        for (one, path), ranges in rows.items():
            merged.setdefault((one, tuple(sorted(ranges))), path)  # the second of a pair passes the same
        by_flow: dict[FlowReference | None, list[tuple[tuple[Range, ...], tuple[str, ...]]]]
        by_flow = collections.defaultdict(list)
        for (one, own), path in merged.items():
            by_flow[one.flow if one else None].append((own, path))
        passing = [
            Passing(
                packets=tuple(sorted({r for ranges, _ in parts for r in ranges})),
                flow=flow,
                path=parts[0][1],
            )
            for flow, parts in by_flow.items()
        ]
        passing.sort(key=lambda one: (one.packets, str(one.flow)))
        pairs.append(Pair(source=source, target=target, passing=tuple(passing)))
    return tuple(pairs)

"""What the filters of one machine may let pass and what they must, as packet sets.

Three places filter: ``forward`` between cards, ``input`` to the machine itself, ``output`` of what it sends. The
answers to a connection follow from it; errors about it (RFC 1812, 4.3) come from any router on the way.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit import packets
from infra.audit.declared import HOP_LIMIT, Allowed
from infra.audit.nft.keys import ICMP, Cards
from infra.audit.packets import (
    ALL,
    DESTINATION,
    ESTABLISHED,
    FAMILY,
    ICMP_TYPE,
    INCOMING,
    INVALID,
    IPV4,
    IPV6,
    NEW,
    OUTGOING,
    PORT,
    PROTOCOL,
    RELATED,
    SOURCE,
    SOURCE_PORT,
    STATE,
    TTL,
    UNTRACKED,
    Box,
    Interval,
    Node,
)
from infra.audit.topology import Card, Machine, apart, span

ERRORS = (3, 11, 12)
"""ICMP: destination unreachable, time exceeded, parameter problem; a redirect would change routes."""
ECHO_REQUEST, ECHO_REPLY = 8, 0
OPENING = {8: 0, 13: 14, 15: 16, 17: 18}
"""ICMP types that open a connection, with their answers (nf_conntrack_proto_icmp)."""
OPENING6 = {128: 129, 139: 140}
_ERRORS6 = (1, 2, 3, 4)
_UNTRACKED6 = (130, 131, 132, 133, 134, 135, 136, 143)
"""Neighbour discovery and its like, which connection tracking leaves alone (nf_conntrack_proto_icmpv6)."""
_ICMPV6 = 58
_LO = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one place of one machine may and must let pass."""

    allowed: Node
    required: Node
    """All packets that must pass."""
    details: Mapping[Allowed, Sequence[Box]]
    """Declared connection → its part of them, for the one that lacks something."""

    def part(self, one: Allowed) -> Node:
        """Return the packets of one declared connection that must pass."""
        return packets.boxes(self.details[one]) & self.required


@functools.cache
def possible() -> Node:
    """Return the packets that can be: which ICMP types have which state."""
    icmp = packets.boxes(
        {FAMILY: (family, family), PROTOCOL: (protocol, protocol)}
        for family, protocol in ((IPV4, ICMP), (IPV6, _ICMPV6))
    )
    rest = ALL - icmp

    def states(number: int, family: int, protocol: int, types: Iterable[int]) -> Node:
        base: Box = {STATE: (number, number), FAMILY: (family, family), PROTOCOL: (protocol, protocol)}
        return packets.boxes({**base, ICMP_TYPE: (t, t)} for t in types)

    found = rest - packets.box({STATE: (RELATED, UNTRACKED)}) | packets.box({STATE: (INVALID, INVALID)})
    found = found | states(NEW, IPV4, ICMP, OPENING) | states(NEW, IPV6, _ICMPV6, OPENING6)
    found = found | states(ESTABLISHED, IPV4, ICMP, {*OPENING, *OPENING.values()})
    found = found | states(ESTABLISHED, IPV6, _ICMPV6, {*OPENING6, *OPENING6.values()})
    found = found | states(RELATED, IPV4, ICMP, (3, 4, 5, 11, 12)) | states(RELATED, IPV6, _ICMPV6, _ERRORS6)
    return found | states(UNTRACKED, IPV6, _ICMPV6, _UNTRACKED6)


def through(machine: Machine, allowed: Sequence[Allowed], cards: Cards) -> Expected:
    """Return what ``machine`` passes on between its cards; nothing, where it is no gateway."""
    mine = [a for a in allowed if machine.forwards and a.crosses]
    may: list[Box] = []
    details: dict[Allowed, list[Box]] = {}
    for one in mine:
        into = machine.card_on(one.target_segment)
        from_ = [card for card in map(machine.card_on, one.source_segments) if card is not None]
        if into is None or not from_:
            continue
        out, ins = cards.number(into.name), sorted(cards.number(card.name) for card in from_)
        must: list[Box] = []
        for box in opened(one):
            for card in ins:
                must.append({STATE: (NEW, NEW), INCOMING: (card, card), OUTGOING: (out, out), **box})
                must.append({STATE: (ESTABLISHED, ESTABLISHED), INCOMING: (card, card), OUTGOING: (out, out), **box})
        for answer in _answered(one):
            for card in ins:
                must.append({STATE: (ESTABLISHED, ESTABLISHED), INCOMING: (out, out), OUTGOING: (card, card), **answer})
        for card in ins:
            must += _errors(one, into=out, from_=card)
        details[one] = must
        may += must
    # An error is about a known connection, whoever sends it.
    may += [
        {STATE: (RELATED, RELATED), FAMILY: (IPV4, IPV4), PROTOCOL: (ICMP, ICMP), ICMP_TYPE: (t, t)} for t in ERRORS
    ]
    return Expected(allowed=packets.boxes(may), required=_all(details), details=details)


def into(machine: Machine, allowed: Sequence[Allowed], cards: Cards) -> Expected:
    """Return what ``machine`` takes in itself."""
    may: list[Box] = [{INCOMING: (_LO, _LO)}]
    details: dict[Allowed, list[Box]] = {}
    watched: list[Box] = []
    errors_at: dict[int, Card] = {}
    by_packet: list[Box] = []
    for one, card, number in _ending(machine, allowed, cards):
        must = details.setdefault(one, [])
        for box in opened(one, at_receiver=True):
            here = {INCOMING: (number, number), **box}
            if one.each_packet:
                may.append({TTL: (HOP_LIMIT, HOP_LIMIT), **here})
                by_packet += [{STATE: (NEW, ESTABLISHED), TTL: (HOP_LIMIT, HOP_LIMIT), **here}] if one.target else []
                watched.append({field: box[field] for field in (PROTOCOL, PORT) if field in box})
            else:
                must.append({STATE: (NEW, ESTABLISHED), **here})
                may.append({STATE: (NEW, NEW), **here})
                errors_at[number] = card
        if one.each_packet:
            details[one] = [b for b in by_packet if b[INCOMING] == (number, number)]
    for one, card, number in _beginning(machine, allowed, cards):
        if not one.each_packet:
            asked = dataclasses.replace(one, target=one.asked or one.target)
            replies = [{STATE: (ESTABLISHED, ESTABLISHED), INCOMING: (number, number), **b} for b in _answered(asked)]
            details[one] = [*details.get(one, ()), *replies]
            errors_at[number] = card
    for number, card in errors_at.items():
        first = next(iter(details))
        details[first] = [*details[first], *_errors_to(card, number)]
    # What belongs to an open connection follows from who may open one; what is judged packet by packet does not.
    alone = packets.boxes(watched)
    follows = packets.box({STATE: (ESTABLISHED, ESTABLISHED), FAMILY: (IPV4, IPV4)}) - alone
    return Expected(
        allowed=packets.boxes(may) | follows | _errors_anywhere(),
        required=((_all(details) | _loopback(INCOMING)) - alone) | packets.boxes(by_packet),
        details=details,
    )


def out_of(machine: Machine, allowed: Sequence[Allowed], cards: Cards) -> Expected:
    """Return what ``machine`` sends itself: a gateway what is declared, any other machine what it likes."""
    may: list[Box] = [{OUTGOING: (_LO, _LO)}, {STATE: (ESTABLISHED, RELATED), FAMILY: (IPV4, IPV4)}]
    details: dict[Allowed, list[Box]] = {}
    for one, _, number in _beginning(machine, allowed, cards):
        must = details.setdefault(one, [])
        for box in opened(one):
            here = {OUTGOING: (number, number), **box}
            states = (NEW, UNTRACKED) if one.each_packet else (NEW, NEW)
            anyhow = {field: limit for field, limit in here.items() if field != SOURCE}  # its own, whichever
            may.append({STATE: states, **anyhow})
            must.append({STATE: (NEW, ESTABLISHED), **here})
    for one, _, number in _ending(machine, allowed, cards):
        if not one.each_packet:
            replies = [
                {STATE: (ESTABLISHED, ESTABLISHED), OUTGOING: (number, number), **b}
                for b in _answered(one, at_receiver=True)
            ]
            details[one] = [*details.get(one, ()), *replies]
    return Expected(
        allowed=packets.boxes(may) if machine.forwards else ALL,
        required=_all(details) | _loopback(OUTGOING),
        details=details,
    )


def _all(details: Mapping[Allowed, Sequence[Box]]) -> Node:
    return packets.boxes(box for part in details.values() for box in part)


@functools.cache
def _errors_anywhere() -> Node:
    """Errors about known connections, whoever sends them."""
    return packets.boxes(
        {STATE: (RELATED, RELATED), FAMILY: (IPV4, IPV4), PROTOCOL: (ICMP, ICMP), ICMP_TYPE: (t, t)} for t in ERRORS
    )


@functools.cache
def _routed(
    routes: tuple[tuple[IPv4Network, int], ...], ways: tuple[tuple[IPv4Network, IPv4Network, int], ...]
) -> Node:
    """``routes``: prefix and number of a card; ``ways``: sender, prefix and number of a card."""
    found: list[Box] = []
    taken: list[Interval] = []
    by_length = itertools.groupby(sorted(routes, key=lambda route: -route[0].prefixlen), lambda r: r[0].prefixlen)
    for _, equal in by_length:
        here: list[Interval] = []
        for prefix, card in equal:
            found += [
                {OUTGOING: (card, card), FAMILY: (IPV4, IPV4), DESTINATION: left} for left in apart(span(prefix), taken)
            ]
            here.append(span(prefix))
        taken += here
    for source, prefix, card in ways:
        for left in apart(span(prefix), taken):
            sides = {SOURCE: span(source), DESTINATION: left}
            found.append({OUTGOING: (card, card), FAMILY: (IPV4, IPV4), **sides})
    return packets.boxes(found)


def routed(machine: Machine, cards: Cards) -> Node:
    """Return the packets that leave by a card to which a route leads: the longest one, then those by the sender."""
    return _routed(
        tuple((prefix, cards.number(card)) for prefix, card in machine.routes),
        tuple((way.source, way.prefix, cards.number(way.card)) for way in machine.ways),
    )


def answers(opened: Node) -> Node:
    """Return the packets that belong to connections opened by packets of ``opened``, in both directions.

    Cards are free: a connection is known by its addresses and ports alone.
    """
    tuples = packets.free(packets.select(opened, STATE, NEW), INCOMING, OUTGOING, TTL, packets.FLAGS, packets.ICMP_CODE)
    return tuples | packets.mapped(tuples, _reversed)


def _reversed(box: Mapping[int, Interval]) -> Iterator[Box]:
    turned = {field: limit for field, limit in box.items() if field in {FAMILY, PROTOCOL}}
    for one, other in ((SOURCE, DESTINATION), (PORT, SOURCE_PORT)):
        for before, after in ((one, other), (other, one)):
            if before in box:
                turned[after] = box[before]
    if ICMP_TYPE in box:
        low, high = box[ICMP_TYPE]
        known = OPENING if box.get(FAMILY) == (IPV4, IPV4) else OPENING6
        yield from ({**turned, ICMP_TYPE: (reply, reply)} for asked, reply in known.items() if low <= asked <= high)
    else:
        yield turned


def opened(one: Allowed, *, at_receiver: bool = False) -> Iterator[dict[int, Interval]]:
    """Yield, as boxes, the packets that open the connections of ``one``; senders may look different to the receiver."""
    outward, apart_from = one.address is None, [span(prefix) for prefix in one.apart]
    for source in one.seen if at_receiver and one.seen else one.sources:
        senders = [span(source)] if outward or at_receiver else apart(span(source), apart_from)
        targets: Iterable[Interval | None] = [None if one.target is None else span(one.target)]
        if outward and one.target is not None and apart_from:
            targets = list(apart(span(one.target), apart_from))
        for sender, target in itertools.product(senders, targets):
            found: dict[int, Interval] = {
                FAMILY: (IPV4, IPV4),
                PROTOCOL: (one.protocol, one.protocol),
                SOURCE: sender,
            }
            if target is not None:
                found[DESTINATION] = target
            if one.ports is not None:
                found[PORT] = one.ports
            elif one.protocol == ICMP:
                found[ICMP_TYPE] = (ECHO_REQUEST, ECHO_REQUEST)
            yield found


def _answered(one: Allowed, *, at_receiver: bool = False) -> Iterator[Box]:
    for box in opened(one, at_receiver=at_receiver):
        yield from _reversed(box)


def _errors(one: Allowed, *, into: int, from_: int) -> Iterator[Box]:
    """Yield errors about connections of ``one`` to either end, from anywhere on the other side."""
    base: Box = {STATE: (RELATED, RELATED), FAMILY: (IPV4, IPV4), PROTOCOL: (ICMP, ICMP)}
    for kind in ERRORS:
        for source in one.sources:
            sides = {INCOMING: (into, into), OUTGOING: (from_, from_), DESTINATION: span(source)}
            yield {**base, **sides, ICMP_TYPE: (kind, kind)}
        if one.target is not None:
            sides = {INCOMING: (from_, from_), OUTGOING: (into, into), DESTINATION: span(one.target)}
            yield {**base, **sides, ICMP_TYPE: (kind, kind)}


def _errors_to(card: Card, number: int) -> Iterator[Box]:
    for kind in ERRORS:
        for address in card.addresses:
            yield {
                STATE: (RELATED, RELATED),
                INCOMING: (number, number),
                FAMILY: (IPV4, IPV4),
                PROTOCOL: (ICMP, ICMP),
                DESTINATION: (int(address), int(address)),
                ICMP_TYPE: (kind, kind),
            }


def _loopback(side: int) -> Node:
    return packets.box({STATE: (NEW, ESTABLISHED), side: (_LO, _LO), FAMILY: (IPV4, IPV4)})


def _ending(machine: Machine, allowed: Sequence[Allowed], cards: Cards) -> Iterator[tuple[Allowed, Card, int]]:
    """Yield what ends at an address of ``machine``, with the card that it comes in by."""
    for one in allowed:
        card = machine.card_on(one.target_segment)
        if card is not None and (one.address in card.addresses or one.receiver == machine.name):
            yield one, card, cards.number(card.name)


def _beginning(machine: Machine, allowed: Sequence[Allowed], cards: Cards) -> Iterator[tuple[Allowed, Card, int]]:
    for one in allowed:
        if one.target is None:
            continue
        for segment in one.source_segments:
            card = machine.card_on(segment)
            if card is not None and any(source.network_address in card.own for source in one.sources):
                yield one, card, cards.number(card.name)


def by_machine(machines: Iterable[Machine], allowed: Iterable[Allowed]) -> Mapping[str, tuple[Allowed, ...]]:
    """Return, for each machine, what begins or ends at it or passes through it."""
    on: dict[str, list[str]] = collections.defaultdict(list)
    at: dict[tuple[str, IPv4Address | None], list[str]] = collections.defaultdict(list)
    gateways: dict[str, list[str]] = collections.defaultdict(list)
    for machine in machines:
        for card in machine.cards:
            on[card.segment].append(machine.name)
            for address in card.addresses:
                at[card.segment, address].append(machine.name)
            if machine.forwards:
                gateways[card.segment].append(machine.name)
    found: dict[str, dict[Allowed, None]] = collections.defaultdict(dict)
    for one in allowed:
        concerned = list(
            on[one.target_segment] if one.target is None else at.get((one.target_segment, one.address), ())
        )
        concerned += [
            name for s in one.source_segments for p in one.sources for name in at.get((s, p.network_address), ())
        ]
        concerned += gateways[one.target_segment] if one.crosses else []
        for name in concerned:
            found[name][one] = None
    return {name: tuple(mine) for name, mine in found.items()}

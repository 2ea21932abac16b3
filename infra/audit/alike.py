"""Machines whose rules differ in nothing but names and addresses: judged once, and exactly so.

Sets of packets are made of intervals, and what becomes of two sets depends on the order of the intervals' ends alone,
never on the distance between them. So a machine is written down with its cards by their number and every end of an
interval of addresses by its rank among all that its rules, its routes and its declared connections name. Where two
machines are written alike, every set of the one is the other's with the ends exchanged, rank by rank, and a difference
from what is declared is in both or in neither. Rewriting of addresses is about distances: such machines stand alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping
from ipaddress import IPv4Network

from infra.audit import packets
from infra.audit.declared import Allowed
from infra.audit.packets import DESTINATION, FAMILY, IPV4, SOURCE, Interval, Node
from infra.audit.topology import Machine

_ADDRESS = r'"((?:\d{1,3}\.){3}\d{1,3})"'
_SAID = re.compile(
    rf'"addr":\s*{_ADDRESS},\s*"len":\s*(\d+)|{_ADDRESS}'
    r'|("(?:handle|packets|bytes)":\s*\d+|"comment":\s*"(?:[^"\\]|\\.)*")|"((?:[^"\\]|\\.)*)"'
)
_ALONE = re.compile(r'"addr"|\*"|"(?:snat|dnat|masquerade|redirect)"')
"""What is left of addresses in a form that is not known here, names that stand for several cards, and rewriting."""

_IPV4 = packets.box({FAMILY: (IPV4, IPV4)})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A machine without names and addresses."""

    key: Hashable
    """Equal for machines that are alike."""
    ends: tuple[int, ...]
    """First addresses of intervals and those behind the last, in order: by them a rank becomes an address again."""


def shape(machine: Machine, listing: str, allowed: Iterable[Allowed]) -> Shape | None:
    """Return ``machine`` without names and addresses; None where it has to stand alone."""
    cards = {card.name: number for number, card in enumerate(machine.cards)}
    spans: list[Interval] = []

    def said(match: re.Match[str]) -> str:
        address, length, single, fleeting, name = match.groups()
        if fleeting is not None:
            return ""
        if name is not None:
            return f'"\x01{cards[name]}"' if name in cards else match.group()
        first = _number(address or single)
        if single is None:
            size = 1 << (32 - int(length))
            first -= first % size
            spans.append((first, first + size))
        else:
            spans.append((first, first + 1))
        return "\x02"

    try:
        text = _SAID.sub(said, listing)
    except ValueError:
        return None  # no address at all
    if _ALONE.search(text):
        return None
    on = {card.segment: number for number, card in enumerate(machine.cards)}

    def span(prefix: IPv4Network | None) -> Interval | None:
        return None if prefix is None else (int(prefix[0]), int(prefix[-1]) + 1)

    connections = [
        (
            (one.protocol, one.ports, one.each_packet, one.crosses, one.receiver == machine.name),
            (on.get(one.target_segment), tuple(on.get(segment) for segment in one.source_segments)),
            (span(one.target), span(one.asked)),
            (*map(span, one.sources), None, *map(span, one.seen), None, *map(span, one.apart)),
        )
        for one in allowed
    ]
    addresses = [[(int(a), int(a) + 1) for a in card.addresses] for card in machine.cards]
    own = [[(int(a), int(a) + 1) for a in card.own] for card in machine.cards]
    routes = [(span(prefix), cards[card]) for prefix, card in machine.routes]
    ways = [(span(way.source), span(way.prefix), cards[way.card]) for way in machine.ways]
    every = [
        *spans,
        *(each for *_, both, others in connections for each in (*both, *others)),
        *(each for some in (*addresses, *own) for each in some),
        *(each for each, _ in routes),
        *(each for one, other, _ in ways for each in (one, other)),
    ]
    ends = tuple(sorted({end for each in every if each is not None for end in each}))
    rank = {end: number for number, end in enumerate(ends)}

    def ranked(many: Iterable[Interval | None]) -> tuple[Interval | None, ...]:
        return tuple(None if one is None else (rank[one[0]], rank[one[1]]) for one in many)

    key = (
        hashlib.blake2b(text.encode()).digest(),
        ranked(spans),
        machine.forwards,
        tuple(map(ranked, addresses)),
        tuple(map(ranked, own)),
        tuple((*ranked([prefix]), card) for prefix, card in routes),
        tuple((*ranked([source, prefix]), card) for source, prefix, card in ways),
        tuple(sorted((repr((*rest, ranked(both), ranked(others))) for *rest, both, others in connections))),
        ends[:1] == (0,),
        ends[-1:] == (2**32,),
    )
    return Shape(key=hashlib.blake2b(repr(key).encode()).digest(), ends=ends)


def _number(address: str) -> int:
    """Return an IPv4 address as a number; ValueError for what ``nft`` would never write."""
    parts = [int(part) for part in address.split(".")]
    if ".".join(map(str, parts)) != address:
        raise ValueError(f"{address}: no address as nft writes it")
    return int.from_bytes(bytes(parts), "big")


def moved(node: Node, before: Shape, after: Shape) -> Node:
    """Return the IPv4 packets of a set of one machine as those of another one that is alike."""
    to: Mapping[int, int] = {one - 1: other - 1 for one, other in zip(before.ends, after.ends, strict=True)}
    to = {**to, packets.V4_LAST: packets.V4_LAST}
    return packets.renamed(node & _IPV4, {SOURCE, DESTINATION}, to)

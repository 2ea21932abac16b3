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
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from infra.audit import packets, topology
from infra.audit.declared import Allowed
from infra.audit.packets import DESTINATION, FAMILY, IPV4, SOURCE, Interval, Node
from infra.audit.topology import Machine

_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
_FLEETING: Mapping[str, type] = {"handle": int, "packets": int, "bytes": int, "comment": str}
"""What may differ between machines that are alike."""
_ALONE = frozenset({"addr", "snat", "dnat", "masquerade", "redirect"})
"""Addresses in a form that is not known here, and rewriting."""

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
    try:
        said = _Said.of(listing, cards)
    except (ValueError, RecursionError):
        return None
    on = {card.segment: number for number, card in enumerate(machine.cards)}

    def span(prefix: IPv4Network | None) -> Interval | None:
        if prefix is None:
            return None
        first, last = topology.span(prefix)
        return first, last + 1

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
        *said.spans,
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
        tuple(said.words),
        ranked(said.spans),
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """A listing without names of cards and without addresses, and those addresses in the order of the words."""

    cards: Mapping[str, int]
    words: list[str] = dataclasses.field(default_factory=list)
    spans: list[Interval] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, listing: str, cards: Mapping[str, int]) -> _Said:
        """Return what a listing says; ValueError for one whose machine has to stand alone."""
        found = cls(cards)
        match json.loads(listing):
            case {"nftables": list(objects)}:
                for one in objects:
                    match one:
                        case {"set": {"elem": list(elements), **rest}} if len(one) == 1:
                            found.say({"set": rest})
                            found.say_in_any_order(elements)
                        case _:
                            found.say(one)
                return found
        raise ValueError("no list of nftables' objects")

    def say_in_any_order(self, elements: list[Any]) -> None:
        """Add the elements of a set: nft lists them by the names of cards, and their order means nothing."""
        each = []
        for element in elements:
            one = _Said(self.cards)
            one.say(element)
            each.append((one.words, one.spans))
        for words, spans in sorted(each):
            self.words.append(";")
            self.words.extend(words)
            self.spans.extend(spans)

    def say(self, value: Any) -> None:  # noqa: ANN401 - JSON of nftables
        """Add one value."""
        if isinstance(value, str):
            if value in self.cards:
                self.words.append(f"\x01{self.cards[value]}")
            elif _ADDRESS.fullmatch(value):
                self._address(value, 32)
            elif value.endswith("*"):
                raise ValueError(f"{value}: may stand for several cards")
            else:
                self.words.append(repr(value))
        elif isinstance(value, list):
            self.words.append("[")
            for inner in value:
                self.say(inner)
            self.words.append("]")
        elif isinstance(value, dict):
            self._object(value)
        else:
            self.words.append(repr(value))

    def _object(self, value: dict[str, Any]) -> None:
        if value.keys() == {"addr", "len"}:
            self._address(value["addr"], value["len"])
            return
        self.words.append("{")
        for key, inner in value.items():
            if key in _ALONE:
                raise ValueError(f"{key}: depends on more than the order of addresses")
            if key not in _FLEETING or not isinstance(inner, _FLEETING[key]):
                self.words.append(repr(key))
                self.say(inner)
        self.words.append("}")

    def _address(self, text: Any, length: Any) -> None:  # noqa: ANN401 - JSON of nftables
        """Add an IPv4 prefix; ValueError for what ``nft`` would never write, and for IPv6."""
        parts = [int(part) for part in str(text).split(".")]
        if len(parts) != 4 or ".".join(map(str, parts)) != text or type(length) is not int or not 0 <= length <= 32:
            raise ValueError(f"{text}/{length}: no prefix as nft writes it")
        size = 1 << (32 - length)
        first = int.from_bytes(bytes(parts), "big") // size * size
        self.words.append("\x02")
        self.spans.append((first, first + size))


def moved(node: Node, before: Shape, after: Shape) -> Node:
    """Return the IPv4 packets of a set of one machine as those of another one that is alike."""
    to: Mapping[int, int] = {one - 1: other - 1 for one, other in zip(before.ends, after.ends, strict=True)}
    to = {**to, packets.V4_LAST: packets.V4_LAST}
    return packets.renamed(node & _IPV4, {SOURCE, DESTINATION}, to)

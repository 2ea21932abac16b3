"""Exact sets of packets: union, intersection, difference, emptiness, one packet of them.

A set is a decision diagram over the fields of a packet. A node looks at one field, whose domain it splits into
intervals, each with the set of what may follow; fields stand in one fixed order, neighbours with the same continuation
are one interval, and equal nodes are one object. So equal sets are the same object, whatever they were made from, and
"nothing passes" is a comparison with :data:`NONE`. Prefixes, ranges of ports and IPv6 cost one interval each, where a
diagram over single bits needs a node a bit. (The idea is the firewall decision diagram of Gouda and Liu, 2004.)

Addresses of IPv4 end at 2³²-1 and those of IPv6 at 2¹²⁸-1: :data:`FAMILY` comes first and settles the domain. A box
that limits an address must therefore name one family. Fields that a protocol does not have (ports of ICMP) are free.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

FIELDS = (
    "state",
    "incoming",
    "outgoing",
    "family",
    "protocol",
    "source",
    "destination",
    "port",
    "source_port",
    "icmp_type",
    "icmp_code",
    "ttl",
    "flags",
)
(
    STATE,
    INCOMING,
    OUTGOING,
    FAMILY,
    PROTOCOL,
    SOURCE,
    DESTINATION,
    PORT,
    SOURCE_PORT,
    ICMP_TYPE,
    ICMP_CODE,
    TTL,
    FLAGS,
) = range(len(FIELDS))
"""The order of the fields in every diagram. Cards and states come first: rules mostly differ in them."""

IPV4, IPV6 = 0, 1
NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED = range(5)
CARDS = 255
"""Highest number of a card; 0 is no card at all (what a machine sends itself came in by none)."""
V4_LAST, V6_LAST = 2**32 - 1, 2**128 - 1
_LAST = {
    STATE: UNTRACKED,
    INCOMING: CARDS,
    OUTGOING: CARDS,
    FAMILY: IPV6,
    PROTOCOL: 255,
    PORT: 65535,
    SOURCE_PORT: 65535,
    ICMP_TYPE: 255,
    ICMP_CODE: 255,
    TTL: 255,
    FLAGS: 255,
}

Interval = tuple[int, int]
"""First and last, both included."""
Box = Mapping[int, Interval]
"""Field → interval; a field that is not there is free."""


class Node:
    """A set of packets, or what is left of one after some fields; made by the functions of this module only."""

    __slots__ = ("ends", "field", "kids")

    def __init__(self, field: int, ends: tuple[int, ...], kids: tuple[Node, ...]) -> None:
        self.field = field
        self.ends = ends
        """Last value of each interval, ascending; the last one ends the domain."""
        self.kids = kids

    def __and__(self, other: Node) -> Node:
        return _combine(0, self, other)

    def __or__(self, other: Node) -> Node:
        return _combine(1, self, other)

    def __sub__(self, other: Node) -> Node:
        return _combine(2, self, other)

    def __bool__(self) -> bool:
        """Whether there is any packet in it."""
        return self is not NONE

    def __le__(self, other: Node) -> bool:
        """Whether every packet of it is one of ``other``."""
        return _combine(2, self, other) is NONE


_END = len(FIELDS)
NONE = Node(_END, (), ())
"""No packet."""
ALL = Node(_END, (), ())
"""Every packet."""

# Kept as long as the process lives: an audit ends with its command, and a node that came back with another identity
# would no longer be equal to itself.
_nodes: dict[tuple[int, tuple[int, ...], tuple[Node, ...]], Node] = {}
_results: tuple[dict[tuple[Node, Node], Node], ...] = ({}, {}, {})


def _node(field: int, ends: list[int], kids: list[Node]) -> Node:
    """Return the one node for these intervals, neighbours with the same continuation joined."""
    joined_ends: list[int] = []
    joined: list[Node] = []
    last: Node | None = None
    for end, kid in zip(ends, kids, strict=True):
        if kid is last:
            joined_ends[-1] = end
        else:
            joined_ends.append(end)
            joined.append(kid)
            last = kid
    if len(joined) == 1:
        return joined[0]
    key = (field, tuple(joined_ends), tuple(joined))
    found = _nodes.get(key)
    if found is None:
        found = _nodes[key] = Node(*key)
    return found


def _combine(operation: int, one: Node, other: Node) -> Node:  # noqa: PLR0911, PLR0912 - three operations, one walk
    """0: both, 1: either, 2: the first without the second."""
    if operation == 0:
        if one is other or other is ALL:
            return one
        if one is ALL:
            return other
        if one is NONE or other is NONE:
            return NONE
    elif operation == 1:
        if one is other or other is NONE:
            return one
        if one is NONE:
            return other
        if one is ALL or other is ALL:
            return ALL
    else:
        if one is other or one is NONE or other is ALL:
            return NONE
        if other is NONE:
            return one
    results = _results[operation]
    key = (one, other)
    known = results.get(key)
    if known is not None:
        return known
    ends: list[int]
    if one.field < other.field:
        ends = list(one.ends)
        kids = [_combine(operation, kid, other) for kid in one.kids]
        field = one.field
    elif other.field < one.field:
        ends = list(other.ends)
        kids = [_combine(operation, one, kid) for kid in other.kids]
        field = other.field
    else:
        field, ends, kids = one.field, [], []
        left, right, left_kids, right_kids = one.ends, other.ends, one.kids, other.kids
        i = j = 0
        size = len(left)
        while i < size:
            kids.append(_combine(operation, left_kids[i], right_kids[j]))
            a, b = left[i], right[j]
            if a <= b:
                ends.append(a)
                i += 1
                j += a == b
            else:
                ends.append(b)
                j += 1
    found = results[key] = _node(field, ends, kids)
    return found


def last_of(field: int, family: int | None) -> int:
    """Return the highest value of ``field``; addresses need to know the family."""
    if field in {SOURCE, DESTINATION}:
        if family is None:
            raise ValueError("a set that limits an address must name one family")
        return V4_LAST if family == IPV4 else V6_LAST
    return _LAST[field]


def box(limits: Box) -> Node:
    """Return the packets whose every named field lies in its interval."""
    low, high = limits.get(FAMILY, (IPV4, IPV6))
    family = low if low == high else None
    found = ALL
    for field in sorted(limits, reverse=True):
        low, high = limits[field]
        last = _checked(field, low, high, family)
        parts = [(low - 1, NONE), (high, found), (last, NONE)]
        parts = parts[low == 0 : 2 + (high < last)]
        found = _node(field, [end for end, _ in parts], [kid for _, kid in parts])
    return found


_Row = tuple[int, int, int, Any]
"""Field, first and last value, and the row of the fields after it; equal rows are one object while a set is built."""
_FREE: _Row = (_END, 0, 0, None)
"""No limit, or no further one."""


def boxes(limits: Iterable[Box]) -> Node:
    """Return the union of boxes; much faster than uniting them one by one."""
    limits = list(limits)
    if len(limits) == 1:
        return box(limits[0])
    known: dict[tuple[int, int, int, int], _Row] = {}
    rows: dict[int, _Row] = {}
    for limit in limits:
        row = _FREE
        for field in sorted(limit, reverse=True):
            low, high = limit[field]
            key = (field, low, high, id(row))
            found = known.get(key)
            if found is None:
                found = known[key] = (field, low, high, row)
            row = found
        rows[id(row)] = row
    return _built(rows, None, {})


def _built(rows: Mapping[int, _Row], family: int | None, known: dict[Hashable, Node]) -> Node:
    """Return the union of ``rows``, which are given by their identity."""
    if not rows:
        return NONE
    if id(_FREE) in rows:
        return ALL
    key = (frozenset(rows), family)
    found = known.get(key)
    if found is not None:
        return found
    field = min(row[0] for row in rows.values())
    everywhere: dict[int, _Row] = {}
    starts: dict[int, list[_Row]] = {}
    stops: dict[int, list[_Row]] = {}
    last = last_of(field, family)
    for row in rows.values():
        if row[0] == field:
            _checked(field, row[1], row[2], family)
            starts.setdefault(row[1], []).append(row[3])
            stops.setdefault(row[2] + 1, []).append(row[3])
        else:
            everywhere[id(row)] = row
    # The same rest may follow several intervals, some of which overlap.
    active: dict[int, _Row] = {}
    count: dict[int, int] = {}
    ends: list[int] = []
    kids: list[Node] = []
    marks = sorted({0, *starts, *stops} - {last + 1})
    for index, mark in enumerate(marks):
        for rest in stops.get(mark, ()):
            count[id(rest)] -= 1
            if not count[id(rest)]:
                del active[id(rest)]
        for rest in starts.get(mark, ()):
            active[id(rest)] = rest
            count[id(rest)] = count.get(id(rest), 0) + 1
        end = marks[index + 1] - 1 if index + 1 < len(marks) else last
        ends.append(end)
        kids.append(_built({**everywhere, **active}, mark if field == FAMILY and mark == end else family, known))
    found = known[key] = _node(field, ends, kids)
    return found


def _checked(field: int, low: int, high: int, family: int | None) -> int:
    """Return the highest value of ``field``; ValueError for an interval that is none of it."""
    last = last_of(field, family)
    if not 0 <= low <= high <= last:
        raise ValueError(f"{FIELDS[field]}: no interval of it: {low}-{high}")
    return last


def select(packets: Node, field: int, value: int) -> Node:
    """Return what may follow when ``field`` has ``value``: a set in which that field is free."""
    if packets.field > field:
        return packets
    if packets.field == field:
        if value > packets.ends[-1]:
            raise ValueError(f"{FIELDS[field]}: {value} is outside of it")
        return packets.kids[bisect.bisect_left(packets.ends, value)]
    return _node(packets.field, list(packets.ends), [select(kid, field, value) for kid in packets.kids])


def values(packets: Node, field: int) -> Iterator[tuple[int, Node]]:
    """Yield (value, rest) for the first field of a set: the lowest value of each interval that holds a packet.

    0 stands for all of them where the set does not look at ``field``.
    """
    if packets is NONE:
        return
    if packets.field != field:
        yield 0, packets
        return
    start = 0
    for end, kid in zip(packets.ends, packets.kids, strict=True):
        if kid is not NONE:
            yield start, kid
        start = end + 1


def free(packets: Node, *fields: int) -> Node:
    """Return the packets that are in the set with some values of ``fields``: those are free afterwards."""
    known: dict[int, Node] = {}
    last = max(fields)

    def walk(node: Node) -> Node:
        if node.field > last:
            return node
        found = known.get(id(node))
        if found is None:
            kids = [walk(kid) for kid in node.kids]
            if node.field in fields:
                found = NONE
                for kid in kids:
                    found = found | kid
            else:
                found = _node(node.field, list(node.ends), kids)
            known[id(node)] = found
        return found

    return walk(packets)


def split(packets: Node) -> Iterator[dict[int, Interval]]:
    """Yield boxes that share no packet and together are the set, in the order of the fields."""
    yield from _split(packets, {})


def _split(node: Node, above: dict[int, Interval]) -> Iterator[dict[int, Interval]]:
    if node is ALL:
        yield dict(above)
    elif node is not NONE:
        start = 0
        for end, kid in zip(node.ends, node.kids, strict=True):
            if kid is not NONE:
                above[node.field] = (start, end)
                yield from _split(kid, above)
            start = end + 1
        above.pop(node.field, None)


def count_boxes(packets: Node) -> int:
    """Return how many boxes :func:`split` yields, without walking through them."""
    known: dict[int, int] = {id(NONE): 0, id(ALL): 1}

    def walk(node: Node) -> int:
        found = known.get(id(node))
        if found is None:
            found = known[id(node)] = sum(walk(kid) for kid in node.kids)
        return found

    return walk(packets)


def contains(packets: Node, packet: Mapping[int, int]) -> bool:
    """Say whether one packet is in the set; fields that ``packet`` does not have must be free there."""
    while packets is not ALL and packets is not NONE:
        value = packet[packets.field]
        packets = next(kid for end, kid in zip(packets.ends, packets.kids, strict=True) if value <= end)
    return packets is ALL


def mapped(packets: Node, change: Callable[[dict[int, Interval]], Iterable[Box]]) -> Node:
    """Return the union of what ``change`` makes of every box of the set."""
    return boxes(changed for part in split(packets) for changed in change(part))


def pick(packets: Node) -> dict[int, int]:
    """Return one packet of the set, its lowest; fields that are free are left out. ValueError for no packet."""
    found: dict[int, int] = {}
    while packets is not ALL:
        if packets is NONE:
            raise ValueError("there is no packet in the empty set")
        start = 0
        for end, kid in zip(packets.ends, packets.kids, strict=True):
            if kid is not NONE:
                found[packets.field] = start
                packets = kid
                break
            start = end + 1
    return found


def renamed(packets: Node, fields: Collection[int], to: Mapping[int, int]) -> Node:
    """Return the set with the last value of every interval of ``fields`` exchanged; ``to`` must keep their order."""
    known: dict[int, Node] = {}
    last = max(fields)

    def walk(node: Node) -> Node:
        if node.field > last:
            return node
        found = known.get(id(node))
        if found is None:
            ends = [to[end] for end in node.ends] if node.field in fields else list(node.ends)
            found = known[id(node)] = _node(node.field, ends, [walk(kid) for kid in node.kids])
        return found

    return walk(packets)

"""Packet sets against sets of single packets in a small world."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.audit import packets
from infra.audit.packets import (
    ALL,
    DESTINATION,
    FAMILY,
    IPV4,
    IPV6,
    NONE,
    PORT,
    PROTOCOL,
    SOURCE,
    STATE,
    V4_LAST,
    V6_LAST,
    Box,
    Node,
)

MOST = {STATE: 4, PROTOCOL: 255, SOURCE: V4_LAST, PORT: 65535}
VALUES = {STATE: (0, 1, 4), PROTOCOL: (0, 6, 7, 255), SOURCE: (0, 9, 10, V4_LAST), PORT: (0, 22, 23, 65535)}
"""The ends of every interval that the strategy makes, and their neighbours: no other packet behaves differently."""
WORLD = [dict(zip(VALUES, values, strict=True)) for values in itertools.product(*VALUES.values())]


def interval(field: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.sampled_from(VALUES[field]), st.sampled_from(VALUES[field])).map(
        lambda ends: (min(ends), max(ends))
    )


def a_box() -> st.SearchStrategy[Box]:
    limits = st.fixed_dictionaries({}, optional={field: interval(field) for field in VALUES})
    return limits.map(lambda limit: {FAMILY: (IPV4, IPV4), **limit})


BOXES = st.lists(a_box(), max_size=5)


def inside(limits: list[Box], packet: Mapping[int, int]) -> bool:
    return any(
        all(low <= packet[field] <= high for field, (low, high) in limit.items() if field != FAMILY) for limit in limits
    )


def holds(node: Node, packet: Mapping[int, int]) -> bool:
    return packets.contains(node, {FAMILY: IPV4, **packet})


@given(BOXES, BOXES)
def test_operations_are_those_of_sets(one: list[Box], other: list[Box]) -> None:
    a, b = packets.boxes(one), packets.boxes(other)
    for packet in WORLD:
        x, y = inside(one, packet), inside(other, packet)
        assert holds(a, packet) == x
        assert holds(a & b, packet) == (x and y)
        assert holds(a | b, packet) == (x or y)
        assert holds(a - b, packet) == (x and not y)


@given(BOXES, BOXES)
def test_equal_sets_are_one_object(one: list[Box], other: list[Box]) -> None:
    a, b = packets.boxes(one), packets.boxes(other)
    assert packets.boxes([*other, *one]) is a | b
    assert (a - b) | (a & b) is a
    assert (a & b) is (b & a)
    assert (not a - b) == (a <= b)


@given(BOXES)
def test_split_shares_nothing_and_loses_nothing(limits: list[Box]) -> None:
    node = packets.boxes(limits)
    parts = [packets.box(part) for part in packets.split(node)]
    assert packets.count_boxes(node) == len(parts)
    union = NONE
    for part in parts:
        assert not union & part
        union = union | part
    assert union is node


@given(BOXES)
def test_what_is_picked_is_in_the_set(limits: list[Box]) -> None:
    node = packets.boxes(limits)
    if node:
        picked = packets.pick(node)
        assert packets.contains(node, {field: picked.get(field, 0) for field in range(len(packets.FIELDS))})
    else:
        with pytest.raises(ValueError, match="no packet in the empty set"):
            packets.pick(node)


@given(BOXES, st.sampled_from([STATE, PROTOCOL, SOURCE, PORT]))
def test_freeing_a_field_keeps_what_some_value_of_it_had(limits: list[Box], field: int) -> None:
    freed = packets.free(packets.boxes(limits), field)
    for packet in WORLD:
        some = any(inside(limits, {**packet, field: value}) for value in VALUES[field])
        assert holds(freed, packet) == some


@given(BOXES, st.sampled_from(VALUES[PROTOCOL]))
def test_selecting_a_value_leaves_the_rest(limits: list[Box], value: int) -> None:
    chosen = packets.select(packets.boxes(limits), PROTOCOL, value)
    for packet in WORLD:
        assert holds(chosen, packet) == inside(limits, {**packet, PROTOCOL: value})


def test_families_have_addresses_of_their_own() -> None:
    four = packets.box({FAMILY: (IPV4, IPV4), SOURCE: (0, V4_LAST)})
    six = packets.box({FAMILY: (IPV6, IPV6), SOURCE: (0, V6_LAST)})
    assert four is packets.box({FAMILY: (IPV4, IPV4)})
    assert four | six is ALL
    assert not four & six


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({DESTINATION: (1, 1)}, "must name one family"),
        ({FAMILY: (0, 1), SOURCE: (1, 1)}, "must name one family"),
        ({FAMILY: (IPV4, IPV4), SOURCE: (0, V4_LAST + 1)}, "source: no interval"),
        ({PORT: (5, 4)}, "port: no interval"),
        ({PORT: (-1, 4)}, "port: no interval"),
    ],
)
def test_a_box_outside_of_its_fields_is_refused(limits: Box, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        packets.box(limits)

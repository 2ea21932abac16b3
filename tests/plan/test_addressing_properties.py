"""Whatever joins and leaves, in any order and over any number of plans: nothing overlaps, collides or moves."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
from collections import Counter
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan import lock as lock_file
from infra.plan.lock import Lock
from network.addressing import QUARANTINE_GENERATIONS, AddressBook, SegmentWish, plan_book
from network.errors import InputError
from network.model import NetworkPlan
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
ZONES = ("mynumber", "lgwan", "internet")
SERVICES = {
    "juki": factory.service("juki", "multi_tenant", "mynumber"),
    "zei": factory.service("zei", "multi_tenant", "mynumber"),
    "zaimu": factory.service("zaimu", "mixed", "lgwan"),
    "jinji": factory.service("jinji", "mixed", "lgwan"),
    "koho": factory.service("koho", "mixed", "internet"),
}


@dataclasses.dataclass(frozen=True)
class State:
    """Who is in the group at one plan, and what runs."""

    members: frozenset[int]
    services: frozenset[str]

    def declaration(self) -> Declaration:
        numbers = sorted(self.members)
        declared = factory.data(
            numbers, [service for name, service in SERVICES.items() if name in self.services], hosts=8
        )
        declared["members"] = [factory.member(number, ZONES) for number in numbers]
        declared["lines"] = [factory.line(n, role, ZONES) for n in numbers for role in ("main", "backup")]
        return Declaration.model_validate(declared)


STATES = st.builds(
    State,
    st.frozensets(st.integers(1, 6), min_size=1),
    st.frozensets(st.sampled_from(sorted(SERVICES)), min_size=1),
)
Owner = tuple[str, str]
"""Segment and whose address it is."""


def planned(declared: Declaration, lock: Lock) -> builder.Built:
    """Plan, with the lock as it reads from its file."""
    built = builder.build("test", declared, lock, DAY, clock=lambda: 0.0)
    return dataclasses.replace(built, lock=lock_file.parse(lock_file.dump(built.lock), "test.lock.yaml", "test"))


def require_sound(network: NetworkPlan, lock: Lock) -> None:
    """No overlap, no collision, no name that a kernel refuses."""
    segments = {segment.name: segment.prefix for segment in network.segments}
    offices = {f"{o.member}/{o.office}/{o.zone}": prefix for o in network.offices for prefix in o.prefixes}
    for (one, prefix), (other, its) in itertools.combinations([*segments.items(), *offices.items()], 2):
        assert not prefix.overlaps(its), f"{one} {prefix} and {other} {its}"
    assert set(segments) == set(lock.book.segments)
    for name, entry in lock.book.segments.items():
        assert not [v for v, times in Counter(entry.addresses.values()).items() if times > 1], name
        assert all(address in entry.prefix for address in entry.addresses.values())
        assert not [v for v, times in Counter(entry.vrids.values()).items() if times > 1], name
        assert all(1 <= vrid <= 255 for vrid in entry.vrids.values())
    for vip in network.vips:
        assert vip.address.ip in segments[vip.segment]
    spoken = Counter((vip.segment, vip.vrid) for vip in network.vips if vip.name.startswith("service/"))
    assert set(spoken.values()) <= {1}
    cards = [card for node in network.nodes for card in node.interfaces]
    assert len({card.mac for card in cards}) == len(cards)
    assert all(len(card.name) <= 15 for card in cards)
    for node in network.nodes:
        assert len({card.name for card in node.interfaces}) == len(node.interfaces)
        assert len(node.interfaces) <= 24
    bridges = {segment.bridge for segment in network.segments}
    assert len(bridges) == len({segment.vni for segment in network.segments}) == len(segments)
    assert all(len(bridge) <= 15 for bridge in bridges)
    assert all(0 < segment.vni < 1 << 24 for segment in network.segments)


def cards_of(network: NetworkPlan) -> dict[Owner, tuple[str, str, str]]:
    return {
        (card.segment, node.name): (str(card.address), card.mac, card.name)
        for node in network.nodes
        for card in node.interfaces
    }


def addresses_of(lock: Lock) -> dict[Owner, IPv4Address]:
    return {(name, owner): a for name, entry in lock.book.segments.items() for owner, a in entry.addresses.items()}


@settings(deadline=None, max_examples=60)
@given(history=st.lists(STATES, min_size=2, max_size=6))
def test_nothing_moves_overlaps_or_is_used_again_while_members_and_services_come_and_go(history: list[State]) -> None:
    lock = Lock(stack="test")
    before: dict[Owner, tuple[str, str, str]] = {}
    addresses: dict[Owner, IPv4Address] = {}
    prefixes: dict[str, IPv4Network] = {}
    used: dict[tuple[str, IPv4Address], str] = {}
    assert len(history) < QUARANTINE_GENERATIONS
    for state in history:
        try:
            built = planned(state.declaration(), lock)
        except InputError as error:
            # A pair that is full does not hand members over by itself; 96 simulated hand-offs are all there are.
            if not re.search("a guest has at most 24|no free /29 is left in the documentation ranges", str(error)):
                raise
            break
        lock, network = built.lock, built.plan.network
        require_sound(network, lock)
        now, held = cards_of(network), addresses_of(lock)
        segments = {segment.name: segment.prefix for segment in network.segments}
        assert {key: now[key] for key in before if key in now} == {k: v for k, v in before.items() if k in now}
        assert {key: held[key] for key in addresses if key in held} == {k: v for k, v in addresses.items() if k in held}
        assert {k: v for k, v in segments.items() if k in prefixes} == {
            k: v for k, v in prefixes.items() if k in segments
        }
        for (segment, owner), address in held.items():
            assert used.setdefault((segment, address), owner) == owner, "a freed address went to another"
        before, addresses, prefixes = now, held, segments
    assert before


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(1, 7)), cuts=st.sets(st.integers(1, 5)), runs=st.sampled_from([1, 2]))
def test_members_who_join_move_nobody_whatever_the_order_and_the_plans_in_between(
    order: list[int], cuts: set[int], runs: int
) -> None:
    lock = Lock(stack="test")
    before: dict[Owner, tuple[str, str, str]] = {}
    for count in sorted({*cuts, 6}):
        state = State(frozenset(order[:count]), frozenset(SERVICES))
        for _ in range(runs):
            built = planned(state.declaration(), lock)
            lock = built.lock
            require_sound(built.plan.network, lock)
            now = cards_of(built.plan.network)
            assert {key: now.get(key) for key in before} == before
            before = now
    assert {owner for _, owner in before} >= {f"zaimu-m{number}-ap1" for number in range(1, 7)}


def test_members_who_leave_and_return_use_up_the_simulated_handoffs() -> None:
    """What was given out rests for some generations, and the documentation ranges hold 96 hand-offs."""
    every, services, lock = frozenset(range(1, 7)), frozenset(SERVICES), Lock(stack="test")
    for members in (every, frozenset({2}), every - {2}, frozenset({2})):
        lock = planned(State(members, services).declaration(), lock).lock
    with pytest.raises(InputError, match=r"no free /29 is left in the documentation ranges; declare the hand-offs of"):
        planned(State(every, services).declaration(), lock)


HANDOFF = {
    "prefix": "192.0.2.0/29",
    "peer": "192.0.2.1",
    "local": ["192.0.2.2", "192.0.2.3"],
    "vip": "192.0.2.4",
    "routing": "static",
}


def with_handoff(number: int) -> Declaration:
    """Two members; the main line of the second one has the carrier's values for its lgwan zone."""
    declared = factory.data(number)
    declared["lines"] = [factory.line(n, "main", ("lgwan",)) for n in range(1, number + 1)]
    declared["lines"][-1]["handoff"] = {"lgwan": HANDOFF}
    return Declaration.model_validate(declared)


def test_generated_handoffs_keep_away_from_declared_ones() -> None:
    built = planned(with_handoff(3), Lock(stack="test"))
    require_sound(built.plan.network, built.lock)
    assert built.plan.network.segment_by_name["m3-main-lgwan"].prefix == IPv4Network("192.0.2.0/29")


def test_a_declared_handoff_where_the_lab_already_gave_one_out_is_refused() -> None:
    without = factory.data(2)
    without["lines"] = [factory.line(n, "main", ("lgwan",)) for n in (1, 2)]
    lock = planned(Declaration.model_validate(without), Lock(stack="test")).lock
    taken = lock.book.segments["m1-main-lgwan"].prefix
    assert taken == IPv4Network("192.0.2.0/29")
    with pytest.raises(
        InputError,
        match=r"segment m2-main-lgwan: 192\.0\.2\.0/29 overlaps 192\.0\.2\.0/29, which the lock holds for m1-main",
    ):
        planned(with_handoff(2), lock)


def prefixes_of(pool: str) -> st.SearchStrategy[IPv4Network]:
    """Any part of ``pool``, or what contains it in part."""
    whole = IPv4Network(pool)
    return st.integers(whole.prefixlen + 1, 32).flatmap(
        lambda length: st.integers(0, (1 << (length - whole.prefixlen)) - 1).map(
            lambda n: IPv4Network((int(whole.network_address) + (n << (32 - length)), length))
        )
    )


@given(
    taken=st.lists(prefixes_of("10.0.0.0/24"), max_size=12),
    rooms=st.lists(st.integers(1, 60), min_size=1, max_size=12),
)
def test_each_new_segment_gets_the_lowest_free_prefix_that_has_room(taken: list[IPv4Network], rooms: list[int]) -> None:
    """What is free is found by trying every candidate from the lowest on."""
    pool = IPv4Network("10.0.0.0/24")
    wanted = [SegmentWish(name=f"s{number:02}", hosts=hosts) for number, hosts in enumerate(rooms)]
    expected: dict[str, IPv4Network] = {}
    for wish in wanted:
        length = next(n for n in range(29, 0, -1) if (1 << (32 - n)) - 2 >= wish.hosts) if wish.hosts > 2 else 30
        free = (
            p for p in pool.subnets(new_prefix=length) if not any(p.overlaps(q) for q in (*taken, *expected.values()))
        )
        found = next(free, None)
        if found is None:
            with pytest.raises(InputError, match=f"segment {wish.name}: no free /{length} is left in the supernet"):
                plan_book(AddressBook(), wanted, supernet=pool, taken=taken, generation=1)
            return
        expected[wish.name] = found
    book = plan_book(AddressBook(), wanted, supernet=pool, taken=taken, generation=1)
    assert {name: entry.prefix for name, entry in book.segments.items()} == expected

"""What is computed from what a client saw."""

from __future__ import annotations

import dataclasses

import pytest

from infra.drills.judging import Promise, broken_promises
from infra.drills.model import Knock, Seen, Talk, Write, longest_gap
from infra.drills.watching import Post
from network.model import OfficeLan, ServiceEndpoint

OFFICE = OfficeLan(member="m1", office="honcho", zone="mynumber", prefixes=())
JUKI = ServiceEndpoint(
    service="juki", member=None, participants=("m1",), zone="mynumber", site="dc1", segment="s", vip="service/juki",
    listen=(), application=("juki-ap1",), database=("juki-db1",), load_balancer=(), witness=(),
)  # fmt: skip
PROMISE = Promise(
    kind="gateway", subject="gw1a", fault="power lost", host="kvm01", post=Post(office=OFFICE, endpoint=JUKI),
    computed_s=1.0, target_s=2.0,
)  # fmt: skip


def steadily(*silent: tuple[float, float], seconds: int = 10) -> tuple[Knock, ...]:
    """A knock every 0.1 s, unanswered when begun within one of ``silent``."""
    moments = [tenth / 10 for tenth in range(seconds * 10)]
    return tuple(Knock(at=at, opened=not any(first <= at < last for first, last in silent)) for at in moments)


def seen(
    *silent: tuple[float, float],
    writes: tuple[Write, ...] = (),
    kept: frozenset[int] = frozenset(),
    talks: tuple[Talk, ...] = (),
) -> Seen:
    return Seen(knocks=steadily(*silent), writes=writes, talks=talks, kept=kept)


def write(number: int, ended: float, *, acknowledged: bool = True) -> Write:
    return Write(number=number, begun=ended - 0.1, ended=ended, acknowledged=acknowledged, why="")


@pytest.mark.parametrize(
    ("silent", "start", "end", "expected"),
    [
        ((), 0, 10, 0.1),
        (((3.0, 5.0),), 0, 10, 2.1),  # answered at 2.9 and again at 5.0
        (((3.0, 5.0),), 3.05, 10, 1.95),  # counted from the fault
        (((3.0, 5.0), (7.0, 8.0)), 6, 10, 1.1),
        (((9.0, 10.0),), 0, 10, 1.1),  # never came back: until the end
        (((0.0, 10.0),), 2, 9, 7),
    ],
)
def test_the_longest_silence_between_two_moments(
    silent: tuple[tuple[float, float], ...], start: float, end: float, expected: float
) -> None:
    assert seen(*silent).silence_s(start, end) == pytest.approx(expected)


def test_the_order_of_answers_is_no_order() -> None:
    assert longest_gap([5, 1, 9], 0, 10) == 4


def test_a_write_counts_when_it_was_acknowledged() -> None:
    found = seen(writes=(write(0, 1), write(1, 4, acknowledged=False), write(2, 6)))
    assert found.write_gap_s(0, 7) == 5
    assert found.acknowledged == {0, 2}


def test_an_acknowledged_write_that_is_missing_is_lost_and_an_unanswered_one_that_is_there_is_not() -> None:
    found = seen(writes=(write(0, 1), write(1, 2), write(2, 3, acknowledged=False)), kept=frozenset({0, 2}))
    assert found.lost == {1}
    (finding,) = broken_promises(found, PROMISE, 0.1, 0)
    assert finding == "1 acknowledged writes are missing, the first one is number 1"


def test_the_end_of_the_open_connection_is_told_with_its_cause() -> None:
    talks = (
        Talk(begun=1, ended=2, alive=True, why=""),
        Talk(begun=2, ended=3, alive=False, why="ConnectionResetError"),
    )
    found = seen(writes=(write(0, 1),), kept=frozenset({0}), talks=talks)
    assert found.broken == 1
    assert broken_promises(found, PROMISE, 0.1, 0) == ["the open connection broke 1 times: ConnectionResetError"]


def test_a_silence_longer_than_computed_is_told_beyond_what_knocks_can_tell() -> None:
    found = seen(writes=(write(0, 1),), kept=frozenset({0}))
    assert broken_promises(found, PROMISE, 1.2, 0) == []
    assert broken_promises(found, PROMISE, 1.3, 0) == ["1.3 s without an answer, longer than the computed 1.0 s"]


def test_writes_are_judged_by_their_own_steadiness() -> None:
    """A write every half second, of which the slowest took 0.4 s before anything was broken: 1.4 s of doubt."""
    slow = Write(number=0, begun=1.0, ended=1.4, acknowledged=True, why="")
    found = seen(writes=(slow, Write(number=1, begun=4, ended=9, acknowledged=True, why="")), kept=frozenset({0, 1}))
    promise = dataclasses.replace(PROMISE, measured="writes")
    assert broken_promises(found, promise, 2.4, 2) == []
    assert broken_promises(found, promise, 2.5, 2) == [
        "2.5 s without an acknowledged write, longer than the computed 1.0 s"
    ]


def test_a_drill_without_writes_proves_nothing_about_them() -> None:
    assert broken_promises(seen(), PROMISE, 0, 0) == [
        "not one write was acknowledged, so nothing was proved about writes"
    ]


def test_traffic_has_recovered_when_the_last_knocks_were_answered() -> None:
    assert seen((3.0, 5.0)).answers_at(3, 8)
    assert not seen((3.0, 7.8)).answers_at(3, 8)
    assert not seen((3.0, 5.0)).answers_at(3, 3.2), "nothing was asked"

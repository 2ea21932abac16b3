"""Who held an address, from the answers of the machines."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from infra.drills import holding
from infra.drills.holding import PROGRAM, Sample, Samples, held_spans
from network.errors import OperationError


def answers(*values: tuple[float, bool]) -> list[Sample]:
    """One answer at each moment, which took 0.1 s."""
    return [Sample(asked=at, answered=at + 0.1, held=held) for at, held in values]


def test_an_address_is_held_for_certain_between_two_answers_that_say_so() -> None:
    found = answers((0, False), (1, True), (2, True), (3, True), (4, False), (5, True), (6, True))
    assert held_spans(found) == [(1.1, 3), (5.1, 6)]


def test_one_answer_proves_no_span() -> None:
    assert held_spans(answers((0, True), (1, False), (2, True))) == []


def test_two_holders_at_once_are_counted_and_a_handover_is_not() -> None:
    samples = Samples(("a", "b"))
    samples.by_node["a"].extend(answers((0, True), (1, True), (2, False)))
    samples.by_node["b"].extend(answers((0, False), (1.5, True), (2.5, True)))
    assert samples.together() == 0
    samples.by_node["b"][:] = answers((0, False), (0.5, True), (2.5, True))
    assert samples.together() == 1


def test_the_holder_is_known_when_it_is_one() -> None:
    samples = Samples(("a", "b"))
    assert samples.holder() is None
    samples.by_node["a"].extend(answers((0, True)))
    samples.by_node["b"].extend(answers((0, False)))
    assert samples.holder() == "a"
    samples.by_node["b"].extend(answers((1, True)))
    assert samples.holder() is None


def test_a_machine_knows_an_address_of_its_own() -> None:
    for address, own in (("127.0.0.1", "1"), ("192.0.2.1", "0")):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PROGRAM, address],
            input="\n\n",
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [own, own], socket.gethostname()


def test_what_a_machine_holds_that_nobody_can_reach_does_not_count() -> None:
    samples = Samples(("a", "b"))
    samples.by_node["a"].extend(answers(*((at / 10, True) for at in range(0, 100, 2))))
    samples.by_node["b"].extend(answers((3.0, True), (8.0, True), (8.4, True), (9.0, False)))
    assert samples.together() == 1
    assert samples.together(without={"a": (2.0, 8.0)}) == 1, "when it can be reached again, for 0.4 s"
    assert samples.together(without={"a": (2.0, 8.0)}, longer_than_s=0.5) == 0, "until the next advertisement"
    assert samples.together(without={"a": (2.0, 9.0)}) == 0


ECHO = "import sys\nfor _ in sys.stdin: print(1, flush=True)"


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def test_a_machine_that_has_started_again_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "AGAIN_S", 0.05)
    with holding.asking({"a": (sys.executable, "-I", "-S", "-c", ECHO)}) as asked:
        assert asked.samples.holds("a")
        known = asked.samples.by_node["a"]
        assert within(10, lambda: len(known) > 1)
        asked.renew("a")
        assert within(10, lambda: any(not one.held for one in known)), "no answer is one too"
        assert within(10, lambda: len(held_spans(known)) == 2)
    count = len(known)
    time.sleep(0.3)
    assert len(known) == count, "nobody is asked any more"


def test_a_machine_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "FIRST_ANSWER_S", 0.5)
    with (
        pytest.raises(OperationError, match=r"b: no answer within 0\.5 s; nothing was broken"),
        holding.asking({"b": (sys.executable, "-c", "import time; time.sleep(60)")}),
    ):
        pass

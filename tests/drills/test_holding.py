"""Who held an address, from the answers of the machines."""

from __future__ import annotations

import socket
import subprocess
import sys

from infra.drills.holding import PROGRAM, Sample, Samples, held_spans


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

"""How long a terminal was without an answer."""

from __future__ import annotations

import pytest

from infra.lab.outage import Knock, longest_silence


def steadily(*silent: tuple[float, float], seconds: int = 10) -> list[Knock]:
    """A knock every 0.1 s, unanswered when begun within one of ``silent``."""
    moments = [tenth / 10 for tenth in range(seconds * 10)]
    return [(at, not any(first <= at < last for first, last in silent)) for at in moments]


@pytest.mark.parametrize(
    ("silent", "start", "end", "expected"),
    [
        ((), 0, 10, 0.1),
        (((3.0, 5.0),), 0, 10, 2.1),  # answered at 2.9 and again at 5.0
        (((3.0, 5.0),), 3.05, 10, 1.95),  # counted from the cut
        (((3.0, 5.0), (7.0, 8.0)), 6, 10, 1.1),
        (((9.0, 10.0),), 0, 10, 1.1),  # never came back: until the end
        (((0.0, 10.0),), 2, 9, 7),
    ],
)
def test_the_longest_silence_between_two_moments(
    silent: tuple[tuple[float, float], ...], start: float, end: float, expected: float
) -> None:
    knocks = steadily(*silent)
    assert longest_silence(knocks, start, end) == pytest.approx(expected)
    assert longest_silence(knocks[::-1], start, end) == pytest.approx(expected), "the order of answers is no order"

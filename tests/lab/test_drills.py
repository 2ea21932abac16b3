"""Gateways, application nodes and lines on real machines: every fault five times, and both halves of a pair at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.drills import gateway, node
from tests.lab import place as places
from tests.lab.place import Place

pytestmark = [pytest.mark.lab, pytest.mark.soak]
TIMES = 5
SERIES_S = 7200
"""Five drills with machines that start again, emulated."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = places.make(tmp_path_factory.mktemp("drills"), "demo", "t-drills")
    try:
        for command in (("plan",), ("lab", "up"), ("hosts",), ("up",), ("configure",)):
            assert place.kumiai(*command).code == 0
        yield place
    finally:
        place.remove()


@pytest.mark.parametrize(
    "words",
    [
        *(("gateway", "--fault", fault.value) for fault in gateway.FAULTS),
        *(("node", "--fault", fault.value) for fault in node.FAULTS),
        ("line", "nishiki"), ("sync",), ("gateway", "--twice"), ("node", "--twice"), ("line", "nishiki", "--twice"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_fault_five_times(stack: Place, words: tuple[str, ...]) -> None:
    done = stack.kumiai("drill", *words, "--repeat", str(TIMES), "--json", limit_s=SERIES_S)
    found = done.json()
    print(" ".join(words), f"median {found['median']['down_s']} s, worst {found['worst']['down_s']} s")
    assert done.code == 0, done.err
    assert [run["passed"] for run in found["runs"]] == [True] * TIMES

"""A replicated database on real machines: pattern ④ brought up once, and its faults while an office writes.

Part of `make soak`: on two emulated processors these machines are busy with themselves, and a drill takes a quarter of
an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.drills import database
from infra.drills.faults import Fault
from tests.lab import place as places
from tests.lab.place import Place

pytestmark = [pytest.mark.lab, pytest.mark.soak]
TIMES = 5
SERIES_S = 7200
"""Five drills of an emulated database, each with a machine that starts again."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = places.make(tmp_path_factory.mktemp("database"), "multi-tenant", "t-database")
    try:
        for command in (("plan",), ("lab", "up"), ("hosts",), ("up",), ("configure",)):
            assert place.kumiai(*command).code == 0
        yield place
    finally:
        place.remove()


def drilled(stack: Place, fault: Fault) -> dict[str, Any]:
    """Break something, print the figures, and return them; what every fault must leave is checked here."""
    done = stack.kumiai("drill", "database", "--fault", fault.value, "--json")
    found: dict[str, Any] = done.json()
    print(fault.value, found)
    assert found["writes_acknowledged"] > 10
    assert (found["writes_lost"], found["split_brain"]) == (0, 0)
    assert done.code == 0, done.err
    return found


def test_it_is_whole(stack: Place) -> None:
    done = stack.kumiai("status", "--json")
    assert done.code == 0, done.out
    (cluster,) = done.json()["databases"]
    assert sorted(member["role"] for member in cluster["members"]) == ["primary", "synchronous standby"]
    assert sorted(cluster["votes"]) == ["juki-db1", "juki-db2", "juki-wt1"]


def test_a_second_configure_changes_nothing(stack: Place) -> None:
    done = stack.kumiai("configure", "--json")
    assert done.code == 0
    assert [node["node"] for node in done.json()["nodes"] if node["changed"]] == []


def test_a_lost_primary_is_replaced_and_comes_back_as_the_standby(stack: Place) -> None:
    found = drilled(stack, Fault.POWER)
    assert found["took_over"] != found["subject"]


def test_a_planned_handover_loses_nothing(stack: Place) -> None:
    drilled(stack, Fault.SWITCHOVER)


@pytest.mark.parametrize("fault", database.FAULTS)
def test_every_fault_five_times(stack: Place, fault: Fault) -> None:
    done = stack.kumiai("drill", "database", "--fault", fault.value, "--repeat", str(TIMES), "--json", limit_s=SERIES_S)
    found = done.json()
    print(f"{fault.value}: median {found['median']['down_s']} s, worst {found['worst']['down_s']} s")
    assert done.code == 0, done.err
    assert [run["passed"] for run in found["runs"]] == [True] * TIMES

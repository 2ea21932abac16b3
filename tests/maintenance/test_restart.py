"""A business is restarted machine by machine, in a stack that stands in memory."""

from __future__ import annotations

import pytest

from infra.maintenance import restart
from network.errors import InputError, OperationError
from tests.maintenance.world import PLAN, World

JUKI, KOUHOU = (restart.find(PLAN.network, name) for name in ("juki", "kouhou"))
UNIT = "kumiai-application@juki.service"


def test_each_machine_restarts_without_requests_and_serves_before_the_next() -> None:
    world = World()
    assert restart.restart(world.crew(), JUKI, accept_stop=False) == ("juki-ap1", "juki-ap2")
    assert world.log == [
        f"{entry}: {line}" if not line.startswith("restart") else line
        for node in ("juki-ap1", "juki-ap2")
        for line, entry in (
            (f"{node} drain", "juki-ap1"), (f"{node} drain", "juki-ap2"),
            (f"restart {UNIT} on {node}", ""),
            (f"{node} ready", "juki-ap1"), (f"{node} ready", "juki-ap2"),
        )
    ]  # fmt: skip
    assert world.open == 0


def test_it_stops_when_the_other_one_does_not_serve() -> None:
    world = World()
    world.up.discard("juki-ap2")
    with pytest.raises(OperationError, match="what serves juki besides juki-ap1 is not whole:\n  juki-ap2: does not"):
        restart.restart(world.crew(), JUKI, accept_stop=False)
    assert world.log == []


def test_a_machine_that_serves_alone_needs_to_be_accepted() -> None:
    world = World()
    with pytest.raises(OperationError, match="kouhou: kouhou-ap1 alone serves it"):
        restart.restart(world.crew(), KOUHOU, accept_stop=False)
    assert world.log == []
    restart.restart(world.crew(), KOUHOU, accept_stop=True)
    assert world.log == [
        "restart kumiai-application@kouhou.service on kouhou-ap1", "kouhou-ap1: kouhou-ap1 ready",
    ]  # fmt: skip


def test_a_misspelt_business_is_refused() -> None:
    with pytest.raises(InputError, match="jukii: no such business; there are juki, kouhou"):
        restart.find(PLAN.network, "jukii")

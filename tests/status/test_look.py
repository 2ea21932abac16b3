"""Waiting until everything is whole, and asking one database alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.process import Completed
from infra.status import look, model
from infra.status.model import Asked
from network.errors import OperationError
from tests.configure import replicated

PLAN = replicated.PLAN
CLUSTER = PLAN.network.clusters[0]


class Pretended:
    """Machines that all have their database, but ``late`` questions long no standby that may take over."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.asked: set[str] = set()

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        self.asked.add(node)
        orders = json.loads(stdin or "")
        first, second = CLUSTER.databases
        self.late -= node == second
        copies = {second: {"state": "streaming", "sync": "sync", "bytes": 0, "seconds": 0}}
        server = {
            "state": "running", "role": "primary" if node == first else "replica", "timeline": 1,
            "standbys": copies if node == first else {}, "sync_standby": node == second and self.late < 0,
        }  # fmt: skip
        voter = {
            "health": {"health": "true"},
            "status": {"header": {"member_id": node}, "leader": first},
            "members": {"members": [{"name": name} for name in CLUSTER.voters]},
        }
        said: dict[str, Any] = {
            "units": {}, "held": [], "sessions": {}, "server": server if orders["server"] else None,
            "backends": {CLUSTER.server_name: {first: {"status": "UP", "sessions": 1}},
                         "juki": {name: {"status": "UP", "sessions": 1} for name in ("juki-ap1", "juki-ap2")}},
            "voter": voter if orders["voter"] else None,
        }  # fmt: skip
        return Completed(argv=command, returncode=0, stdout=json.dumps(said), stderr="")


def questions() -> list[Asked]:
    part = {*CLUSTER.databases, *CLUSTER.voters}
    return [question for question in model.asked(PLAN.network, {}) if question.node in part]


def test_it_is_waited_for_what_is_not_whole_yet() -> None:
    waits: list[float] = []
    found = look.await_whole(PLAN, Pretended(late=3), questions(), wait=waits.append, clock=lambda: 0.0)
    assert found.whole
    assert waits == [look.LOOK_S] * 3


def test_what_stays_away_is_named_in_the_end() -> None:
    times = iter((0.0, 1.0, look.WHOLE_S + 1))
    said = r"not whole before, after 600 s:\n  juki-db2: has every write, and the voters do not know that yet"
    with pytest.raises(OperationError, match=said):
        look.await_whole(
            PLAN, Pretended(late=9), questions(), "not whole before,", wait=lambda s: None, clock=lambda: next(times)
        )


def test_one_database_is_asked_alone() -> None:
    machines = Pretended(late=0)
    found = look.replicated(PLAN, machines, CLUSTER)
    assert (found.name, found.faults) == (CLUSTER.server_name, ())
    assert machines.asked == {*CLUSTER.databases, *CLUSTER.voters}

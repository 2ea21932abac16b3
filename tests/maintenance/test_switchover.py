"""A planned handover, against a stand-in that answers as patronictl does."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from infra.maintenance import switchover
from infra.process import Completed
from network.errors import InputError, OperationError
from tests.configure import replicated

CLUSTER = replicated.PLAN.network.clusters[0]


PRIMARY, STANDBY, REPLICA = "primary", "synchronous standby", "replica"


@dataclasses.dataclass
class Pretended:
    """Machines whose database has ``roles``; a handover shows after ``looks`` more questions, or never."""

    roles: dict[str, str]
    looks: int | None = 2
    lost: tuple[str, ...] = ()
    asked: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    _target: str | None = None

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        self.asked.append((node, *command))
        self._target = command[command.index("--candidate") + 1]
        return "Switchover failed, details: 503, no\n" if self.looks is None else "done\n"

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        if node in self.lost or node not in self.roles:
            return Completed(argv=command, returncode=255, stdout="", stderr="no route to host")
        if self._target is not None and self.looks is not None and node == "juki-db1":
            self.looks -= 1
            if self.looks == 0:
                self.roles = {node: PRIMARY if node == self._target else STANDBY for node in self.roles}
        role = self.roles[node]
        standbys = {
            name: {"state": "streaming", "sync": "sync" if role == STANDBY else "async", "bytes": 0, "seconds": None}
            for name, role in self.roles.items()
            if name != node
        }
        server = {
            "state": "running", "role": "primary" if role == PRIMARY else "replica", "timeline": 1,
            "standbys": standbys if role == PRIMARY else {}, "sync_standby": role == STANDBY,
        }  # fmt: skip
        said: dict[str, Any] = {
            "units": {},
            "held": [],
            "sessions": {},
            "backends": {},
            "server": server,
            "voter": None,
        }
        return Completed(argv=command, returncode=0, stdout=json.dumps(said), stderr="")


def hand_over(machines: Pretended, to: str | None = None) -> switchover.Switched:
    times = iter(range(10_000))
    return switchover.switchover(
        replicated.PLAN, machines, CLUSTER, to, wait=lambda seconds: None, clock=lambda: float(next(times) * 10)
    )


def test_the_standby_with_every_write_becomes_primary() -> None:
    machines = Pretended({"juki-db1": PRIMARY, "juki-db2": STANDBY})
    assert hand_over(machines) == switchover.Switched(cluster="juki", before="juki-db1", after="juki-db2")
    commands = [asked for asked in machines.asked if "switchover" in asked]
    assert len(commands) == 1
    assert commands[0][0] == "juki-db1"
    assert commands[0][-4:] == ("--candidate", "juki-db2", "--force", "juki")


def test_who_is_primary_already_stays() -> None:
    machines = Pretended({"juki-db1": STANDBY, "juki-db2": PRIMARY})
    assert hand_over(machines, "juki-db2").before == "juki-db2"
    assert not [asked for asked in machines.asked if "switchover" in asked]


def test_another_node_answers_for_a_lost_one() -> None:
    machines = Pretended({"juki-db1": REPLICA, "juki-db2": PRIMARY}, lost=("juki-db1",))
    with pytest.raises(OperationError, match=r"juki-database: no standby has every write of juki-db2 now; wait until"):
        hand_over(machines)


@pytest.mark.parametrize(
    ("machines", "to", "error", "message"),
    [
        (Pretended({"juki-db1": PRIMARY, "juki-db2": REPLICA}), "juki-db2", OperationError,
         "juki-database: juki-db2 does not have every write of juki-db1 now; wait until its copy is complete"),
        (Pretended({"juki-db1": REPLICA, "juki-db2": REPLICA}), None, OperationError, "juki-database: no primary"),
        (Pretended({}), "juki-ap1", InputError, "juki-ap1: no database node of juki; they are juki-db1, juki-db2"),
        (Pretended({"juki-db1": PRIMARY, "juki-db2": STANDBY}, looks=None), None, OperationError,
         "juki-db2 is not the primary with a standby: Switchover failed, details: 503, no"),
        (Pretended({}, lost=("juki-db1", "juki-db2")), None, OperationError,
         "juki-database: no primary; a handover needs one, see `kumiai status`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(machines: Pretended, to: str | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hand_over(machines, to)


def test_a_service_is_found_by_the_name_of_its_node_set() -> None:
    assert switchover.find(replicated.PLAN.network, "juki") is CLUSTER
    assert switchover.find(replicated.PLAN.network, "jinji-m2").name == "zaimu-m2", "it runs on zaimu's nodes"
    with pytest.raises(
        InputError, match="zaimu: no service with a replicated database; replicated databases are juki, "
    ):
        switchover.find(replicated.PLAN.network, "zaimu")

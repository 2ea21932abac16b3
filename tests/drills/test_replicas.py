"""What is missing to a whole replicated database, and how it is asked."""

from __future__ import annotations

import dataclasses
import json

import pytest

from infra.drills import database, replicas
from infra.drills.faults import Fault
from infra.drills.replicas import Replicas, Server
from infra.process import Completed
from network import timers
from network.errors import InputError, OperationError
from tests.database.place import planned

PLAN, _, CLUSTER = planned()
ONE, TWO = CLUSTER.databases
PRIMARY = Server(node=ONE, role="Leader", state="running", timeline=4, lag_mib=None)
STANDBY = Server(node=TWO, role="Sync Standby", state="streaming", timeline=4, lag_mib=0)
WHOLE = Replicas(cluster=CLUSTER, servers=(PRIMARY, STANDBY), votes=frozenset(CLUSTER.voters))


def test_a_primary_a_standby_that_commits_wait_for_and_three_votes_are_whole() -> None:
    assert WHOLE.missing() == []
    assert WHOLE.timelines == (4,)


@pytest.mark.parametrize(
    ("standby", "said"),
    [
        ({"role": "Replica"}, f"{TWO}: Replica, commits do not wait for it"),
        ({"state": "starting"}, f"{TWO}: Sync Standby, starting"),
        ({"lag_mib": 3}, f"{TWO}: lag 3 MiB"),
        ({"lag_mib": None}, f"{TWO}: lag unknown"),
        ({"timeline": 3}, "servers on different timelines: 3, 4"),
    ],
)
def test_every_gap_is_named(standby: dict[str, object], said: str) -> None:
    found = dataclasses.replace(WHOLE, servers=(PRIMARY, dataclasses.replace(STANDBY, **standby)))  # type: ignore[arg-type]
    assert found.missing() == [said]


def test_a_lost_server_and_a_lost_vote_are_named() -> None:
    found = dataclasses.replace(WHOLE, servers=(PRIMARY,), votes=frozenset(CLUSTER.voters[:2]))
    assert found.missing() == [f"{TWO}: not among the servers", f"{CLUSTER.voters[2]}: no vote"]
    assert dataclasses.replace(WHOLE, servers=()).missing()[0] == f"{ONE}: not among the servers"


class Pretended:
    """Machines of which the first one is silent."""

    def __init__(self, learner: bool = False) -> None:
        self.learner = learner

    def argv(self, node: str, *command: str) -> tuple[str, ...]:
        return (node, *command)

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        if node == ONE:
            return Completed(argv=command, returncode=255, stdout="", stderr="no route")
        if "patronictl" in command:
            rows = [
                {"Cluster": "juki", "Member": ONE, "Host": "x", "Role": "Leader", "State": "running", "TL": 7},
                {"Cluster": "juki", "Member": TWO, "Role": "Sync Standby", "State": "streaming", "TL": 7,
                 "Lag in MB": 0},
            ]  # fmt: skip
            return Completed(argv=command, returncode=0, stdout=json.dumps(rows), stderr="")
        addresses = [PLAN.network.node_by_name[n].interface(CLUSTER.segment).address.ip for n in CLUSTER.voters]
        urls = [f"https://{address}:2379" for address in addresses]
        if "member" in command:
            members = [{"ID": n, "clientURLs": [url]} for n, url in enumerate(urls)]
            members[2] |= {"isLearner": True} if self.learner else {}
            return Completed(argv=command, returncode=0, stdout=json.dumps({"members": members}), stderr="")
        health = [{"endpoint": url, "health": n != 0, "took": "1ms"} for n, url in enumerate(urls)]
        return Completed(argv=command, returncode=1, stdout=json.dumps(health), stderr="unhealthy cluster")


def test_the_next_one_is_asked_when_one_is_silent() -> None:
    found = replicas.look(Pretended(), PLAN.network, CLUSTER)
    assert found.primary is not None
    assert (found.primary.node, found.timelines) == (ONE, (7,))
    assert found.missing() == [f"{ONE}: no vote"], "it is a member, and does not answer"


def test_a_learner_has_no_vote() -> None:
    assert replicas.look(Pretended(learner=True), PLAN.network, CLUSTER).votes == {CLUSTER.voters[1]}


def test_what_stays_away_is_named_in_the_end() -> None:
    moments = iter((0.0, 1.0, replicas.WHOLE_S + 1))
    with pytest.raises(OperationError, match=f"juki-database is not whole before, after 600 s: {ONE}: no vote"):
        replicas.await_whole(
            Pretended(), PLAN.network, CLUSTER, "before", clock=lambda: next(moments), wait=lambda seconds: None
        )


@pytest.mark.parametrize(
    ("fault", "seconds", "target"),
    [
        # 3 × 1 s election, 20 s lock, 0.5 s lease, 2 s member, 1 s promotion, 1.5 s HAProxy; then the application:
        # 1 s until it looks, two checks of 0.5 s, 0.5 s for an answer.
        (Fault.POWER, 28 + 2.5, 28.0),
        (Fault.CUT, 28 + 2.5, 28.0),
        (Fault.CRASH, 3.5 + 2 + 1 + 1.5 + 2.5, 8.0),
        (Fault.SWITCHOVER, 0.5 + 1 + 1.5 + 2.5, 3.0),
        (Fault.STANDBY, 4 + 3 + 0.5 + 0.5, 10.0),
        (Fault.FREEZE_PATRONI, 15 + 28 + 2.5, None),
        (Fault.ETCD, 2 * 1.0, None),  # one to two election times of 1 s
    ],
)
def test_what_is_promised_of_each_fault(fault: Fault, seconds: float, target: float | None) -> None:
    found = database.loss(PLAN, None, fault)
    assert found.computed_s == pytest.approx(seconds)
    assert found.target_s == target


def test_no_time_is_promised_of_a_full_disk_and_of_all_servers_at_once() -> None:
    for found in (database.loss(PLAN, None, Fault.DISK), database.loss(PLAN, None, twice=True)):
        assert (found.computed_s, found.target_s) == (None, None)
        assert "no data may be lost" in found.words


def test_servers_that_break_together_stay_broken_for_longer_than_one_alone_would_be_out() -> None:
    for fault in (Fault.POWER, Fault.CUT, Fault.FREEZE_PATRONI):
        assert database.loss(PLAN, None, fault, twice=True).alone_s == database.loss(PLAN, None, fault).computed_s
    assert database.loss(PLAN, None, twice=True).alone_s > PLAN.network.timers.database.ttl_s


def test_who_breaks_is_found_from_who_is_what() -> None:
    assert database.loss(PLAN, None).victims(WHOLE) == [ONE]
    assert database.loss(PLAN, None, Fault.STANDBY).victims(WHOLE) == [TWO]
    assert database.loss(PLAN, CLUSTER.voters[2], Fault.ETCD).victims(WHOLE) == [CLUSTER.voters[2]]
    assert database.loss(PLAN, "juki", Fault.ETCD).victims(WHOLE) == [ONE]
    assert database.loss(PLAN, None, twice=True).victims(WHOLE) == CLUSTER.databases


def test_what_is_no_replicated_database_is_refused() -> None:
    with pytest.raises(InputError, match="kaigo: no replicated database that an office writes to"):
        database.loss(PLAN, "kaigo")
    with pytest.raises(InputError, match="switchover breaks one part only"):
        database.loss(PLAN, None, Fault.SWITCHOVER, twice=True)


def test_the_frozen_load_balancer_is_computed_from_the_check() -> None:
    """1 s until keepalived looks, 3 s for the answer, then the skew of priority 190: (256 - 190) × 0.3 s / 256."""
    assert timers.entry_frozen_s(timers.STANDARD) == pytest.approx(4 + 66 * 0.3 / 256)

"""What breaks of a replicated database, and what is promised of that."""

from __future__ import annotations

import pytest

from infra.drills import database
from infra.drills.faults import Fault
from infra.status.database import ClusterStatus, Member
from network import timers
from network.errors import InputError
from tests.database.place import planned

PLAN, _, CLUSTER = planned()
ONE, TWO = CLUSTER.databases
WHOLE = ClusterStatus(
    name="juki-database",
    members=(
        Member(node=ONE, role="primary", state="running", timeline=4, behind=None),
        Member(node=TWO, role="synchronous standby", state="running", timeline=4, behind=None),
    ),
    votes={},
    sends={},
    faults=(),
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

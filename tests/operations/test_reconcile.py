"""What an interrupted run left is told from what is foreign, and vanished data from vanished definitions."""

from __future__ import annotations

import copy
from typing import Any

from infra.operations import reconcile, state
from infra.operations.virsh import Thing
from tests.operations import states

DEPLOYMENT = states.two_hosts()
ALL = frozenset(entry.thing for entry in state.known(DEPLOYMENT))


def held(*more: Thing, without: tuple[Thing, ...] = ()) -> dict[str, frozenset[Thing]]:
    things = (ALL | set(more)) - set(without)
    return {host: frozenset(t for t in things if t.host == host) for host in ("h1", "h2")}


def pending(*records: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(DEPLOYMENT)
    changed["deployment"]["pending_operations"] = [{"type": "creating", "resource": r} for r in records]
    return changed


NEW = Thing("h1", "domain", "kumiai.demo.c1")
BEGUN = states.resource(("Node", "c1"), "Domain", "c1", "kumiai.demo.c1", "h1")


def test_agreement_is_clean() -> None:
    assert reconcile.compare("demo", DEPLOYMENT, held(), None).clean


def test_what_a_pending_create_names_is_left_over() -> None:
    found = reconcile.compare("demo", pending(BEGUN), held(NEW), None)
    assert found.leftover == (NEW,)
    assert found.foreign == ()
    assert found.stale_operations


def test_a_pending_create_that_made_nothing_only_has_to_be_forgotten() -> None:
    found = reconcile.compare("demo", pending(BEGUN), held(), None)
    assert (found.leftover, found.foreign, found.stale_operations, found.clean) == ((), (), True, False)


def test_the_same_name_on_another_host_is_foreign() -> None:
    elsewhere = Thing("h2", "domain", "kumiai.demo.c1")
    assert reconcile.compare("demo", pending(BEGUN), held(elsewhere), None).foreign == (elsewhere,)


def test_unknown_objects_are_foreign_unless_a_killed_run_must_have_made_them() -> None:
    assert reconcile.compare("demo", DEPLOYMENT, held(NEW), None).foreign == (NEW,)
    assert reconcile.compare("demo", DEPLOYMENT, held(NEW), ALL).leftover == (NEW,)
    assert reconcile.compare("demo", DEPLOYMENT, held(NEW), ALL | {NEW}).foreign == (NEW,)


def test_a_lost_state_makes_everything_foreign_and_nothing_removable() -> None:
    found = reconcile.compare("demo", {}, held(), None)
    assert set(found.foreign) == ALL
    assert found.leftover == ()


def test_machines_go_before_their_disks_and_pools_last() -> None:
    made = [
        Thing("h1", "pool", "kumiai.demo"),
        Thing("h1", "volume", "kumiai.demo.c1.root.i-s"),
        Thing("h1", "network", "kumiai.demo.x"),
        NEW,
    ]
    found = reconcile.compare("demo", {}, {"h1": frozenset(made)}, frozenset())
    assert [thing.kind for thing in found.leftover] == ["domain", "volume", "network", "pool"]


def test_a_vanished_definition_is_forgotten_without_fuss() -> None:
    domain = Thing("h1", "domain", "kumiai.demo.a1")
    found = reconcile.compare("demo", DEPLOYMENT, held(without=(domain,)), None)
    assert found.forget == (states.urn("Node", "Domain", "a1"),)
    assert found.lost_data == {}


def test_a_vanished_data_volume_is_data_lost_and_takes_the_machine_along() -> None:
    data = Thing("h1", "volume", "kumiai.demo.a1.data.g1")
    found = reconcile.compare("demo", DEPLOYMENT, held(without=(data,)), None)
    assert found.lost_data == {"a1": ("kumiai.demo.a1.data.g1",)}
    assert set(found.forget) == {
        states.urn("Node", "Volume", "a1.data"),
        states.urn("Node", "Volume", "a1.seed.s"),
        states.urn("Node", "Domain", "a1"),
    }
    assert set(found.leftover) == {
        Thing("h1", "domain", "kumiai.demo.a1"),
        Thing("h1", "volume", "kumiai.demo.a1.seed.s"),
    }


def test_a_volume_that_an_allowed_run_was_replacing_is_not_lost() -> None:
    changed = copy.deepcopy(DEPLOYMENT)
    for record in state.records(changed):
        if record["urn"] == states.urn("Node", "Volume", "a1.data"):
            record["pendingReplacement"] = True
    data = Thing("h1", "volume", "kumiai.demo.a1.data.g1")
    found = reconcile.compare("demo", changed, held(without=(data,)), None)
    assert found.lost_data == {}
    assert states.urn("Node", "Volume", "a1.data") in found.forget


def test_a_host_that_was_not_asked_is_not_judged() -> None:
    found = reconcile.compare("demo", DEPLOYMENT, {"h1": held()["h1"]}, None)
    assert found.clean

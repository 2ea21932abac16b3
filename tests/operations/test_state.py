from __future__ import annotations

import copy
from typing import Any

from infra.operations import state
from infra.operations.virsh import Thing
from tests.operations import states

DEPLOYMENT = states.two_hosts()


def urns(deployment: dict[str, Any]) -> list[str]:
    return [record["urn"] for record in state.records(deployment)]


def references(deployment: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for record in state.records(deployment):
        found |= {record["parent"]} if "parent" in record else set()
        found |= set(record.get("dependencies", []))
        found |= {urn for group in record.get("propertyDependencies", {}).values() for urn in group}
        if "provider" in record:
            found.add(record["provider"].rpartition("::")[0])
    return found


def test_everything_of_libvirt_is_known_by_host_kind_and_name() -> None:
    things = {entry.thing for entry in state.known(DEPLOYMENT)}
    assert Thing("h1", "domain", "kumiai.demo.a1") in things
    assert Thing("h2", "network", "kumiai.demo.tenant") in things
    assert len(things) == 2 * 1 + 3 + 2 * 4
    assert all(entry.expected for entry in state.known(DEPLOYMENT))


def test_what_is_on_its_way_out_is_not_expected() -> None:
    changed = copy.deepcopy(DEPLOYMENT)
    by_urn = {record["urn"]: record for record in state.records(changed)}
    by_urn[states.urn("Node", "Volume", "a1.data")]["pendingReplacement"] = True
    by_urn[states.urn("Node", "Domain", "a1")]["delete"] = True
    leaving = by_urn[states.urn("Node", "Volume", "b1.data")]
    changed["deployment"]["pending_operations"] = [{"type": "deleting", "resource": leaving}]
    unexpected = {entry.urn for entry in state.known(changed) if not entry.expected}
    assert unexpected == {
        states.urn("Node", "Volume", "a1.data"),
        states.urn("Node", "Domain", "a1"),
        states.urn("Node", "Volume", "b1.data"),
    }


def test_pending_creates_are_things() -> None:
    changed = copy.deepcopy(DEPLOYMENT)
    begun = states.resource(("Node", "c1"), "Domain", "c1", "kumiai.demo.c1", "h1")
    other = states.resource(("Node", "c1"), "Volume", "c1.root", "kumiai.demo.c1.root.x", "h1")
    changed["deployment"]["pending_operations"] = [
        {"type": "creating", "resource": begun},
        {"type": "updating", "resource": other},
    ]
    assert state.pending_creates(changed) == {Thing("h1", "domain", "kumiai.demo.c1")}


def test_a_dropped_resource_leaves_no_reference_behind() -> None:
    gone = {states.urn("Node", "Volume", "a1.root"), states.urn("Node", "Volume", "a1.seed.s")}
    rest = state.drop_urns(DEPLOYMENT, gone)
    assert set(urns(DEPLOYMENT)) - set(urns(rest)) == gone
    assert not references(rest) & gone
    assert references(rest) <= set(urns(rest)) | {""}
    assert gone <= set(urns(DEPLOYMENT)), "the state that was given is untouched"


def test_pending_operations_go_with_any_change() -> None:
    changed = copy.deepcopy(DEPLOYMENT)
    changed["deployment"]["pending_operations"] = [{"type": "creating", "resource": {}}]
    assert "pending_operations" not in state.drop_urns(changed, set())["deployment"]


def test_a_host_is_set_aside_with_all_and_only_its_own() -> None:
    rest, taken = state.split_host(DEPLOYMENT, "h2")
    names = {state.resource_name(record["urn"]) for record in taken}
    assert names == {"h2", "mgmt.h2", "tenant", "tenant.h2", "b1", "b1.root", "b1.data", "b1.seed.s"}
    assert {state.resource_name(urn) for urn in urns(rest)} >= {"h1", "mgmt", "mgmt.h1", "a1"}
    assert references(rest) <= set(urns(rest))
    assert sorted(urns(rest) + [record["urn"] for record in taken]) == sorted(urns(DEPLOYMENT))


def test_a_host_put_back_is_as_it_was_and_in_an_order_that_the_engine_takes() -> None:
    rest, taken = state.split_host(DEPLOYMENT, "h2")
    merged, refused = state.put_back(rest, taken)
    assert refused == ()
    assert {r["urn"]: r for r in state.records(merged)} == {r["urn"]: r for r in state.records(DEPLOYMENT)}
    seen: set[str] = set()
    for record in state.records(merged):
        needs = {record.get("parent", "")} | set(record.get("dependencies", [])) - {""}
        assert needs - {""} <= seen, record["urn"]
        seen.add(record["urn"])


def test_a_node_that_was_made_anew_elsewhere_is_not_put_back() -> None:
    rest, taken = state.split_host(DEPLOYMENT, "h2")
    rest["deployment"]["resources"] += states.node("b1", "h1")
    merged, refused = state.put_back(rest, taken)
    assert {state.resource_name(urn) for urn in refused} == {"b1", "b1.root", "b1.data", "b1.seed.s"}
    hosts = {state.host_of(r) for r in state.records(merged) if state.resource_name(r["urn"]).startswith("b1")}
    assert hosts == {None, "h1"}
    assert len(urns(merged)) == len(set(urns(merged)))
    assert states.urn("Segment", "Network", "tenant.h2") in urns(merged)


def test_an_empty_state_has_nothing() -> None:
    for empty in ({}, {"deployment": None}, {"deployment": {"resources": None}}):
        assert state.records(empty) == []
        assert state.known(empty) == ()
        assert state.pending_creates(empty) == frozenset()

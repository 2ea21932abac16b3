"""Classes of changes, from events that the real engine wrote for two machines on one host.

Recorded with the engine's `--event-log` and shortened: unchanged resources, outputs and style sheets are left out.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from pulumi.automation import events

from infra.operations import changes, engine_run
from infra.operations.changes import Change, Impact, Step

RECORDED = pathlib.Path(__file__).parent / "events"


def steps(name: str) -> list[Step]:
    """Return the steps of a recording."""
    record = engine_run.Record()
    for event in json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8")):
        engine_run.note(record, events.EngineEvent.from_json(event))
    return record.steps


def classified(name: str, *allowed: str) -> dict[str, Change]:
    """Return the changes of a recording by what they hit."""
    return {change.name: change for change in changes.classify(steps(name), allowed)}


def test_nothing_recorded_is_no_change() -> None:
    assert steps("same") == []
    assert changes.classify([], ()) == ()


def test_a_new_stack_is_all_created() -> None:
    found = classified("create")
    assert set(found) == {"juki-ap1", "juki-db1", "kvm03", "dc1-management", "dc1-mynumber-juki"}
    assert {change.impact for change in found.values()} == {Impact.CREATE}
    assert {change.words for change in found.values()} == {"create"}


def test_a_size_is_a_restart_and_says_which() -> None:
    found = classified("memory")
    assert set(found) == {"juki-ap1"}
    assert found["juki-ap1"].impact is Impact.RESTART
    assert found["juki-ap1"].reasons == ("memory 64 → 96 MiB",)
    assert not found["juki-ap1"].refused


def test_another_segment_is_a_restart_and_says_from_where_to_where() -> None:
    found = classified("card")
    assert set(found) == {"juki-ap1", "dc1-nishiki-lgwan"}
    assert found["dc1-nishiki-lgwan"].words == "create"
    assert found["juki-ap1"].impact is Impact.RESTART
    (reason,) = found["juki-ap1"].reasons
    assert reason.startswith("card 52:54:")
    assert " from k" in reason
    assert " to k" in reason


def test_another_size_of_the_data_volume_is_refused() -> None:
    found = classified("data")
    assert set(found) == {"juki-db1"}
    assert found["juki-db1"].impact is Impact.DATA_LOSS
    assert found["juki-db1"].reasons == ("the data volume is replaced: size 2 → 3 GiB",)
    assert found["juki-db1"].words == "refused (replace: data loss)"


@pytest.mark.parametrize("allowed", ["juki-db1", "*"])
def test_allowed_for_the_node_or_for_all_it_is_not_refused(allowed: str) -> None:
    assert classified("data", allowed)["juki-db1"].words == "replace: data loss"


def test_allowed_for_another_node_it_stays_refused() -> None:
    assert classified("data", "juki-ap1", "juki-db", "juki-db11")["juki-db1"].refused


def test_a_changed_first_boot_replaces_the_root_disk_and_keeps_the_data() -> None:
    found = classified("first_boot")
    assert set(found) == {"juki-ap1", "juki-db1"}
    for change in found.values():
        assert change.refused
        assert change.reasons[0].startswith("the root disk is replaced: what its first boot is told changes")
        assert "the data volume stays" in change.reasons


def test_another_image_names_both() -> None:
    found = classified("image")
    assert found["juki-ap1"].refused
    assert "guest image file-000000000001 → file-000000000002" in found["juki-ap1"].reasons[0]
    assert found["kvm03"].impact is Impact.CREATE, "the new image is uploaded"
    assert "juki-db1" not in found


def test_a_new_image_is_allowed_for_the_root_disk_alone() -> None:
    (found,) = (c for c in changes.classify(steps("image"), (), {"juki-ap1"}) if c.name == "juki-ap1")
    assert (found.refused, found.lost, found.words) == (False, ("root",), "replace: data loss")
    (data,) = changes.classify(steps("data"), (), {"juki-db1"})
    assert (data.refused, data.lost) == (True, ("data",))
    (both,) = (c for c in changes.classify(steps("generation"), (), {"juki-ap1"}) if c.name == "juki-ap1")
    assert (both.refused, both.lost) == (True, ("data", "root"))


def test_a_removed_machine_is_deleted_with_its_data_and_refused() -> None:
    found = classified("removed")
    assert set(found) == {"juki-ap1"}
    assert found["juki-ap1"].impact is Impact.DATA_DELETED
    assert found["juki-ap1"].refused
    assert set(found["juki-ap1"].reasons) >= {"the data volume is deleted", "the root disk is deleted"}


def test_a_machine_that_moves_to_another_host_loses_its_volumes() -> None:
    found = classified("moved")
    assert found["juki-ap1"].impact is Impact.DATA_LOSS
    assert found["juki-ap1"].refused
    assert any(reason.startswith("the data volume is replaced") for reason in found["juki-ap1"].reasons)
    assert found["kvm01"].words == "create"


def test_another_generation_never_takes_the_old_data() -> None:
    found = classified("generation")
    assert found["juki-ap1"].refused
    assert "the data volume is replaced: another generation of the node" in found["juki-ap1"].reasons


def node_step(operation: str, kind: str, name: str, **more: object) -> Step:
    urn = f"urn:pulumi:demo.dc1::kumiai::kumiai:infra:Node$libvirt:index/x:{kind}::{name}"
    return Step(operation=operation, urn=urn, type=f"libvirt:index/x:{kind}", **more)  # type: ignore[arg-type]


def test_a_machine_whose_disks_are_there_is_started_again_not_made() -> None:
    (change,) = changes.classify([node_step("create", "Domain", "a1")], ())
    assert change.impact is Impact.RESTART


def test_an_update_in_place_is_live() -> None:
    (change,) = changes.classify([node_step("update", "Domain", "a1", keys=("autostart",))], ())
    assert (change.impact, change.reasons, change.refused) == (Impact.LIVE, ("changed: autostart",), False)


def test_a_network_made_anew_is_no_data_loss() -> None:
    urn = "urn:pulumi:demo.dc1::kumiai::kumiai:infra:Segment$libvirt:index/network:Network::tenant.h1"
    step = Step(operation="replace", urn=urn, type="libvirt:index/network:Network", keys=("bridge",))
    (change,) = changes.classify([step], ())
    assert (change.kind, change.name, change.impact, change.refused) == ("segment", "tenant", Impact.RESTART, False)


def test_the_node_of_a_resource_is_read_from_its_urn() -> None:
    assert changes.node_of(node_step("same", "Volume", "a1.data").urn) == "a1"
    assert changes.node_of("urn:pulumi:demo.dc1::kumiai::kumiai:infra:Host$libvirt:index/pool:Pool::h1") is None

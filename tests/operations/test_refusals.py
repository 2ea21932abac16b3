"""What is refused, in words that say what to do; and what the engine's own words become."""

from __future__ import annotations

import pathlib

import pytest
from pulumi.automation import events

from infra.operations import changes, destroy, engine_run, preview, reconcile, run
from infra.operations.changes import Change, Impact, Step
from infra.operations.engine_run import Failure, Record
from infra.operations.run import Request
from infra.operations.virsh import Thing
from infra.operations.workspace import Workspace
from network import errors
from tests.operations import states
from tests.resources import examples

PLAN = examples.demo_plan()
PLACE = Workspace(stack="demo", site="dc1", pulumi=pathlib.Path("pulumi"), environment={})
AGREED = reconcile.Differences(leftover=(), foreign=(), forget=(), lost_data={}, stale_operations=False)


def change(name: str, impact: Impact, *, refused: bool) -> Change:
    return Change(kind="node", name=name, impact=impact, reasons=("size 2 → 3 GiB",), refused=refused)


def test_data_loss_names_the_nodes_the_reason_and_the_flags() -> None:
    planned = [
        change("juki-db1", Impact.DATA_LOSS, refused=True),
        change("juki-ap1", Impact.RESTART, refused=False),
        change("juki-ap2", Impact.DATA_DELETED, refused=True),
    ]
    with pytest.raises(errors.OperationError) as raised:
        run.require_allowed(PLACE, planned)
    text = str(raised.value)
    assert "juki-db1: replace: data loss (size 2 → 3 GiB)" in text
    assert "juki-ap1" not in text
    assert text.endswith(
        "Nothing was touched. To accept the loss: --allow-data-loss juki-db1 --allow-data-loss juki-ap2"
    )
    run.require_allowed(PLACE, [c for c in planned if not c.refused])


def test_only_what_may_be_lost_is_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(Workspace, "run", lambda self, *words, **_: calls.append(words))
    planned = [change("a1", Impact.DATA_LOSS, refused=False), change("b1", Impact.RESTART, refused=False)]
    run.unprotect(PLACE, states.two_hosts(), planned, {"a1"})
    (words,) = calls
    assert words[:2] == ("state", "unprotect")
    assert {w for w in words if w.startswith("urn:")} == {
        states.urn("Node", "Volume", "a1.root"),
        states.urn("Node", "Volume", "a1.data"),
    }
    calls.clear()
    run.unprotect(PLACE, states.two_hosts(), planned[1:], {"a1"})
    assert calls == []


def test_of_a_machine_that_gets_a_new_image_the_data_volume_stays_protected(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(Workspace, "run", lambda self, *words, **_: calls.append(words))
    run.unprotect(PLACE, states.two_hosts(), [change("a1", Impact.DATA_LOSS, refused=False)], ())
    ((*_, urn),) = calls
    assert [word for word in calls[0] if word.startswith("urn:")] == [urn]
    assert urn == states.urn("Node", "Volume", "a1.root")


def test_what_was_unprotected_for_a_run_is_protected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    deployment = states.two_hosts()
    for record in deployment["deployment"]["resources"]:
        if record["urn"].endswith("::a1.root"):
            record["protect"] = False
    monkeypatch.setattr(Workspace, "export", lambda self: deployment)
    monkeypatch.setattr(Workspace, "run", lambda self, *words, **_: calls.append(words))
    run.protect_again(PLACE)
    assert calls == [("state", "protect", "--yes", "--stack", "demo.dc1", states.urn("Node", "Volume", "a1.root"))]
    calls.clear()
    deployment = states.two_hosts()
    run.protect_again(PLACE)
    assert calls == []


def test_changes_that_nobody_asked_for_are_refused() -> None:
    image = Change(kind="host", name="h1", impact=Impact.CREATE, reasons=(), refused=False)
    wanted = change("a1", Impact.DATA_LOSS, refused=False)
    run.require_only(PLACE, [image, wanted], {"a1"})
    with pytest.raises(errors.OperationError) as raised:
        run.require_only(PLACE, [image, wanted, change("b1", Impact.RESTART, refused=False)], {"a1"})
    assert str(raised.value) == (
        "demo.dc1: other changes are waiting:\n  node b1: restart\nNothing of this was touched; first: kumiai up demo"
    )


def test_foreign_marks_are_listed() -> None:
    found = reconcile.Differences(
        leftover=(), foreign=(Thing("h1", "domain", "kumiai.demo.x"),), forget=(), lost_data={}, stale_operations=False
    )
    with pytest.raises(errors.OperationError, match=r"domain kumiai\.demo\.x on host h1"):
        run.require_explained(PLACE, found, ())
    run.require_explained(PLACE, AGREED, ())


def test_vanished_data_needs_permission_for_each_node() -> None:
    found = reconcile.Differences(
        leftover=(), foreign=(), forget=(), lost_data={"a1": ("v1",), "b1": ("v2",)}, stale_operations=False
    )
    with pytest.raises(errors.OperationError) as raised:
        run.require_explained(PLACE, found, {"a1"})
    assert "b1: v2" in str(raised.value)
    assert "a1" not in str(raised.value)
    run.require_explained(PLACE, found, {"*"})


def test_a_root_disk_that_is_on_its_way_may_be_missing_and_data_never() -> None:
    found = reconcile.Differences(
        leftover=(), foreign=(), forget=(), stale_operations=False,
        lost_data={
            "a1": ("kumiai.demo.a1.root.i-s",),
            "b1": ("kumiai.demo.b1.root.i-s", "kumiai.demo.b1.data.g1"),
            "c1": ("kumiai.demo.c1.root.i-s",),
        },
    )  # fmt: skip
    assert run.half_made("demo", found, {"a1", "b1"}) == {"a1"}


def test_a_misspelt_host_is_refused() -> None:
    request = Request(stack_file=pathlib.Path("x"), as_of=examples.DAY, lost=frozenset({"kvm9"}))
    with pytest.raises(errors.InputError, match="--lost kvm9: no such host in demo; hosts: kvm01, kvm02, kvm03"):
        request.check(PLAN)


def test_destroy_asks_for_every_node_with_data() -> None:
    things = [
        Thing("h1", "volume", "kumiai.demo.a1.data.g1"),
        Thing("h1", "volume", "kumiai.demo.b1.root.i-s"),
        Thing("h2", "volume", "kumiai.demo.c1.data.g2"),
        Thing("h2", "domain", "kumiai.demo.c1"),
    ]
    stateful = destroy.stateful_nodes(things, "demo")
    assert stateful == ("a1", "c1")
    with pytest.raises(errors.OperationError, match="--allow-data-loss c1, or --allow-data-loss all"):
        destroy.require_allowed(PLAN, "dc1", stateful, {"a1"})
    destroy.require_allowed(PLAN, "dc1", stateful, {"a1", "c1"})
    destroy.require_allowed(PLAN, "dc1", stateful, {"*"})
    destroy.require_allowed(PLAN, "dc1", (), ())


def diagnostic(message: str, urn: str = "", severity: str = "error") -> events.EngineEvent:
    content = {"message": message, "color": "never", "severity": severity, "urn": urn}
    return events.EngineEvent.from_json({"sequence": 1, "timestamp": 1, "diagnosticEvent": content})


def test_a_failure_names_host_resource_and_cause_once() -> None:
    urn = states.urn("Node", "Domain", "a1")
    record = Record(hosts={urn: "h1"})
    for event in (
        diagnostic(
            "  sdk-v2/provider2.go:572: sdk.helper_schema: error creating libvirt domain: no bridge: "
            "provider=libvirt@0.5.4\n",
            urn,
        ),
        diagnostic("<{%reset%}>1 error occurred:\n\t* error creating libvirt domain: no bridge\n\n<{%reset%}>", urn),
        diagnostic("update failed"),
        diagnostic("only a warning", severity="warning"),
    ):
        engine_run.note(record, event)
    with pytest.raises(errors.OperationError) as raised:
        engine_run.require_success(PLACE, record, "the run failed")
    assert str(raised.value).splitlines() == [
        "demo.dc1: the run failed",
        "  host h1: a1: error creating libvirt domain: no bridge",
    ]


def test_no_failure_is_success() -> None:
    engine_run.require_success(PLACE, Record(), "x")
    with pytest.raises(errors.OperationError, match="the engine died"):
        engine_run.require_success(PLACE, Record(failures=[Failure(urn="", message="the engine died")]), "x")


def step(operation: str, urn: str) -> Step:
    return Step(operation=operation, urn=urn, type=urn.split("::")[2].rpartition("$")[2])


def test_of_a_silent_host_only_what_is_made_or_removed_is_believed() -> None:
    urns = {
        "silent": states.urn("Node", "Domain", "a1"),
        "other": states.urn("Node", "Domain", "b1"),
        "new": states.urn("Node", "Domain", "c1"),
    }
    connection = "urn:pulumi:demo.dc1::kumiai::kumiai:infra:Host$pulumi:providers:libvirt::h1"
    record = Record(
        steps=[
            step("update", urns["silent"]),
            step("replace", urns["other"]),
            step("create", urns["new"]),
            step("update", connection),
        ],
        hosts={urns["silent"]: "h1", urns["other"]: "h2", urns["new"]: "h1"},
    )
    kept = preview.believable(record, {"h1": "no route"})
    assert [s.urn for s in kept] == [urns["other"], urns["new"]]
    assert len(preview.believable(record, {})) == 4
    assert changes.classify(kept, ())

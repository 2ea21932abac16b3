"""The loss of a host: what is stored, what is done, and that all of it comes back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
from typing import Any, ClassVar

import pytest

import infra.plan
from infra.configure import runner
from infra.drills import host, site
from infra.drills.faults import Fault
from infra.drills.scene import Scene
from infra.hosts import access, apply
from infra.lab import operate
from infra.operations import run, shell, state, up
from infra.operations.virsh import Hypervisor, Thing
from infra.plan import replacement
from infra.plan.model import Plan
from infra.resources import surroundings
from network.errors import InputError, OperationError
from tests.database.place import planned
from tests.network.render import demo


@pytest.fixture(scope="module")
def plan() -> Plan:
    return infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan


def test_what_keeps_nothing_is_made_anew_and_a_single_database_waits_for_its_data(plan: Plan) -> None:
    database = plan.node_by_name["juki-db1"]
    found = replacement.of(plan, database.host)
    assert found.stays == ("juki-db1",)
    (stored,) = (survival for survival in plan.survives if survival.lost == (database.host,))
    assert found.moves == {node: to for node, to in stored.moves.items() if node != "juki-db1"}
    assert "juki-db1 waits for its data" in found.words


def test_an_application_that_keeps_its_own_database_waits_too(plan: Plan) -> None:
    there = plan.node_by_name["zaimu-tsuno-ap1"].host
    assert set(replacement.of(plan, there).stays) == {n.name for n in plan.nodes_on(there) if n.service == "zaimu"}


def test_one_of_several_servers_is_cloned_elsewhere() -> None:
    replicated = planned()[0]
    for node in ("juki-db1", "juki-db2"):
        found = replacement.of(replicated, replicated.node_by_name[node].host)
        assert found.stays == ()
        assert found.moves[node] != found.host


def test_the_plan_without_the_host_differs_in_nothing_but_where_machines_run(plan: Plan) -> None:
    lost = plan.node_by_name["juki-db1"].host
    found = replacement.of(plan, lost)
    moved = replacement.applied(plan, found)
    assert {node.name: node.host for node in moved.nodes} == {
        node.name: found.moves.get(node.name, node.host) for node in plan.nodes
    }
    assert moved.network == plan.network
    assert [node.name for node in moved.nodes_on(lost)] == ["juki-db1"]
    used = {h.id: h.memory_mib_used for h in moved.hosts}
    assert used[lost] == plan.node_by_name["juki-db1"].memory_mib
    assert sum(used.values()) == sum(h.memory_mib_used for h in plan.hosts)


def test_what_cannot_be_tried_is_refused(plan: Plan) -> None:
    hopeless = tuple(dataclasses.replace(s, possible=False, moves={}, reason="no room") for s in plan.survives)
    real = tuple(dataclasses.replace(h, libvirt="qemu+ssh://x/system") for h in plan.hosts)
    for broken, name, message in (
        (plan, None, "name a host; demo has kvm01, kvm02, kvm03"),
        (plan, "kvm09", "kvm09: no such host; demo has kvm01"),
        (dataclasses.replace(plan, survives=hopeless), "kvm01", "kvm01: the plan has no place .* elsewhere: no room"),
        (dataclasses.replace(plan, hosts=real), "kvm01", "in the lab only; kvm01, kvm02, kvm03 are real"),
    ):
        with pytest.raises(InputError, match=message):
            host.loss(broken, name)
    with pytest.raises(InputError, match="dc9: demo has dc1"):
        site.loss(plan, "dc9")


def test_a_dry_run_says_what_stops_what_moves_and_what_waits(plan: Plan) -> None:
    lost = plan.node_by_name["juki-db1"].host
    said = host.words(plan, lost, Fault.POWER, twice=False)
    assert "nishiki, juki: stops: " in said
    assert f"then without {lost}: lab up, hosts, up and configure with {replacement.of(plan, lost).words}" in said
    assert f"then {lost} comes back" in said
    assert "two sites never promote by themselves" in site.words(plan, "dc1", Fault.POWER, twice=False)


def test_the_client_works_where_the_business_goes_on(plan: Plan) -> None:
    found = host.loss(plan, plan.node_by_name["juki-db1"].host)
    assert (found.post.endpoint.service, found.stops) == ("zaimu", False)
    assert host.loss(planned()[0], planned()[0].node_by_name["juki-db1"].host).computed_s == 28 + 2.5
    assert site.loss(plan, "dc1").stops


def test_the_program_of_pulumi_is_told_of_the_replacement() -> None:
    request = host.Elsewhere(
        stack_file=pathlib.Path("x.yaml"), as_of=demo.AS_OF, lost=frozenset({"kvm02"}), host="kvm02"
    )
    settings = request.settings()
    assert (settings[surroundings.LOST], settings[surroundings.REPLACED]) == ("kvm02", "kvm02")


class Emptied(Hypervisor):
    """A libvirtd that says what it holds, and keeps what it is told to remove."""

    removed: ClassVar[list[str]] = []
    held: ClassVar[frozenset[Thing]] = frozenset()

    def marked(self) -> frozenset[Thing]:
        return Emptied.held

    def remove(self, thing: Thing) -> None:
        Emptied.removed.append(thing.name)


def scene_of(plan: Plan, progress: list[str]) -> Scene:
    hosts = {h.id: Emptied(host=h.id, uri="", stack=plan.stack) for h in plan.hosts}
    return Scene(
        plan=plan,
        shell=None,  # type: ignore[arg-type]  # nobody asks a machine here
        hosts=hosts,
        secrets={},
        stack_file=pathlib.Path("stacks/demo.yaml"),
        progress=progress.append,
    )


def test_only_what_was_made_anew_elsewhere_is_removed(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = "kvm01"
    moved = replacement.Replacement(host=lost, moves={"a1": "kvm02", "b1": "kvm03"}, stays=("c1",))
    monkeypatch.setattr(Emptied, "removed", [])
    names = [
        ("domain", "a1"), ("domain", "b1"), ("domain", "c1"), ("network", "a1"), ("volume", "a1.root.trixie-1-2"),
        ("volume", "a1.data.g1"), ("volume", "a1.seed.9"), ("volume", "b1.data.g1"), ("volume", "c1.data.g1"),
        ("volume", "image.trixie-1.root"),
    ]  # fmt: skip
    held = frozenset(Thing(lost, kind, f"kumiai.demo.{name}") for kind, name in names)  # type: ignore[arg-type]
    monkeypatch.setattr(Emptied, "held", held)
    # The run that should have made b1 anew has failed before it did so: its only copy is the one on the lost host.
    known = [state.Known(thing=Thing("kvm02", "domain", "kumiai.demo.a1"), urn="", expected=True)]
    monkeypatch.setattr(state, "known", lambda deployment: tuple(known))

    class Place:
        def export(self) -> dict[str, Any]:
            return {}

    monkeypatch.setattr(run, "open_site", lambda *arguments: Place())
    host._clear(scene_of(plan, []), moved)
    assert Emptied.removed[0] == "kumiai.demo.a1", "the machine before its disks"
    assert sorted(Emptied.removed) == [
        "kumiai.demo.a1", "kumiai.demo.a1.data.g1", "kumiai.demo.a1.root.trixie-1-2", "kumiai.demo.a1.seed.9",
    ]  # fmt: skip


def test_whatever_goes_wrong_the_host_comes_back(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(Scene, "of_host", lambda self, name: ("juki-db1", "dc1-gw1a"))
    monkeypatch.setattr(Scene, "kill", lambda self, node: done.append(f"kill {node}"))
    monkeypatch.setattr(host, "_plug", lambda namespace, port, position: done.append(f"{namespace} {position}"))
    monkeypatch.setattr(host, "back", lambda scene, moved: done.append(f"back {moved.host}"))
    moved = replacement.of(plan, "kvm01")
    with contextlib.suppress(OperationError), host._lost(scene_of(plan, []), moved, {}):
        raise OperationError("it does not work")
    assert done == ["kill juki-db1", "kill dc1-gw1a", "kl.demo.underlay 0", "kl.demo.underlay 3", "back kvm01"]


def test_the_way_without_the_host_and_back_is_a_persons(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """lab, hosts, up, configure: first without the host, then with it, and only what moved may lose its disks."""
    done: list[Any] = []
    monkeypatch.setattr(operate, "up_network", lambda plan: done.append("lab"))

    def applied(plan: Plan, views: Any) -> tuple[()]:
        done.append(("hosts", sorted(views)))
        return ()

    monkeypatch.setattr(apply, "apply", applied)
    monkeypatch.setattr(
        up, "up_site",
        lambda plan, site, request, options, progress: done.append(("up", site, request.lost, request.allow_data_loss)),
    )  # fmt: skip
    monkeypatch.setattr(access, "station_ssh_args", lambda plan, site, lost: ("around", *sorted(lost)))
    monkeypatch.setattr(
        runner, "configure",
        lambda plan, secrets, ways, limit: done.append(("configure", ways["dc1"], sorted(limit))),
    )  # fmt: skip
    monkeypatch.setattr(runner, "require_success", lambda plan, outcome: None)
    monkeypatch.setattr(shell, "open_shell", lambda plan, secrets, lost: contextlib.nullcontext())
    monkeypatch.setattr(Scene, "await_whole", lambda self, nodes, when: done.append(("whole", sorted(nodes))))
    monkeypatch.setattr(host, "_clear", lambda scene, moved: done.append("clear"))
    moved = replacement.of(plan, "kvm01")
    nodes = sorted(moved.moves)
    host.elsewhere(scene_of(plan, []), moved)
    host.back(scene_of(plan, []), moved)
    assert done == [
        "lab",
        ("hosts", ["kvm02", "kvm03"]),
        ("up", "dc1", frozenset({"kvm01"}), frozenset()),
        ("configure", ("around", "kvm01"), nodes),
        ("whole", nodes),
        "clear",
        "lab",
        ("hosts", ["kvm01", "kvm02", "kvm03"]),
        ("up", "dc1", frozenset(), frozenset(nodes)),
        ("configure", ("around",), nodes),
    ]

"""A new image is rolled through a stack that stands in memory."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Collection

import pytest

from infra.maintenance import record, reimage
from infra.maintenance.record import Record
from infra.maintenance.reimage import Tools
from infra.plan import lock as lock_file
from infra.plan.model import Plan
from network.errors import InputError, OperationError
from tests.maintenance.world import BUILT, NOW, PLAN, World

OLD, NEW = "trixie-000000000001", "trixie-000000000002"
ORDER = (
    ("juki-ap1",), ("juki-ap2", "kouhou-ap1", "juki-db1", "dc1-gw1a"), ("juki-db2", "dc1-gw1b"),
)  # fmt: skip


def made_from(**images: str) -> Plan:
    """Return the plan with every machine made from the old image, save those named."""
    named = {name.replace("_", "-"): image for name, image in images.items()}
    nodes = tuple(dataclasses.replace(node, image=named.get(node.name, OLD)) for node in PLAN.nodes)
    return dataclasses.replace(PLAN, nodes=nodes)


def tools(world: World, failing: Callable[[str, Collection[str]], bool] = lambda step, group: False) -> Tools:
    def step(name: str) -> Callable[[Collection[str]], None]:
        def work(group: Collection[str]) -> None:
            world.log.append(f"{name} {' '.join(group)}")
            if failing(name, group):
                raise OperationError(f"{name} failed")
            if name == "replace":
                assert world.up.isdisjoint(group), "they were shut down in good order before"
                for node in group:
                    world.boot(node)

        return work

    return Tools(pin=step("pin"), replace=step("replace"), configure=step("configure"))


def roll(world: World, root: pathlib.Path, plan: Plan, made: Tools, *wanted: str) -> None:
    rolling = reimage.prepare(plan, root, wanted, NEW)
    reimage.roll(world.crew(), made, root, rolling, NOW, accept_stop=True)


def test_the_order_names_every_machine_once_and_why(tmp_path: pathlib.Path) -> None:
    found = reimage.prepare(made_from(), tmp_path, (), NEW)
    assert found.groups == ORDER
    assert found.before == {node.name: OLD for node in PLAN.nodes}
    assert len(found.stops) == 2
    assert all(text.startswith("kouhou for ") for text in found.stops)


def test_what_has_the_image_is_left_out(tmp_path: pathlib.Path) -> None:
    found = reimage.prepare(made_from(juki_ap1=NEW, juki_db1=NEW), tmp_path, ("juki-ap1", "juki-ap2"), NEW)
    assert (found.groups, found.stops) == ((("juki-ap2",),), ())
    everything = {node.name.replace("-", "_"): NEW for node in PLAN.nodes}
    assert reimage.prepare(made_from(**everything), tmp_path, (), NEW).groups == ()


def test_each_group_is_drained_made_anew_configured_and_whole_before_the_next(tmp_path: pathlib.Path) -> None:
    world = World()
    roll(world, tmp_path, made_from(), tools(world))
    steps = [line for line in world.log if line.split()[0] in ("pin", "replace", "configure")]
    assert steps == [f"{step} {' '.join(group)}" for group in ORDER for step in ("pin", "replace", "configure")]
    assert world.log.index("shut down juki-db1") < world.log.index("replace juki-ap2 kouhou-ap1 juki-db1 dc1-gw1a")
    assert world.log.index("switch over to juki-db2") < world.log.index("shut down juki-db1")
    assert "switch over to juki-db1" in world.log, "and back, before its partner's turn"
    assert world.log.index("juki-ap2: juki-ap1 ready") < world.log.index("juki-ap1: juki-ap2 drain")
    assert record.load(tmp_path, "test") is None
    assert world.up == {node.name for node in PLAN.nodes}


@pytest.mark.parametrize("step", ["pin", "replace", "configure"])
def test_it_stops_at_the_first_failure_and_the_next_run_goes_on(tmp_path: pathlib.Path, step: str) -> None:
    world = World()
    with pytest.raises(OperationError) as raised:
        roll(world, tmp_path, made_from(), tools(world, lambda name, group: name == step and "juki-db1" in group))
    assert str(raised.value) == (
        f"{step} failed\n"
        "with the new image: juki-ap1; juki-ap2, kouhou-ap1, juki-db1, dc1-gw1a may be out; to go on when the cause is "
        "gone: kumiai reimage test juki-ap2 kouhou-ap1 juki-db1 dc1-gw1a juki-db2 dc1-gw1b"
    )
    assert not [line for line in world.log if "juki-db2" in line and line.startswith(("pin", "shut down"))]
    pinned = dict.fromkeys(("juki_ap1", "juki_ap2", "kouhou_ap1", "juki_db1", "dc1_gw1a"), NEW)
    world.log.clear()
    roll(world, tmp_path, made_from(**pinned), tools(world))
    steps = [line for line in world.log if line.split()[0] in ("pin", "replace", "configure")]
    rest = ORDER[1], ("juki-db2",), ("dc1-gw1b",)
    assert steps == [f"{name} {' '.join(group)}" for group in rest for name in ("pin", "replace", "configure")]
    assert record.load(tmp_path, "test") is None


def test_a_machine_that_is_not_whole_afterwards_stops_it(tmp_path: pathlib.Path) -> None:
    world = World()

    def broken(name: str, group: Collection[str]) -> bool:
        if name == "configure":
            world.stopped.add(("juki-ap1", "kumiai-application@juki.service"))
        return False

    with pytest.raises(OperationError, match=r"juki-ap1: kumiai-application@juki\.service is inactive"):
        roll(world, tmp_path, made_from(), tools(world, broken))
    assert "pin juki-ap2 kouhou-ap1 juki-db1 dc1-gw1a" not in world.log
    assert record.load(tmp_path, "test") == Record(kind="reimage", host=None, nodes=("juki-ap1",), since=NOW)


def test_a_partner_that_is_not_whole_ends_it_before_anything_goes(tmp_path: pathlib.Path) -> None:
    world = World()
    world.up.discard("juki-ap2")
    with pytest.raises(OperationError, match="juki-ap2: does not answer") as raised:
        roll(world, tmp_path, made_from(), tools(world), "juki-ap1")
    assert "nothing is out" in str(raised.value)
    assert world.log == []


def test_what_stands_alone_needs_to_be_accepted(tmp_path: pathlib.Path) -> None:
    world = World()
    rolling = reimage.prepare(made_from(), tmp_path, ("kouhou-ap1",), NEW)
    with pytest.raises(OperationError, match="this would stop:\n  kouhou for 第1町"):
        reimage.roll(world.crew(), tools(world), tmp_path, rolling, NOW, accept_stop=False)
    assert world.log == []


def test_a_host_in_maintenance_comes_first(tmp_path: pathlib.Path) -> None:
    record.save(tmp_path, "test", Record(kind="maintenance", host="kvm01", nodes=("juki-ap1",), since=NOW))
    with pytest.raises(OperationError, match="first: kumiai maintenance test kvm01 --end"):
        reimage.prepare(made_from(), tmp_path, (), NEW)
    with pytest.raises(InputError, match="juki-ap9: no such node; the plan has "):
        reimage.prepare(made_from(), tmp_path, ("juki-ap9",), NEW)


def test_the_lock_takes_the_image_for_the_named_machines_alone() -> None:
    first = lock_file.pin_images(BUILT.lock, OLD)
    pinned = lock_file.pin_anew(first, ("juki-ap1",), NEW)
    assert {name for name, entry in pinned.nodes.items() if entry.image == NEW} == {"juki-ap1"}
    assert {entry.image for name, entry in pinned.nodes.items() if name != "juki-ap1"} == {OLD}
    assert lock_file.dump(pinned).replace(NEW, OLD) == lock_file.dump(first)

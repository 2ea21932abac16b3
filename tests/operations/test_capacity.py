from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from infra.hosts import access
from infra.operations import capacity
from infra.operations.virsh import Hypervisor, Thing
from infra.plan.model import Plan
from infra.resources import names
from network import errors
from tests.resources import examples

PLAN = examples.demo_plan()
SIZES = {"root": 400 * capacity.MIB, "kernel": 12 * capacity.MIB, "initrd": 2 * capacity.MIB}


def size(image: str, part: str) -> int:
    assert image == examples.IMAGE
    return SIZES[part]


def test_a_new_host_needs_the_image_and_room_for_the_first_minutes() -> None:
    found = capacity.need(PLAN, "dc1", "kvm02", frozenset(), size)
    nodes = PLAN.nodes_on("kvm02")
    assert found.at_once == sum(SIZES.values()) + len(nodes) * capacity.MACHINE_BYTES
    assert found.in_time == found.at_once + sum(node.disk_gib for node in nodes) * capacity.GIB


def test_what_is_there_needs_nothing() -> None:
    there = {Thing("kvm02", "domain", names.domain("demo", node.name)) for node in PLAN.nodes_on("kvm02")}
    there |= {Thing("kvm02", "volume", names.image_volume("demo", examples.IMAGE, part)) for part in SIZES}
    assert capacity.need(PLAN, "dc1", "kvm02", frozenset(there), size).in_time == 0


class Pool(Hypervisor):
    """A host whose pool has 100 MiB left."""

    def free_bytes(self) -> int | None:
        return 100 * capacity.MIB


def hosts() -> Mapping[str, Hypervisor]:
    return {name: Pool(host=name, uri="", stack="demo") for name in ("kvm01", "kvm02")}


def test_a_full_pool_is_named_before_anything_is_touched() -> None:
    with pytest.raises(errors.OperationError) as raised:
        capacity.check(PLAN, "dc1", hosts(), {"kvm01": frozenset(), "kvm02": frozenset()}, lambda _: None)
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "the storage pool has no room", "host kvm01", "host kvm02", "Nothing was touched",
    ]  # fmt: skip
    assert lines[1].endswith("768 MiB are needed, 100 MiB are free")


def test_thin_disks_that_may_outgrow_the_pool_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MACHINE_BYTES", 0)
    monkeypatch.setattr(capacity, "_image_bytes", lambda image, part: 10 * capacity.MIB)
    said: list[str] = []
    capacity.check(PLAN, "dc1", hosts(), {"kvm01": frozenset(), "kvm02": frozenset()}, said.append)
    assert len(said) == 2
    assert "may grow to" in said[0]


def bridges_of(plan: Plan, host: str) -> list[str]:
    nodes = [node.name for node in plan.nodes_on(host)]
    segments = {name for node in nodes for name in plan.network.node_by_name[node].segments}
    return sorted(plan.network.segment_by_name[name].bridge for name in segments)


def test_a_missing_bridge_is_named_with_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {host: bridges_of(PLAN, host) for host in ("kvm01", "kvm02")}
    tenant = PLAN.network.segment_by_name["dc1-tsuno-lgwan"].bridge
    monkeypatch.setattr(
        access, "run_on", lambda plan, host, *argv: json.dumps([{"ifname": name} for name in there[host]])
    )
    capacity.check_bridges(PLAN, "dc1", hosts())
    there["kvm02"].remove(tenant)
    with pytest.raises(errors.EnvironmentLackError) as raised:
        capacity.check_bridges(PLAN, "dc1", hosts())
    assert "  host kvm02: no bridge for dc1-tsuno-lgwan" in str(raised.value).splitlines()
    assert "kvm01" not in str(raised.value)
    assert "kumiai hosts demo" in str(raised.value)

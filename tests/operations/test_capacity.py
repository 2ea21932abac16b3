from __future__ import annotations

from collections.abc import Mapping

import pytest

from infra.operations import capacity
from infra.operations.virsh import Hypervisor, Thing
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

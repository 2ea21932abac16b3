"""The whole demo under an engine that only listens, and a test for every guard of the adapter."""

from __future__ import annotations

import dataclasses

import pytest

from infra.plan import model
from infra.plan.model import Plan
from infra.resources import components, names
from tests.resources import engine, examples

PLAN = examples.demo_plan()


def heard(
    plan: Plan = PLAN, *, allow: tuple[str, ...] = (), silent: tuple[str, ...] = (), reimage: tuple[str, ...] = ()
) -> engine.Listener:
    """Return what the engine heard when the demo was built."""
    around = examples.surroundings(plan, allow=allow, silent=silent, reimage=reimage)
    return engine.run(lambda: components.build(plan, "dc1", around), preview=bool(silent))


@pytest.fixture(scope="module")
def demo() -> engine.Listener:
    return heard()


def test_every_planned_machine_is_there_with_its_size(demo: engine.Listener) -> None:
    domains = demo.of_type("Domain")
    assert set(domains) == {node.name for node in PLAN.nodes}
    for node in PLAN.nodes:
        inputs = domains[node.name].inputs
        assert inputs["name"] == f"kumiai.demo.{node.name}"
        assert (inputs["memory"], inputs["vcpu"]) == (node.memory_mib, node.vcpus)


def test_every_machine_is_on_its_planned_host(demo: engine.Listener) -> None:
    for node in PLAN.nodes:
        assert f"::{node.host}::" in demo.one("Domain", node.name).provider


def test_every_card_is_on_the_bridge_of_its_segment_in_the_planned_order(demo: engine.Listener) -> None:
    for node in PLAN.network.nodes:
        cards = demo.one("Domain", node.name).inputs["networkInterfaces"]
        wanted = [(c.mac.upper(), PLAN.network.segment_by_name[c.segment].bridge) for c in node.interfaces]
        assert [(card["mac"], card["bridge"]) for card in cards] == wanted
        assert len(wanted) > 1


def test_a_segment_is_one_bridge_network_on_each_host_that_needs_it(demo: engine.Listener) -> None:
    wanted = {
        f"{card.segment}.{PLAN.node_by_name[node.name].host}" for node in PLAN.network.nodes for card in node.interfaces
    }
    networks = demo.of_type("Network")
    assert set(networks) == wanted
    for name, network in networks.items():
        segment = PLAN.network.segment_by_name[name.partition(".")[0]]
        assert network.inputs["mode"] == "bridge"
        assert network.inputs["bridge"] == segment.bridge
        assert network.inputs["name"] == names.network("demo", segment.name)


def test_nothing_is_made_on_a_host_without_machines(demo: engine.Listener) -> None:
    used = {node.host for node in PLAN.nodes}
    assert set(demo.of_type("Pool")) == used
    assert used < {host.id for host in PLAN.hosts}, "the demo keeps a spare host"


def test_disks_are_root_data_seed_in_this_order(demo: engine.Listener) -> None:
    for node in PLAN.nodes:
        seed = next(name for name in demo.of_type("Volume") if name.startswith(f"{node.name}.seed."))
        wanted = [f"{node.name}.root_id", *([f"{node.name}.data_id"] if node.data_gib else []), f"{seed}_id"]
        assert [disk["volumeId"] for disk in demo.one("Domain", node.name).inputs["disks"]] == wanted


def test_names_of_a_nodes_resources_hold_neither_host_nor_place(demo: engine.Listener) -> None:
    moved = heard(examples.with_node(PLAN, "juki-db1", host="kvm03"))
    mine = [r.name for r in moved.registrations if r.name.startswith("juki-db1")]
    assert not [name for name in mine if "kvm" in name]
    stable = {"juki-db1", "juki-db1.root", "juki-db1.data"}
    assert stable < set(mine)
    assert stable < {r.name for r in demo.registrations}


# The guards. Each of these fails when its guard is taken out of infra/resources/adapter.py.


def test_h1_a_changed_card_or_kernel_replaces_the_machine(demo: engine.Listener) -> None:
    for domain in demo.of_type("Domain").values():
        assert {"networkInterfaces", "kernel", "initrd", "machine"} <= set(domain.replace_on_changes)


def test_h2_volumes_are_protected_and_machines_may_restart(demo: engine.Listener) -> None:
    volumes = demo.of_type("Volume")
    kept = {name for name in volumes if name.endswith((".root", ".data")) and not name.startswith("kvm")}
    assert len(kept) == len(PLAN.nodes) + sum(node.data_gib > 0 for node in PLAN.nodes)
    assert all(volumes[name].protect for name in kept)
    assert not any(domain.protect for domain in demo.of_type("Domain").values())
    assert not any(r.retain_on_delete for r in demo.registrations), "an orphan would be left behind"


def test_h2_data_loss_is_allowed_for_the_named_node_only() -> None:
    listener = heard(allow=("juki-db1",))
    unprotected = {n for n, v in listener.of_type("Volume").items() if n.endswith((".root", ".data")) and not v.protect}
    assert {name for name in unprotected if not name.startswith("kvm")} == {"juki-db1.root", "juki-db1.data"}


def test_h2_a_new_image_takes_the_root_disk_of_the_named_node_and_no_data() -> None:
    listener = heard(reimage=("juki-db1",))
    unprotected = {n for n, v in listener.of_type("Volume").items() if n.endswith((".root", ".data")) and not v.protect}
    assert {name for name in unprotected if not name.startswith("kvm")} == {"juki-db1.root"}


def test_h3_names_of_volumes_hold_the_node_and_its_generation() -> None:
    listener = heard(examples.with_node(PLAN, "juki-db1", generation=2))
    assert listener.one("Volume", "juki-db1.data").inputs["name"] == "kumiai.demo.juki-db1.data.g2"
    every = [volume.inputs["name"] for volume in listener.of_type("Volume").values()]
    # The same image lies in the pools of several hosts; within one pool no name comes twice.
    own = [name for name in every if ".image." not in name]
    assert len(own) == len(set(own))


def test_h4_sizes_come_from_the_plan(demo: engine.Listener) -> None:
    gib = 1024**3
    for node in PLAN.nodes:
        assert demo.one("Volume", f"{node.name}.root").inputs["size"] == model.ROOT_GIB * gib
        if node.data_gib:
            assert demo.one("Volume", f"{node.name}.data").inputs["size"] == node.data_gib * gib


def test_h5_what_can_only_exist_once_is_deleted_before_it_is_made_again(demo: engine.Listener) -> None:
    for kind in ("Domain", "Volume", "Network", "Pool"):
        found = demo.of_type(kind)
        assert found
        assert all(r.delete_before_replace for r in found.values()), kind


def test_h6_another_first_boot_is_another_seed_and_another_root_disk(demo: engine.Listener) -> None:
    for changed in (
        examples.with_node(PLAN, "juki-db1", generation=2),
        examples.with_node(PLAN, "juki-db1", host="kvm03"),
    ):
        listener = heard(changed)
        before, after = (x.one("Volume", "juki-db1.root").inputs["name"] for x in (demo, listener))
        assert before != after
        seeds_before, seeds_after = (
            {name for name in x.of_type("Volume") if name.startswith("juki-db1.seed.")} for x in (demo, listener)
        )
        assert not seeds_before & seeds_after


def test_h6_the_seed_is_uploaded_and_never_told(demo: engine.Listener) -> None:
    secret = examples.demo_secrets().hosts["juki-db1"].private.splitlines()[2]
    assert not demo.of_type("CloudInitDisk")
    told = "\n".join(str(r) for r in demo.registrations)
    assert "juki-db1" in told
    assert secret not in told
    seed = next(r for name, r in demo.of_type("Volume").items() if name.startswith("juki-db1.seed."))
    assert set(seed.ignore_changes) == {"source", "format"}


def test_h8_one_pool_a_host_and_everything_in_it(demo: engine.Listener) -> None:
    assert {volume.inputs["pool"] for volume in demo.of_type("Volume").values()} == {"kumiai.demo"}


def test_h9_the_host_triggers_replacement(demo: engine.Listener) -> None:
    for node in PLAN.nodes:
        for kind, name in (("Domain", node.name), ("Volume", f"{node.name}.root")):
            assert demo.one(kind, name).replacement_trigger == node.host
        if node.data_gib:
            assert demo.one("Volume", f"{node.name}.data").replacement_trigger == node.host


def test_h10_cards_name_the_bridge_and_not_the_network(demo: engine.Listener) -> None:
    for domain in demo.of_type("Domain").values():
        assert all("networkName" not in card and "networkId" not in card for card in domain.inputs["networkInterfaces"])


def test_the_place_of_an_image_on_this_machine_is_no_change(demo: engine.Listener) -> None:
    base = {name: v for name, v in demo.of_type("Volume").items() if name.startswith("kvm")}
    assert len(base) == 3 * len({node.host for node in PLAN.nodes})
    assert all(volume.ignore_changes == ("source",) for volume in base.values())


def test_an_image_with_its_own_boot_loader_is_started_by_the_firmware() -> None:
    around = examples.surroundings(PLAN)
    image = dataclasses.replace(around.images[examples.IMAGE], kernel=None, initrd=None)
    around = dataclasses.replace(around, images={examples.IMAGE: image})
    listener = engine.run(lambda: components.build(PLAN, "dc1", around))
    for domain in listener.of_type("Domain").values():
        assert not {"kernel", "initrd", "cmdlines"} & domain.inputs.keys()


def test_lost_hosts_are_left_out() -> None:
    around = dataclasses.replace(examples.surroundings(PLAN), lost=frozenset({"kvm01"}))
    listener = engine.run(lambda: components.build(PLAN, "dc1", around))
    assert set(listener.of_type("Pool")) == {"kvm02"}
    assert set(listener.of_type("Domain")) == {node.name for node in PLAN.nodes if node.host == "kvm02"}


def test_a_silent_host_is_previewed_without_being_asked() -> None:
    listener = heard(silent=("kvm01",))
    providers = {r.name: r.inputs.get("uri") for r in listener.registrations if r.type == "pulumi:providers:libvirt"}
    assert providers["kvm02"] == "qemu+unix:///system?socket=/nowhere/kvm02"
    assert not str(providers["kvm01"]).startswith("qemu")


def test_an_unpinned_image_is_refused() -> None:
    plan = examples.with_node(PLAN, "juki-db1", image=None)
    with pytest.raises(Exception, match="juki-db1: no guest image is pinned"):
        heard(plan)

"""The engine against real libvirt daemons, with machines that have nothing to boot, so that they are made in seconds.

Everything about resources, state and hosts is tried here; what needs a running guest stands in test_demo.py. The tests
share one stack and follow one another.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from infra import process
from infra.lab import state as lab_state
from infra.operations import interrupted, virsh, workspace
from infra.operations.virsh import Hypervisor
from infra.secrets import store
from tests.lab import place as places
from tests.lab.place import Place

pytestmark = pytest.mark.lab
NAME = "t-engine"
QUICK = ("--no-wait", "--shutdown-timeout", "1")
"""The machines have no system that could answer on SSH, or listen to their power button."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = places.make(tmp_path_factory.mktemp("engine"), "demo", NAME)
    image = place.folder / "empty.qcow2"
    process.run("qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M")
    try:
        assert place.kumiai("plan").code == 0
        assert place.kumiai("lab", "up").code == 0
        assert place.kumiai("hosts").code == 0
        assert place.kumiai("up", "--image", str(image), *QUICK).code == 0
        yield place
    finally:
        place.kumiai("destroy", "--allow-data-loss", "all")
        place.remove()


def hypervisors(place: Place) -> dict[str, Hypervisor]:
    return dict(virsh.hypervisors(place.plan(), "dc1"))


def up(place: Place, *more: str, stack_file: pathlib.Path | None = None) -> places.Done:
    return place.kumiai("up", *QUICK, *more, stack_file=stack_file)


def differences(place: Place) -> list[str]:
    """Return what verify finds, apart from first-boot disks, which only a machine that answers gets wiped."""
    found = place.kumiai("verify", "--json").json()
    assert found["examined"]["machines"] == 7
    assert found["examined"]["cards"] > 20
    return [f["message"] for f in found["findings"] if "first-boot disk" not in f["message"]]


def workspace_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> workspace.Workspace:
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return workspace.open_workspace(NAME, "dc1")


def test_all_is_as_planned_and_a_second_run_changes_nothing(engine: Place) -> None:
    assert differences(engine) == []
    preview = engine.kumiai("preview", "--json")
    assert (preview.code, preview.json()["changes"]) == (0, [])
    before = hypervisors(engine)["kvm01"].call("list")
    done = up(engine, "--json")
    assert (done.code, done.json()["changes"]) == (0, [])
    assert hypervisors(engine)["kvm01"].call("list") == before, "the same machines, under the same numbers"


def test_plain_pulumi_sees_no_change_even_after_a_refresh(engine: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace_of(engine, monkeypatch)
    settings = {"KUMIAI_STACK_FILE": str(engine.stack_file)}
    argv = (str(place.pulumi), "--non-interactive")
    options = ("--stack", place.name)
    environment = {**place.environment, **settings}
    process.run(*argv, "refresh", "--yes", *options, env=environment, cwd=places.ROOT, timeout_s=300)
    process.run(*argv, "preview", "--expect-no-changes", *options, env=environment, cwd=places.ROOT, timeout_s=300)


def test_no_secret_is_in_the_state_nor_in_what_pulumi_keeps(engine: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace_of(engine, monkeypatch)
    secrets = store.read(place)
    assert secrets is not None
    planted = [pair.private.splitlines()[2].encode() for pair in (secrets.station, *secrets.hosts.values())]
    assert len(planted) == 7
    files = [path for path in (engine.folder / "state").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [(path, secret) for path in files for secret in planted if secret in path.read_bytes()]
    assert not list(pathlib.Path("/dev/shm").glob("kumiai-seeds-*")), "the first-boot disks went with their run"


def test_a_moved_card_restarts_its_machine_and_really_moves(engine: Place) -> None:
    """The provider by itself reports success and leaves the card where it was."""
    other = engine.edited("card", ("    zone: lgwan\n    pattern: mixed", "    zone: mynumber\n    pattern: mixed"))
    assert engine.kumiai("plan", stack_file=other).code == 0
    assert engine.kumiai("hosts", stack_file=other).code == 0
    preview = engine.kumiai("preview", "--json", stack_file=other)
    changes = {change["name"]: change for change in preview.json()["changes"]}
    assert changes["zaimu-tsuno-ap1"]["class"] == "restart"
    assert "card" in changes["zaimu-tsuno-ap1"]["reasons"][0]
    host, name = engine.plan().node_by_name["zaimu-tsuno-ap1"].host, f"kumiai.{NAME}.zaimu-tsuno-ap1"
    assert f"kumiai.{NAME}.dc1-tsuno-lgwan" in hypervisors(engine)[host].call("domiflist", name)
    assert up(engine, stack_file=other).code == 0
    now = hypervisors(engine)[host].call("domiflist", name)
    assert f"kumiai.{NAME}.dc1-tsuno-mynumber" in now
    assert f"kumiai.{NAME}.dc1-tsuno-lgwan" not in now
    assert engine.kumiai("hosts").code == 0  # brings the old bridges back …
    assert up(engine).code == 0
    assert engine.kumiai("hosts").code == 0  # … and takes away those that nobody uses any more
    assert differences(engine) == []


def test_a_card_moved_behind_our_back_is_found(engine: Place) -> None:
    node = engine.plan().node_by_name["juki-ap1"]
    hypervisor, name = hypervisors(engine)[node.host], f"kumiai.{NAME}.juki-ap1"
    card = engine.plan().network.node_by_name["juki-ap1"].interfaces[1]
    strange = f"kumiai.{NAME}.dc1-tsuno-lgwan"
    device = engine.folder / "card.xml"
    device.write_text(
        f"<interface type='network'><mac address='{card.mac}'/><source network='{strange}'/>"
        "<model type='virtio'/></interface>"
    )
    hypervisor.call("update-device", name, str(device), "--live")
    (message,) = differences(engine)
    assert message.startswith(f"card {card.mac} is on network {strange}, bridge k")
    failed = up(engine)
    assert failed.code == 1, "what is not as planned is a failure, not a detail"
    assert message in failed.err
    hypervisor.call("destroy", name)
    hypervisor.call("start", name)
    assert differences(engine) == []


def test_a_stopped_machine_is_started_again(engine: Place) -> None:
    node = engine.plan().node_by_name["juki-ap1"]
    hypervisors(engine)[node.host].call("destroy", f"kumiai.{NAME}.juki-ap1")
    assert differences(engine) == ["it does not run"]
    done = up(engine, "--json")
    assert done.json()["sites"][0]["started"] == ["juki-ap1"]
    assert differences(engine) == []


def test_a_vanished_definition_is_made_again_and_a_vanished_data_volume_is_refused(engine: Place) -> None:
    node = engine.plan().node_by_name["juki-ap2"]
    hypervisor, name = hypervisors(engine)[node.host], f"kumiai.{NAME}.juki-ap2"
    hypervisor.call("destroy", name)
    hypervisor.call("undefine", name)
    assert up(engine).code == 0
    assert differences(engine) == []
    hypervisor.call("destroy", name)
    hypervisor.call("vol-delete", "--pool", f"kumiai.{NAME}", f"{name}.data.g1")
    refused = up(engine)
    assert refused.code == 1
    assert f"juki-ap2: {name}.data.g1" in refused.err
    assert up(engine, "--allow-data-loss", "juki-ap2").code == 0
    assert differences(engine) == []


def test_what_carries_no_mark_is_not_touched_and_a_foreign_mark_is_refused(engine: Place) -> None:
    hypervisor = hypervisors(engine)["kvm01"]
    xml = "<domain type='qemu'><name>{}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>"
    for name in ("windows", f"kumiai.{NAME}.stranger"):
        path = engine.folder / f"{name}.xml"
        path.write_text(xml.format(name))
        hypervisor.call("define", str(path))
    try:
        refused = up(engine)
        assert refused.code == 1
        assert f"domain kumiai.{NAME}.stranger on host kvm01" in refused.err
        assert "windows" not in refused.err
        hypervisor.call("undefine", f"kumiai.{NAME}.stranger")
        assert up(engine).code == 0
        assert "windows" in hypervisor.call("list", "--all", "--name")
    finally:
        hypervisor.call("undefine", "windows")


def kill_whole_run(place: Place, seen: str) -> None:
    """Start ``up`` and send SIGKILL to it and to its engine as soon as a line with ``seen`` is printed."""
    child = subprocess.Popen(
        (places.KUMIAI, "up", str(place.stack_file), *QUICK),
        env={**os.environ, **place.environment},
        cwd=places.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert child.stderr is not None
    line = next((line for line in child.stderr if seen in line), None)
    from infra.operations import engine_run  # noqa: PLC0415

    child.send_signal(signal.SIGKILL)
    for pid, _ in list(engine_run.marks(f"{places.ROOT}:{NAME}.dc1:")):
        os.kill(pid, signal.SIGKILL)
    child.communicate()
    assert line is not None, "the moment never came"


MOMENTS = ["storage pool kvm01", "machine zaimu-tsuno-ap1"]
MORE_MOMENTS = [
    "network dc1-management.kvm01",
    ".root made",
    ".data made",
    ".seed.",
    "machine juki-db1",
    "machine dc1-gw1a",
]


@pytest.mark.soak  # test_demo.py has two of the moments
@pytest.mark.parametrize("moment", [*MOMENTS, *MORE_MOMENTS])
def test_a_killed_run_converges(engine: Place, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.kumiai("destroy", "--allow-data-loss", "all").code == 0
    assert not [thing for h in hypervisors(engine).values() for thing in h.marked()]
    kill_whole_run(engine, moment)
    assert interrupted.read_note(workspace_of(engine, monkeypatch)) is not None
    assert up(engine).code == 0
    assert differences(engine) == []
    assert interrupted.read_note(workspace_of(engine, monkeypatch)) is None


def test_a_dead_host_does_not_block_the_others_and_comes_back(engine: Place) -> None:
    state = lab_state.load(NAME)
    assert state is not None
    pid = next(p.pid for p in state.processes if p.name == "kvm02/libvirtd")
    os.kill(pid, signal.SIGKILL)
    aside = places.ROOT / ".kumiai" / "lost" / f"{NAME}.dc1" / "kvm02.json"
    try:
        refused = up(engine)
        assert refused.code == 3
        assert "host kvm02: libvirtd does not answer" in refused.err
        silent = engine.kumiai("preview", "--json").json()
        assert silent["changes"] == []
        assert "host kvm02" in silent["notes"][0]
        assert up(engine, "--lost", "kvm02").code == 0
        assert aside.stat().st_mode & 0o777 == 0o600
        assert engine.kumiai("preview", "--lost", "kvm02", "--json").json()["changes"] == []
    finally:
        assert engine.kumiai("lab", "up").code == 0
    back = up(engine, "--json")
    assert (back.code, back.json()["changes"]) == (0, [])
    assert not aside.exists()
    assert differences(engine) == []


def test_a_full_pool_is_refused_before_the_first_change(engine: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.kumiai("destroy", "--allow-data-loss", "all").code == 0
    program = engine.folder / "bin" / "df"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Avail\necho 1048576\n")  # 1 MiB
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    full = up(engine)
    assert full.code == 1
    assert "host kvm01" in full.err
    assert "1 MiB are free" in full.err
    assert not [thing for h in hypervisors(engine).values() for thing in h.marked()]


def test_destroy_leaves_nothing(engine: Place) -> None:
    assert up(engine).code == 0
    refused = engine.kumiai("destroy")
    assert refused.code == 1
    assert "juki-db1" in refused.err
    assert differences(engine) == []
    assert engine.kumiai("destroy", "--allow-data-loss", "all").code == 0
    assert not [thing for h in hypervisors(engine).values() for thing in h.marked()]
    store_folder = pathlib.Path("/var/lib/kumiai-lab") / NAME
    left = [path for path in store_folder.rglob(f"*kumiai.{NAME}*")]
    assert left == []

"""The lab with its libvirtds: up, repaired, and gone without a trace."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator

import pytest

from infra import lab, process
from infra.hosts import access, apply, check, views
from infra.hosts.check import HostReport
from infra.lab import frr, kvm, places, processes
from infra.lab import state as state_file
from infra.plan.model import Plan
from network.errors import EnvironmentLackError
from tests.lab_unit.guests import lab_traces
from tests.lab_unit.small import small_plan

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces"),
    pytest.mark.skipif(shutil.which("libvirtd") is None, reason="needs libvirtd"),
]
STACK = f"lab{os.getpid()}"
FOLDERS = (places.run_folder(STACK), places.store_folder(STACK), places.routers_folder(STACK))
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><disk type='file' device='disk'><source file='/var/lib/libvirt/images/{name}.img'/><target dev='hda'/></disk>
  <interface type='bridge'><source bridge='{bridge}'/><port isolated='yes'/></interface></devices>
</domain>
"""


def machine_traces() -> dict[str, object]:
    """Return what a lab could leave behind on this machine, seen from outside."""
    ours = [path.name for path in places.NETNS.glob("*")] if places.NETNS.exists() else []
    mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    daemons = []
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() in ("libvirtd", "virtlogd", "qemu-system-x86", *frr.DAEMONS):
                daemons.append(int(path.parent.name))
        except OSError:  # ended in between
            continue
    return {
        "namespaces": [name for name in ours if STACK in name],
        "mounts": [mount for mount in mounts if STACK in mount or "libvirt" in mount],
        "processes": [pid for pid in daemons if STACK in str(command_line(pid)) or in_lab(pid)],
        "files": [str(folder) for folder in FOLDERS if folder.exists()],
        "links": [link["ifname"] for link in json.loads(process.run("ip", "-j", "link"))],
    }


def command_line(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def in_lab(pid: int) -> bool:
    """Return whether the process sees the lab's folders, even when its namespace has lost its name."""
    try:
        return STACK in pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return False


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    """The small plan's lab, brought up once and taken away at the end."""
    plan = small_plan(STACK)
    before = machine_traces()
    assert before["files"] == []
    try:
        lab.up(plan)
        apply.require_success(apply.apply(plan, views.plan_views(plan, {})))
        yield plan
    finally:
        lab.down(STACK)
    assert machine_traces() == before
    assert lab_traces(STACK) == []


def virsh(plan: Plan, host: str, *argv: str, stdin: str | None = None) -> str:
    return process.run("virsh", "--connect", access.libvirt_uri(plan, host), *argv, stdin=stdin, timeout_s=120)


def test_every_host_answers_and_a_second_up_changes_nothing(plan: Plan) -> None:
    found = lab.status(STACK)
    assert found.up
    assert [host.id for host in found.hosts] == ["kvm01", "kvm02", "kvm03"]
    assert found.carriers == ("lgwan", "vpn-a nishiki", "vpn-a tsuno")
    assert [(o.member, o.office, o.zones) for o in found.offices] == [
        ("nishiki", "honcho", ("lgwan", "mynumber")),
        ("tsuno", "honcho", ("lgwan", "mynumber")),
    ]
    assert [(line.line, line.zone) for line in found.lines] == [
        (f"{member}-{role}", zone)
        for member in ("nishiki", "tsuno")
        for role in ("backup", "main")
        for zone in ("lgwan", "mynumber")
    ]
    assert found.cuts == ()
    before = state_file.load(STACK)
    assert lab.up(plan) == ()
    assert state_file.load(STACK) == before


def test_the_probe_decides_how_guests_run(plan: Plan) -> None:
    assert lab.accelerator(STACK) == kvm.probe()


def test_hosts_are_different_machines(plan: Plan) -> None:
    hosts = ("kvm01", "kvm02", "kvm03")
    identities = {host: virsh(plan, host, "capabilities").partition("<uuid>")[2][:36] for host in hosts}
    assert len(set(identities.values())) == 3
    for host in hosts:
        access.run_on(plan, host, "sh", "-c", f"echo {host} >/var/lib/libvirt/images/who")
    assert [access.run_on(plan, host, "cat", "/var/lib/libvirt/images/who").strip() for host in hosts] == list(hosts)
    assert not pathlib.Path("/var/lib/libvirt/images/who").exists(), "the machine's own folder is another one"


def test_machines_of_the_lab_are_on_disk_and_on_their_bridge_and_go_with_it(plan: Plan) -> None:
    name, bridge = f"kumiai.{STACK}.probe", plan.network.management_segment("dc1").bridge
    sector = kvm.boot_sector()
    image = places.store_folder(STACK) / "kvm02" / "lib" / "images" / f"{name}.img"
    image.write_bytes(sector.replace(b"\xb0\x10\xe6\xf4", b"\x90\x90\x90\x90"))  # it halts instead of leaving QEMU
    xml = image.with_suffix(".xml")
    xml.write_text(DOMAIN.format(name=name, bridge=bridge))
    virsh(plan, "kvm02", "create", str(xml))
    assert lab.status(STACK).hosts[1].domains == (name,)
    (report,) = [r for r in _reports(plan) if r.host == "kvm02"]
    assert [str(d) for d in report.deviations] == [], "a machine's tap on management is isolated and without IPv6"
    taps = json.loads(access.run_on(plan, "kvm02", "ip", "-j", "link", "show", "master", bridge))
    assert [link["ifname"] for link in taps if link["ifname"].startswith("vnet")] == ["vnet0"]
    virsh(plan, "kvm02", "destroy", name)
    virsh(plan, "kvm02", "create", str(xml))  # left running: `down` must take it along


def _reports(plan: Plan) -> tuple[HostReport, ...]:
    return check.check(plan, views.plan_views(plan, {}))


def test_a_dead_libvirtd_is_said_so_and_started_again(plan: Plan) -> None:
    known = state_file.load(STACK)
    assert known is not None
    (daemon,) = [p for p in known.processes if p.name == "kvm03/libvirtd"]
    os.kill(daemon.pid, signal.SIGKILL)
    processes.end([daemon])  # waits until it is gone
    found = lab.status(STACK)
    assert not found.up
    assert [host.answers for host in found.hosts] == [True, True, False]
    assert lab.up(plan) == ("kvm03/libvirtd: started",)
    assert lab.status(STACK).up


def test_a_dead_host_is_repaired_without_losing_its_disks(plan: Plan) -> None:
    known = state_file.load(STACK)
    assert known is not None
    disk = places.store_folder(STACK) / "kvm03" / "lib" / "images" / "disk"
    disk.write_text("kept")
    doomed = [p for p in known.processes if p.name.startswith("kvm03/")]
    processes.end(doomed)
    process.run("ip", "netns", "del", f"kl.{STACK}.host.kvm03")
    changes = lab.up(plan)
    assert {"kvm03/virtlogd: started", "kvm03/libvirtd: started"} <= set(changes)
    apply.require_success(apply.apply(plan, views.plan_views(plan, {})))
    assert all(report.deviations == () for report in _reports(plan))
    assert access.run_on(plan, "kvm03", "cat", "/var/lib/libvirt/images/disk") == "kept"


def test_a_lost_bookkeeping_is_made_up_for(plan: Plan) -> None:
    known = state_file.load(STACK)
    assert known is not None
    old = {p.pid for p in known.processes}
    state_file.path(STACK).unlink()  # as if `up` had been killed before it wrote anything down
    lab.up(plan)
    assert lab.status(STACK).up
    running = set(processes.inside(places.existing(STACK)))
    again = state_file.load(STACK)
    assert again is not None
    assert {p.pid for p in again.processes} <= running
    assert not old & running, "an unknown daemon would hold the sockets"


def test_two_labs_live_side_by_side_and_one_goes_alone(plan: Plan) -> None:
    other = small_plan(f"{STACK}-b", members=("nishiki",), hosts=("kvm01",))
    try:
        lab.up(other)
        assert lab.status(other.stack).up
        assert access.libvirt_uri(other, "kvm01") != access.libvirt_uri(plan, "kvm01")
    finally:
        lab.down(other.stack)
    assert lab_traces(other.stack) == []
    assert lab.status(STACK).up


def test_down_twice_is_no_error_and_a_missing_daemon_program_names_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab.down(f"{STACK}-none")
    assert lab_traces(f"{STACK}-none") == []
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentLackError) as refused:
        lab.up(small_plan(f"{STACK}-none"))
    assert "apt-get install --no-install-recommends" in str(refused.value)
    assert "libvirt-daemon-driver-qemu" in str(refused.value)

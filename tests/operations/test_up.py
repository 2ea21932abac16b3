"""The parts of ``up`` around the engine, with hosts that only remember what was asked of them."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from infra.operations import engine_run, interrupted, up, virsh
from infra.operations.engine_run import Failure, Record
from infra.operations.run import Request
from infra.operations.virsh import Hypervisor, Thing
from infra.operations.workspace import Workspace
from infra.resources import names
from network import errors
from tests.resources import examples

PLAN = examples.demo_plan()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host(Hypervisor):
    """A host in memory."""

    things: set[Thing]
    up: set[str]
    deaf: bool = False
    """Whether its machines ignore the power button."""
    log: list[str]

    def marked(self) -> frozenset[Thing]:
        return frozenset(self.things)

    def running(self) -> frozenset[str]:
        return frozenset(self.up)

    def remove(self, thing: Thing) -> None:
        self.log.append(f"remove {thing.name}")
        self.things.discard(thing)

    def start(self, domain: str) -> None:
        self.log.append(f"start {domain}")
        self.up.add(domain)

    def shut_down(self, domain: str) -> None:
        self.log.append(f"shut down {domain}")
        if not self.deaf:
            self.up.discard(domain)


def hosts(*, deaf: bool = False) -> dict[str, Host]:
    made = {}
    for name in ("kvm01", "kvm02"):
        domains = {names.domain("demo", node.name) for node in PLAN.nodes_on(name)}
        things = {Thing(name, "domain", domain) for domain in domains}
        made[name] = Host(host=name, uri="", stack="demo", things=things, up=set(domains), deaf=deaf, log=[])
    return made


def site(tmp_path: pathlib.Path, machines: dict[str, Host], said: list[str]) -> up.Site:
    place = Workspace(stack="demo", site="dc1", pulumi=pathlib.Path("pulumi"), environment={}, root=tmp_path)
    request = Request(stack_file=tmp_path / "demo.yaml", as_of=examples.DAY)
    return up.Site(
        plan=PLAN, place=place, hosts=machines, request=request, options=up.Options(shutdown_s=0), progress=said.append
    )


def test_machines_are_shut_down_on_their_hosts_and_no_others() -> None:
    machines, said = hosts(), list[str]()
    up.shut_down("demo", ["juki-ap1", "juki-db1", "new-node"], machines, 0, said.append)
    assert machines["kvm01"].log == ["shut down kumiai.demo.juki-db1"]
    assert machines["kvm02"].log == ["shut down kumiai.demo.juki-ap1"]
    assert len(said) == 2


def test_a_machine_that_does_not_listen_is_named_and_left_to_the_power_switch() -> None:
    machines, said = hosts(deaf=True), list[str]()
    up.shut_down("demo", ["juki-ap1"], machines, 0, said.append)
    assert said[-1] == "did not shut down within 0 s, so their power goes: kumiai.demo.juki-ap1"


def test_stopped_machines_of_the_plan_are_started(tmp_path: pathlib.Path) -> None:
    machines, said = hosts(), list[str]()
    machines["kvm02"].up.discard("kumiai.demo.juki-ap1")
    machines["kvm02"].things.add(Thing("kvm02", "domain", "kumiai.demo.not-planned"))
    started = up.start_stopped(site(tmp_path, machines, said), virsh.probe_all(machines))
    assert started == ("juki-ap1",)
    assert machines["kvm02"].log == ["start kumiai.demo.juki-ap1"]
    assert machines["kvm01"].log == []


def failing(monkeypatch: pytest.MonkeyPatch, machines: dict[str, Host], message: str) -> Thing:
    """Make the engine fail after it has defined a machine; return that machine."""
    made = Thing("kvm01", "domain", "kumiai.demo.half-made")

    def run(place: Workspace, progress: object) -> Record:
        machines["kvm01"].things.add(made)
        return Record(failures=[Failure(urn="", message=message)])

    monkeypatch.setattr(engine_run, "up", run)
    monkeypatch.setattr(Workspace, "export", lambda self: _known(machines, made))
    return made


def _known(machines: dict[str, Host], *unknown: Thing) -> dict[str, object]:
    records = [
        {
            "urn": f"urn:pulumi:demo.dc1::kumiai::libvirt:index/domain:Domain::{thing.name}",
            "type": "libvirt:index/domain:Domain",
            "provider": f"urn:pulumi:demo.dc1::kumiai::pulumi:providers:libvirt::{thing.host}::id",
            "inputs": {"name": thing.name},
        }
        for host in machines.values()
        for thing in host.things
        if thing not in unknown
    ]
    return {"deployment": {"resources": records}}


def test_what_a_failed_run_left_is_removed_and_the_error_stands(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines, said = hosts(), list[str]()
    made = failing(monkeypatch, machines, "error creating libvirt domain: no bridge")
    where = site(tmp_path, machines, said)
    with pytest.raises(errors.OperationError, match="no bridge"):
        up._change(where, virsh.probe_all(machines), [])
    assert machines["kvm01"].log == [f"remove {made.name}"]
    assert interrupted.read_note(where.place) is None


def test_what_somebody_else_made_meanwhile_is_left_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines, said = hosts(), list[str]()
    failing(monkeypatch, machines, "storage pool 'kumiai.demo' already exists")
    where = site(tmp_path, machines, said)
    with pytest.raises(errors.OperationError, match="another kumiai, with another state, is at work"):
        up._change(where, virsh.probe_all(machines), [])
    assert machines["kvm01"].log == []
    assert interrupted.read_note(where.place) is None, "the next run must not take them for its own leftovers"


def test_the_note_stays_when_the_hosts_die_with_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines, said = hosts(), list[str]()
    failing(monkeypatch, machines, "connection reset")
    where = site(tmp_path, machines, said)
    present = virsh.probe_all(machines)

    def silent(*_: object) -> None:
        raise errors.EnvironmentLackError("host kvm01: libvirtd does not answer")

    monkeypatch.setattr(virsh, "probe_all", silent)
    with pytest.raises(errors.OperationError, match="connection reset") as raised:
        up._change(where, present, [])
    assert "host kvm01: libvirtd does not answer" in str(raised.value)
    assert interrupted.read_note(where.place) is not None

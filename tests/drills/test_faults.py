"""Faults: how they are made, and that they end."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import infra.plan
from infra import process
from infra.drills import faults, on_node
from infra.drills.faults import ORDERS, WORDS, Fault
from infra.drills.scene import Scene
from infra.hosts import access
from infra.operations.shell import Shell
from infra.operations.virsh import Hypervisor
from infra.plan.model import Plan
from network.errors import OperationError
from tests.network.render import demo


@pytest.fixture
def service(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say which processes a service has."""
    monkeypatch.setattr(on_node, "SERVICES", str(tmp_path))

    def has(*processes: subprocess.Popen[bytes]) -> None:
        (tmp_path / "x.service").mkdir(exist_ok=True)
        (tmp_path / "x.service/cgroup.procs").write_text("".join(f"{one.pid}\n" for one in processes))

    return has


@pytest.fixture
def sleepers() -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(["/usr/bin/sleep", "60"])) for _ in range(2)]
        end = time.monotonic() + 10
        while [on_node.name_of(one.pid) for one in started] != ["sleep", "sleep"]:
            assert time.monotonic() < end
            time.sleep(0.01)  # exec(2) closes its files, which Popen waits for, before it changes the name
        yield started[0], started[1]
        for one in started:
            one.send_signal(signal.SIGCONT)
            one.kill()


def state(one: subprocess.Popen[bytes], wanted: str) -> bool:
    """Say whether a process comes to a state of proc(5)."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if pathlib.Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0] == wanted:
            return True
        time.sleep(0.01)
    return False


ORDER = {"act": "freeze", "unit": "x.service", "program": "sleep"}
Sleepers = tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]


def test_a_frozen_service_stands_still_and_goes_on_afterwards(service: Callable[..., None], sleepers: Sleepers) -> None:
    service(sleepers[0])
    with on_node.frozen(ORDER) as (hit, again):
        assert hit == f"sleep {sleepers[0].pid}"
        assert state(sleepers[0], "T")
        service(*sleepers)  # a child that it has forked meanwhile
        again()
        assert state(sleepers[1], "T")
    assert state(sleepers[0], "S")
    assert state(sleepers[1], "S")


def test_processes_of_another_name_are_left_alone(service: Callable[..., None], sleepers: Sleepers) -> None:
    service(*sleepers)
    with on_node.frozen({**ORDER, "program": "postgres"}) as (hit, _):
        assert hit == ""
        assert state(sleepers[0], "S")


def test_the_first_process_of_a_service_is_killed(service: Callable[..., None]) -> None:
    with subprocess.Popen(["/bin/sh", "-c", "/bin/sh -c 'sleep 60; true'; true"]) as parent:
        children = pathlib.Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        service(parent)
        listing = pathlib.Path(on_node.SERVICES) / "x.service/cgroup.procs"
        listing.write_text(f"{found[0]}\n{parent.pid}\n")
        with on_node.killed({**ORDER, "program": "sh"}) as (hit, _):
            assert hit == f"sh {parent.pid}"
        assert parent.wait(10) == -signal.SIGKILL
        os.kill(int(found[0]), signal.SIGKILL)


@pytest.fixture
def volume(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    process.run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path))
    yield tmp_path
    process.run("umount", str(tmp_path))


def room(folder: pathlib.Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_full_volume_stays_full_and_is_empty_when_its_orderer_is_gone(volume: pathlib.Path) -> None:
    (volume / "data").write_bytes(b"x" * 1_000_000)
    orders = json.dumps({"act": "fill", "folder": str(volume)})
    with process.started(sys.executable, "-I", "-S", on_node.__file__, orders) as child:
        assert child.hear() == "ready"
        assert room(volume) > 6_000_000
        child.tell("now")
        assert child.hear() == "7 MiB"
        assert room(volume) == 0
        (volume / "data").unlink()  # what the database throws away
        end = time.monotonic() + 10
        while room(volume) and time.monotonic() < end:
            time.sleep(0.05)
        assert room(volume) == 0
        assert child.finish(10).ok
    assert list(volume.iterdir()) == []


def test_every_fault_has_words_and_a_way() -> None:
    assert set(WORDS) == set(Fault)
    others = {Fault.POWER, Fault.STANDBY, Fault.CUT, Fault.SWITCHOVER}
    assert set(ORDERS) == set(Fault) - others


class Local(Shell):
    """A machine that is this one, without the service."""

    def argv(self, node: str, *command: str) -> tuple[str, ...]:
        return (sys.executable, *command[1:])


class Ports(Hypervisor):
    """A libvirtd with one card a port."""

    plan: Plan

    def call(self, *arguments: str, timeout_s: float = 30) -> str:
        node = arguments[1].rpartition(".")[2]
        cards = demo_plan().network.node_by_name[node].interfaces
        return "".join(f" vnet{n}  bridge  x  virtio  {card.mac}\n" for n, card in enumerate(cards))


def demo_plan() -> Plan:
    return PLANS.setdefault("demo", infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan)


PLANS: dict[str, Plan] = {}


def scene(plan: Plan) -> Scene:
    return Scene(
        plan=plan,
        shell=Local(plan=plan, options={}),
        hosts={host.id: Ports(host=host.id, uri="", stack="demo") for host in plan.hosts},
        secrets={},
        stack_file=pathlib.Path("x.yaml"),
        progress=lambda text: None,
    )


def test_nothing_to_break_is_an_error() -> None:
    with (
        pytest.raises(OperationError, match="juki-db1: there is nothing to break: PostgreSQL killed"),
        faults.ready(scene(demo_plan()), Fault.CRASH, ["juki-db1"]) as strike,
    ):
        strike()


def test_a_cut_takes_all_cards_but_the_management_one_and_gives_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, told = demo_plan(), list[tuple[str, str]]()

    def run_on(plan: Plan, host: str, *argv: str, stdin: str) -> str:
        told.append((host, stdin))
        if "state 0" in stdin:
            raise OperationError("bridge: no such port")
        return ""

    monkeypatch.setattr(access, "run_on", run_on)
    node = plan.network.node_by_name["dc1-gw1a"]
    kept = [
        n for n, card in enumerate(node.interfaces) if plan.network.segment_by_name[card.segment].kind == "management"
    ]
    assert len(kept) == 1
    with (
        pytest.raises(OperationError, match="no such port"),
        faults.ready(scene(plan), Fault.CUT, ["dc1-gw1a"]) as strike,
    ):
        strike()
    ports = [f"vnet{n}" for n in range(len(node.interfaces)) if n not in kept]
    host = plan.node_by_name["dc1-gw1a"].host
    assert told == [(host, "".join(f"link set dev {port} state {state}\n" for port in ports)) for state in ("0", "3")]


def test_power_comes_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(Scene, "kill", lambda self, node: done.append(("kill", node)))
    monkeypatch.setattr(Scene, "start", lambda self, node: done.append(("start", node)))
    with (
        contextlib.suppress(OperationError),
        faults.ready(scene(demo_plan()), Fault.POWER, ["a", "b"]) as strike,
    ):
        strike()
        raise OperationError("nobody takes over")
    assert done == [("kill", "a"), ("kill", "b"), ("start", "b"), ("start", "a")]

"""The drills of a replicated database against etcd, Patroni, PostgreSQL and HAProxy as they run, in namespaces.

The client is a writer behind a load balancer, without the application and the gateways before it.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import threading
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from infra import process
from infra.drills import database, watching
from infra.drills import faults as process_faults
from infra.drills.faults import Fault
from infra.drills.model import Seen, Write
from infra.drills.scene import Scene
from infra.hosts import access
from infra.operations import shell as shells
from infra.plan.model import Plan
from infra.status import look
from infra.status.model import Status
from tests.database.place import Machine, Place, missing, place, planned, until
from tests.database.test_replicated import BUSY_S, roles

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(missing(), reason="needs root, etcd, patroni, PostgreSQL, HAProxy, nft"),
]

DISK_MIB = 600
SERVICES = """
mount -t tmpfs tmpfs /sys/fs/cgroup
for unit in kumiai-database kumiai-etcd; do
    mkdir -p /sys/fs/cgroup/system.slice/$unit.service
    cp "$1" /sys/fs/cgroup/system.slice/$unit.service/cgroup.procs
done
shift
exec "$@"
"""
"""What systemd tells of a service's processes: here those of the whole machine."""


@pytest.fixture(scope="module")
def running() -> Iterator[Place]:
    """A database whose servers have small disks of their own."""
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(place())
        for machine in found.databases:
            volume = machine.folder / "srv"
            process.run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(volume))
            stack.callback(process.run, "umount", "--lazy", str(volume))
            (volume / "postgresql").mkdir(mode=0o700)
            shutil.chown(volume / "postgresql", "postgres", "postgres")
        stack.callback(lambda: list(map(Machine.kill, found.machines.values())))
        found.begin()
        for machine in found.databases:
            assert roles(machine) == ""
        yield found


class Shell(shells.Shell):
    """A way to the machines of the running place."""

    def argv(self, node: str, *command: str) -> tuple[str, ...]:
        machine = PLACE[-1].machines[node]
        (machine.folder / "run/pids").write_text("".join(f"{pid}\n" for pid in machine.pids()))
        return tuple(machine.argv("sh", "-euc", SERVICES, "sh", "/run/pids", *command))

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> process.Completed:
        return PLACE[-1].machines[node].sh(*command, stdin=stdin, timeout_s=timeout_s)


class Playground(Scene):
    """A scene whose machines are those of the running place."""

    def authority(self, post: watching.Post) -> str:
        return ""

    def await_whole(self, nodes: Collection[str], when: str) -> Status:
        """Wait for the database alone: here there are no services of systemd, no application and no address of it."""
        asked = look.questions(self.plan, nodes)

        def whole() -> Status | None:
            found = look.look(self.plan, self.shell, asked)
            return None if any(cluster.faults for cluster in found.clusters) else found

        return until(whole, when, look.WHOLE_S)

    def await_commands(self, node: str) -> None:
        """Do what a machine does that was reset by its watchdog: start again."""
        machine = PLACE[-1].machines[node]
        if "etcd" not in machine.processes:
            machine.boot()

    def kill(self, node: str) -> None:
        PLACE[-1].machines[node].lose()

    def start(self, node: str) -> None:
        PLACE[-1].machines[node].boot()


class Host:
    """The libvirtd of a host with one machine a port."""

    def call(self, *arguments: str) -> str:
        node = arguments[1].rpartition(".")[2]
        machine = PLACE[-1].machines[node]
        return f" {machine.port}   bridge   segment   virtio   {machine.card.mac}\n"


@contextlib.contextmanager
def watch(plan: Plan, post: watching.Post, authority: str) -> Iterator[Any]:
    """Yield a writer in the place of the client on an office's terminal."""
    running = PLACE[-1]
    writer = running.writer()
    writer.goes_on()

    class Watch:
        def end(self) -> Seen:
            writer.goes_on()
            acknowledged = writer.end()
            writes = tuple(
                Write(number=number, begun=at, ended=at, acknowledged=True, why="")
                for number, at in sorted(writer._acknowledged.items())
            )
            assert acknowledged == {write.number for write in writes}
            return Seen(knocks=(), writes=writes, talks=(), kept=frozenset(running.numbers()))

    try:
        yield Watch()
    finally:
        writer.end()


def on_host(plan: Plan, host: str, *argv: str, stdin: str | None = None) -> str:
    """Run a command where all ports are."""
    switch = next(iter(PLACE[-1].machines.values())).switch
    return process.run("ip", "netns", "exec", switch, *argv, stdin=stdin)


@contextlib.contextmanager
def kept_running(running: Place) -> Iterator[None]:
    """Start voters again that have ended, as their unit does."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(2):
            for name in running.cluster.voters:
                machine = running.machines[name]
                voter = machine.processes.get("etcd")
                if voter is not None and voter.poll() is not None and machine.voter("join").ok:
                    machine.start_voter()

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def scene(running: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    PLACE.append(running)
    plan = planned()[0]
    monkeypatch.setattr(watching, "watch", watch)
    monkeypatch.setattr(access, "run_on", on_host)
    monkeypatch.setattr(access, "accelerator", lambda plan, host: "tcg")
    monkeypatch.setattr(process_faults, "READY_S", 3.0)
    with kept_running(running):
        yield Playground(
            plan=plan,
            shell=Shell(plan=plan, options={}),
            hosts={host.id: Host() for host in plan.hosts},  # type: ignore[misc]
            secrets={},
            stack_file=pathlib.Path("f.yaml"),
            progress=print,
        )


PLACE: list[Place] = []


OLD = "the role refuses Patroni before 3.0.3 for what would happen here; put a newer one into PATH"


def version() -> tuple[int, ...]:
    """Return the version of Patroni."""
    done = process.probe("patroni", "--version")
    return tuple(int(part) for part in done.stdout.split()[-1].split(".")) if done.ok else ()


def marks(fault: Fault) -> list[pytest.MarkDecorator]:
    """Return what is left out here."""
    if fault is Fault.CUT and version() < (3, 0, 3):
        return [pytest.mark.skip(reason=OLD)]
    return []


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=marks(fault)) for fault in database.FAULTS])
def test_nothing_is_lost_and_no_two_servers_write(scene: Scene, fault: Fault) -> None:
    result = database.drill(scene, None, fault, twice=False)
    print(result)
    assert [finding for finding in result.findings if "longer than the computed" not in finding] == []
    assert (result.writes_lost, result.split_brain) == (0, 0)
    assert result.samples > 50
    if result.computed_s is not None:
        assert result.down_s <= result.computed_s + BUSY_S


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=marks(fault)) for fault in (Fault.POWER, Fault.CRASH, Fault.CUT)]
)
def test_both_servers_break_for_longer_than_a_lock_lives_and_the_data_is_safe(scene: Scene, fault: Fault) -> None:
    result = database.drill(scene, None, fault, twice=True)
    print(result)
    assert (result.writes_lost, result.split_brain, result.findings) == (0, 0, ())
    assert result.computed_s is None

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from infra.operations import interrupted, workspace
from infra.operations.virsh import Thing
from infra.operations.workspace import Workspace
from network import errors


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Workspace:
    environment = {
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        workspace.RUN_MARK: workspace.run_mark(tmp_path, "demo", "dc1", os.getpid()),
    }
    return Workspace(stack="demo", site="dc1", pulumi=pathlib.Path("pulumi"), environment=environment, root=tmp_path)


def lock(place: Workspace, pid: int, host: str | None = None, stack: str = "demo.dc1") -> pathlib.Path:
    folder = place.root / "state" / ".pulumi" / "locks" / "organization" / "kumiai" / stack
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}.json"
    content = {"pid": pid, "username": "root", "hostname": host or socket.gethostname(), "timestamp": "2026-04-01"}
    path.write_text(json.dumps(content))
    path.with_name(f"{path.name}.attrs").write_text("{}")
    return path


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_lock_of_a_dead_process_is_cleared(place: Workspace) -> None:
    path = lock(place, dead_pid())
    (cleared,) = interrupted.clear_stale_locks(place)
    assert cleared.path == path
    assert list(path.parent.iterdir()) == []


def test_the_lock_of_a_living_process_stands(place: Workspace) -> None:
    path = lock(place, os.getpid())
    with pytest.raises(errors.OperationError, match=f"process {os.getpid()} on .* holds the state"):
        interrupted.clear_stale_locks(place, limit_s=0)
    assert path.exists()


def test_the_lock_of_a_process_that_is_being_killed_is_waited_for(place: Workspace) -> None:
    """The zombie is the killed process whose parent has not asked for it yet."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"]) as child:
        lock(place, child.pid)
        assert len(interrupted.clear_stale_locks(place)) == 1
        assert pathlib.Path("/proc", str(child.pid)).exists(), "nobody has waited for it"


def test_the_lock_of_another_machine_stands_even_if_nothing_here_has_its_number(place: Workspace) -> None:
    path = lock(place, dead_pid(), host="elsewhere")
    with pytest.raises(errors.OperationError, match=f"if that machine is dead, remove {path}"):
        interrupted.clear_stale_locks(place)
    assert path.exists()


def test_the_lock_of_another_stack_is_not_looked_at(place: Workspace) -> None:
    path = lock(place, dead_pid(), stack="demo2.dc1")
    assert interrupted.clear_stale_locks(place) == ()
    assert path.exists()


def test_a_half_written_lock_is_cleared(place: Workspace) -> None:
    path = lock(place, 1)
    path.write_text('{"pid": ')
    assert len(interrupted.clear_stale_locks(place)) == 1
    assert not path.exists()


def test_a_back_end_elsewhere_has_no_local_locks(place: Workspace) -> None:
    lock(place, dead_pid())
    remote = Workspace(
        stack="demo",
        site="dc1",
        pulumi=place.pulumi,
        environment={**place.environment, "PULUMI_BACKEND_URL": "s3://bucket"},
        root=place.root,
    )
    assert interrupted.locks(remote) == ()
    assert interrupted.mend(remote) == ()


def test_half_written_companions_of_the_state_are_removed_and_the_state_is_not(place: Workspace) -> None:
    folder = place.root / "state" / ".pulumi" / "stacks" / "kumiai"
    folder.mkdir(parents=True)
    state, attrs, other = folder / "demo.dc1.json", folder / "demo.dc1.json.attrs", folder / "x.dc1.json.attrs"
    draft, foreign_draft = folder / "demo.dc1.json.18ea.tmp", folder / "x.dc1.json.18eb.tmp"
    state.write_text('{"version": 3}')
    attrs.write_bytes(b"")
    other.write_text('{"user.content_type": ""}')
    draft.write_text("half")
    foreign_draft.write_text("half")
    assert set(interrupted.mend(place)) == {attrs, draft}
    assert sorted(p.name for p in folder.iterdir()) == sorted([state.name, other.name, foreign_draft.name])


def marked_process(place: Workspace, starter: int, name: str) -> subprocess.Popen[bytes]:
    """A program ``name`` of another run of the same stack, begun by process ``starter``; here when this returns."""
    environment = {**os.environ, workspace.RUN_MARK: workspace.run_mark(place.root, place.stack, place.site, starter)}
    program = place.root / name
    if not program.exists():
        program.symlink_to("/bin/cat")  # ends when its stdin does, at the latest with this test
    child = subprocess.Popen([str(program)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"x")
    child.stdin.flush()
    assert child.stdout.read(1) == b"x"
    return child


def end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_the_engine_of_a_dead_run_is_waited_for(place: Workspace) -> None:
    said: list[str] = []
    child = marked_process(place, dead_pid(), "pulumi")

    def progress(text: str) -> None:
        said.append(text)
        end(child)

    interrupted.await_programs(place, progress, limit_s=60)
    assert said == ["an interrupted run is still finishing its last steps; waiting for it"]
    assert child.returncode == -signal.SIGKILL, "it was there, and waited for"


def test_waiting_for_an_engine_has_a_limit(place: Workspace) -> None:
    child = marked_process(place, dead_pid(), "pulumi")
    try:
        with pytest.raises(errors.OperationError, match=f"do not end: processes {child.pid}"):
            interrupted.await_programs(place, lambda _: None, limit_s=0.2)
        assert child.poll() is None, "an engine is never ended"
    finally:
        end(child)


def test_plugins_without_their_engine_are_ended(place: Workspace) -> None:
    child = marked_process(place, dead_pid(), "pulumi-resource-libvirt")
    waiter = threading.Thread(target=child.wait)  # its parent is this test, so somebody has to take its end
    waiter.start()
    interrupted.await_programs(place, lambda _: None, limit_s=60)
    waiter.join(60)
    assert child.returncode == -signal.SIGTERM
    child.communicate()


def test_plugins_beside_their_engine_are_left_alone(place: Workspace) -> None:
    starter = dead_pid()
    engine, plugin = marked_process(place, starter, "pulumi"), marked_process(place, starter, "pulumi-resource-libvirt")
    try:
        with pytest.raises(errors.OperationError, match="do not end"):
            interrupted.await_programs(place, lambda _: None, limit_s=0.2)
        assert plugin.poll() is None
    finally:
        end(engine)
        end(plugin)


def test_a_run_whose_kumiai_lives_is_refused_at_once(place: Workspace) -> None:
    child = marked_process(place, 1, "pulumi")  # process 1 always lives
    try:
        with pytest.raises(errors.OperationError, match=r"another kumiai is changing this stack \(process 1\)"):
            interrupted.await_programs(place, lambda _: None)
    finally:
        end(child)


def test_programs_of_another_stack_do_not_matter(place: Workspace) -> None:
    other = Workspace(stack="demo2", site="dc1", pulumi=place.pulumi, environment=place.environment, root=place.root)
    child = marked_process(other, dead_pid(), "pulumi")
    try:
        interrupted.await_programs(place, lambda _: None, limit_s=0.2)
        assert child.poll() is None
    finally:
        end(child)


def test_the_note_of_a_run_is_read_as_it_was_written(place: Workspace) -> None:
    assert interrupted.read_note(place) is None
    things = frozenset({Thing("h1", "domain", "kumiai.demo.a1"), Thing("h2", "pool", "kumiai.demo")})
    interrupted.write_note(place, things)
    assert interrupted.read_note(place) == things
    interrupted.remove_note(place)
    assert interrupted.read_note(place) is None

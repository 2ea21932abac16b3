"""Traces of an earlier run that did not end: its state lock, its programs, and the note it left of what existed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import time
from collections.abc import Callable, Iterable

from infra.operations import engine_run, workspace
from infra.operations.virsh import Thing
from infra.operations.workspace import Workspace
from network import errors

ENDING_S = 600.0
"""How long programs of an interrupted run may take to end; the engine may still be at work and is waited for."""
DYING_S = 10.0
"""How long a killed process may take to vanish."""
POLL_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock of the local state back end."""

    path: pathlib.Path
    pid: int
    host: str

    @property
    def here(self) -> bool:
        """Whether it was taken on this machine."""
        return self.host == socket.gethostname()

    @property
    def holder_lives(self) -> bool:
        """Whether its process runs; that of another machine is believed to."""
        return not self.here or _runs(self.pid)


def locks(place: Workspace) -> tuple[Lock, ...]:
    """Return the locks on the stack: files ``.pulumi/locks/organization/PROJECT/STACK/UUID.json``."""
    folder = place.state_folder()
    if folder is None:
        return ()
    found = []
    for path in sorted((folder / ".pulumi" / "locks").glob(f"**/{place.name}/*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(Lock(path=path, pid=int(content["pid"]), host=str(content["hostname"])))
        except (OSError, ValueError, KeyError):
            # Half written by a process that was killed; one that lives finishes in no time.
            found.append(Lock(path=path, pid=-1, host=socket.gethostname()))
    return tuple(found)


def clear_stale_locks(place: Workspace, limit_s: float = DYING_S) -> tuple[Lock, ...]:
    """Remove locks whose process on this machine is dead; an error names the holder of any other.

    A process that was killed a moment ago is still there while the kernel takes it down, so it is waited for.
    """
    deadline = time.monotonic() + limit_s
    while any(lock.here and lock.holder_lives for lock in locks(place)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    cleared = []
    for lock in locks(place):
        if lock.holder_lives:
            raise errors.OperationError(
                f"{place.name}: process {lock.pid} on {lock.host} holds the state; wait until it ends"
                + ("" if lock.here else f", or, if that machine is dead, remove {lock.path}")
            )
        lock.path.unlink(missing_ok=True)
        lock.path.with_name(lock.path.name + ".attrs").unlink(missing_ok=True)
        cleared.append(lock)
    return tuple(cleared)


def mend(place: Workspace) -> tuple[pathlib.Path, ...]:
    """Repair a local state back end whose engine was killed while it wrote; return the files that were removed.

    The state itself is written beside and then renamed, but its companion file (``….json.attrs``, a few headers that
    nobody needs) is not: half written, it makes the engine refuse the state with the one word "EOF". Call it only when
    no engine is at work.
    """
    folder = place.state_folder()
    removed = []
    for path in sorted((folder / ".pulumi").glob("**/*")) if folder is not None else ():
        half = path.suffix == ".attrs" and not _is_json(path)
        if half or (path.suffix == ".tmp" and place.name in path.name):
            path.unlink(missing_ok=True)
            removed.append(path)
    return tuple(removed)


def _is_json(path: pathlib.Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def clean_up(place: Workspace, progress: Callable[[str], None]) -> None:
    """Wait for, or clear away, what an interrupted run left of itself on this machine, before the engine is asked."""
    await_programs(place, progress)
    for lock in clear_stale_locks(place):
        progress(f"cleared the lock of process {lock.pid}, which is dead")
    if mend(place):
        progress("repaired the state: an interrupted run had left half-written files")


def await_programs(place: Workspace, progress: Callable[[str], None], limit_s: float = ENDING_S) -> None:
    """Wait until no program of an earlier run is at work; one whose Kumiai still lives is not ours to wait for.

    A killed ``kumiai up`` can leave its engine behind, which goes on and writes down what it does: waiting for it is
    better than ending it. Without their engine, plugins wait for ever for the next order, so they are ended.
    """
    deadline = time.monotonic() + limit_s
    told = False
    while running := _others(place):
        parent = next((pid for pid in running.values() if pid is not None and _runs(pid)), None)
        if parent is not None:
            raise errors.OperationError(f"{place.name}: another kumiai is changing this stack (process {parent})")
        if not any(engine_run.is_engine(pid) for pid in running):
            _end(running, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        elif time.monotonic() > deadline:
            pids = ", ".join(map(str, sorted(running)))
            raise errors.OperationError(f"{place.name}: programs of an interrupted run do not end: processes {pids}")
        elif not told:
            progress("an interrupted run is still finishing its last steps; waiting for it")
            told = True
        time.sleep(POLL_S)  # nothing announces the end of somebody else's child


def _end(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _others(place: Workspace) -> dict[int, int | None]:
    """Return the processes of other runs on this stack, each with the process that began its run."""
    prefix = workspace.run_mark(place.root, place.stack, place.site, 0).removesuffix("0")
    own = place.environment[workspace.RUN_MARK]
    found: dict[int, int | None] = {}
    for pid, mark in engine_run.marks(prefix):
        if mark != own:
            starter = mark.rsplit(":", 1)[-1]
            found[pid] = int(starter) if starter.isdigit() else None
    return found


def _runs(pid: int) -> bool:
    """Say whether a process runs: a zombie, which nobody has asked for its end yet, does not."""
    try:
        status = pathlib.Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def note_path(place: Workspace) -> pathlib.Path:
    """Return where a run notes what existed before it began."""
    return place.private / "runs" / f"{place.name}.json"


def write_note(place: Workspace, present: Iterable[Thing]) -> None:
    """Note what exists, before the first change: what a killed run made can then be told from what was there."""
    path = note_path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"pid": os.getpid(), "before": [dataclasses.astuple(t) for t in sorted(present)]}))
    draft.replace(path)


def read_note(place: Workspace) -> frozenset[Thing] | None:
    """Return what existed when the interrupted run began, or None when the last run ended by itself."""
    try:
        document = json.loads(note_path(place).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return frozenset(Thing(*entry) for entry in document["before"])


def remove_note(place: Workspace) -> None:
    """The run has ended, well or not, and nothing that it made is unknown."""
    note_path(place).unlink(missing_ok=True)

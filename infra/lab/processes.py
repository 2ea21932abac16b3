"""Processes of the lab: telling ours from a stranger with a reused number, and ending them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import select
import signal
import time
from collections.abc import Callable, Collection, Iterable

from infra.lab import places
from network.errors import OperationError

TERM_S = 10.0
"""How long a process may take to end by itself before it is killed."""
KILL_S = 10.0
PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A daemon that the lab started."""

    name: str
    """What it is, such as ``kvm01/libvirtd``."""
    pid: int
    started: int
    """Clock ticks after boot (field 22 of proc_pid_stat(5)): a reused number has another one."""


def started(pid: int) -> int | None:
    """Return when the process started, in clock ticks after boot; None when it is gone or a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(") ")[2].split()  # the name before it may contain anything
    return None if state in "ZX" else int(fields[18])


def alive(process: Process) -> bool:
    """Return whether it still runs."""
    return started(process.pid) == process.started


def inside(namespaces: Iterable[str]) -> tuple[int, ...]:
    """Return the processes inside the named network namespaces. These are the lab's own: whoever is in them is ours."""
    wanted = _identities(namespaces)
    return tuple(pid for pid in map(int, filter(str.isdigit, os.listdir(PROC))) if _is_inside(pid, wanted))


def is_inside(pid: int, namespace: str) -> bool:
    """Return whether the process runs inside the named network namespace."""
    return _is_inside(pid, _identities([namespace]))


def end_recorded(pid_file: pathlib.Path, namespace: str) -> None:
    """End a daemon that an interrupted run started in ``namespace`` without having noted it."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return
    began = started(pid)
    if began is not None and is_inside(pid, namespace):
        end([Process(name=pid_file.stem, pid=pid, started=began)])


def end_inside(namespaces: Collection[str]) -> int:
    """End every process inside the named network namespaces and return how many there were."""
    count = 0
    wanted = _identities(namespaces)
    for _ in range(5):  # a process that is being ended may just have started another one
        pids = inside(namespaces)
        if not pids:
            return count
        count += len(pids)
        _end(pids, lambda pid: _is_inside(pid, wanted))
    raise OperationError(f"processes in {', '.join(sorted(namespaces))} keep starting new ones: {inside(namespaces)}")


def end(processes: Iterable[Process]) -> None:
    """End the daemons that still run."""
    known = {process.pid: process for process in processes}
    _end(known, lambda pid: alive(known[pid]))


def _identities(namespaces: Iterable[str]) -> set[tuple[int, int]]:
    found = set()
    for name in namespaces:
        with contextlib.suppress(FileNotFoundError):
            found.add(_identity(places.NETNS / name))
    return found


def _is_inside(pid: int, wanted: set[tuple[int, int]]) -> bool:
    try:
        return _identity(PROC / str(pid) / "ns" / "net") in wanted and started(pid) is not None
    except OSError:  # ended in between
        return False


def _end(pids: Iterable[int], ours: Callable[[int], bool]) -> None:
    """Ask, wait, then kill. A process descriptor is opened first and the process looked at again after that, so that
    the signal cannot reach a stranger that got the number in between.
    """
    descriptors: dict[int, int] = {}
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptors[pid] = os.pidfd_open(pid)
                if not ours(pid):
                    os.close(descriptors.pop(pid))
        for signal_, seconds in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            for descriptor in descriptors.values():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal_)
            _wait(descriptors, seconds)
        if descriptors:
            raise OperationError(f"processes that do not end, even when killed: {', '.join(map(str, descriptors))}")
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _wait(descriptors: dict[int, int], seconds: float) -> None:
    """Wait until the processes have ended, at most ``seconds``; the ended ones leave ``descriptors``."""
    deadline = time.monotonic() + seconds
    while descriptors:
        poll = select.poll()
        for descriptor in descriptors.values():
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        if not ready:
            return
        for pid in [pid for pid, descriptor in descriptors.items() if descriptor in ready]:
            os.close(descriptors.pop(pid))


def _identity(path: pathlib.Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino

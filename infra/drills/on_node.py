"""Breaks something on a machine, and repairs it when its stdin ends: ``on_node.py ORDERS``, as root, with Python alone.

So it is repaired even when whoever ordered it is killed. ORDERS is a JSON object:

- ``{"act": "freeze", "unit": …, "program": …}``: SIGSTOP to all processes of a service whose name begins so; SIGCONT at
  the end
- ``{"act": "kill", "unit": …, "program": …}``: SIGKILL to the first of these processes, the parent of the others
- ``{"act": "fill", "folder": …}``: a file that takes everything which its file system gives to ordinary accounts

It prints ``ready``, waits for a line on stdin, acts, and prints what it hit: an empty line when there was nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

SERVICES = "/sys/fs/cgroup/system.slice"
FILE = "kumiai-drill.fill"
LOOK_S = 0.1
BLOCK = 4096


def main() -> None:
    """Wait for the word, act, and repair in the end."""
    orders: dict[str, Any] = json.loads(sys.argv[1])
    act = {"freeze": frozen, "kill": killed, "fill": filled}[orders["act"]]
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    with act(orders) as (hit, again):
        print(hit, flush=True)
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            again()


Acting = Iterator[tuple[str, Callable[[], object]]]
"""What was hit, and what is to be done again and again until the end."""


@contextlib.contextmanager
def frozen(orders: dict[str, Any]) -> Acting:
    """Let the processes stand still; what they have forked meanwhile too."""
    stopped: dict[int, str] = {}

    def stop() -> None:
        while fresh := {pid: name for pid, name in processes(orders).items() if pid not in stopped}:
            stopped.update(fresh)
            signalled(fresh, signal.SIGSTOP)

    try:
        stop()
        yield listed(stopped), stop
    finally:
        signalled({pid: name for pid, name in stopped.items() if name_of(pid) == name}, signal.SIGCONT)


@contextlib.contextmanager
def killed(orders: dict[str, Any]) -> Acting:
    """Kill the parent of the processes; what starts it again is the service's own business."""
    found = processes(orders)
    first = {pid: name for pid, name in found.items() if parent_of(pid) not in found}
    signalled(first, signal.SIGKILL)
    yield listed(first), lambda: None


@contextlib.contextmanager
def filled(orders: dict[str, Any]) -> Acting:
    """Leave no room, and take what becomes free meanwhile; the file goes in the end."""
    path = pathlib.Path(orders["folder"]) / FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        take(descriptor)
        yield f"{os.fstat(descriptor).st_size >> 20} MiB", lambda: take(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()


def take(descriptor: int) -> None:
    """Take all room that is left; what lets itself not be taken at once is taken in smaller pieces."""
    room = os.fstatvfs(descriptor)
    wanted = room.f_bavail * room.f_frsize
    while wanted >= BLOCK:
        try:
            os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, wanted)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        room = os.fstatvfs(descriptor)
        wanted = min(wanted // 2, room.f_bavail * room.f_frsize)


def processes(orders: dict[str, Any]) -> dict[int, str]:
    """Return the processes of the service, by number, whose names begin as ordered."""
    listing = pathlib.Path(SERVICES) / orders["unit"] / "cgroup.procs"
    found = {int(pid): name_of(int(pid)) for pid in listing.read_text(encoding="ascii").split()}
    return {pid: name for pid, name in found.items() if name.startswith(orders["program"])}


def name_of(pid: int) -> str:
    """Return the name of a process; empty when it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """Return the number of a process's parent; 0 when it has ended."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def signalled(found: dict[int, str], number: signal.Signals) -> None:
    """Send a signal to each, the first ones first."""
    for pid in sorted(found):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def listed(found: dict[int, str]) -> str:
    """Return names and numbers in one line."""
    return ", ".join(f"{name} {pid}" for pid, name in sorted(found.items()))


if __name__ == "__main__":
    main()

"""Clears a folder when a process ends, by whatever means: ``memory_guard.py FOLDER PID``. Run by `infra.memory`.

A program of its own, with nothing but the standard library: a copy of a process that has threads may hang.
"""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import sys


def clear(folder: pathlib.Path) -> None:
    """End every process whose environment names ``folder``, then remove it.

    Each of Ansible's workers leads a session of its own. When a run is cut short, they wait for an answer that never
    comes, and no signal to a process group reaches them; they are known by the folder in their environment.
    """
    mark = f"={folder}".encode()
    for environment in pathlib.Path("/proc").glob("[0-9]*/environ"):
        pid = int(environment.parent.name)
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if pid != os.getpid() and any(mark in entry for entry in environment.read_bytes().split(b"\0")):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Wait for the end of the process, then clear."""
    folder, pid = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        select.select([os.pidfd_open(pid)], [], [])
    clear(folder)


if __name__ == "__main__":
    main()

"""Folders for secrets: in memory (tmpfs), closed to other users, and gone when their program ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator

from infra import memory_guard, process
from network.errors import EnvironmentLackError

PLACES = (pathlib.Path("/dev/shm"), pathlib.Path("/run"))  # noqa: S108 - tmpfs, and mkdtemp makes the folder 0700


def folder_of(owner: int, purpose: str) -> pathlib.Path:
    """Return a new empty folder that only this user may enter; it goes when process ``owner`` ends, even by SIGKILL."""
    made, _ = _guarded(owner, purpose)
    return made


@contextlib.contextmanager
def private_folder(purpose: str) -> Iterator[pathlib.Path]:
    """Yield a folder that goes with the ``with``, and with everything that still uses it."""
    made, guard = _guarded(os.getpid(), purpose)
    try:
        yield made
    finally:
        memory_guard.clear(made)
        os.kill(guard, signal.SIGKILL)
        os.waitpid(guard, 0)


def _guarded(owner: int, purpose: str) -> tuple[pathlib.Path, int]:
    for place in PLACES:
        if place.is_dir() and os.access(place, os.W_OK):
            made = pathlib.Path(tempfile.mkdtemp(prefix=f"kumiai-{purpose}-", dir=place))
            return made, process.leave_behind(sys.executable, "-I", "-S", memory_guard.__file__, str(made), str(owner))
    raise EnvironmentLackError("neither /dev/shm nor /run can be written; secrets need a place in memory")

"""Folders for secrets: private while they are used, and gone afterwards, whatever ends the program."""

from __future__ import annotations

import os
import pathlib
import select
import signal
import stat
import subprocess
import sys
import time

import pytest

from infra import memory
from network.errors import EnvironmentLackError

ROOT = pathlib.Path(__file__).parents[1]
OWNER = """
import os, subprocess, sys
from infra import memory
with memory.private_folder("test") as folder:
    (folder / "key").touch()
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    user = subprocess.Popen(argv, env={"INVENTORY": str(folder / "inventory.json")}, start_new_session=True)
    other = subprocess.Popen(argv, env={"INVENTORY": str(folder)[:-1]}, start_new_session=True)
    print(folder, user.pid, other.pid, flush=True)
    sys.stdin.read()
"""
"""A program that uses a folder, with two workers: one that knows the folder by its environment, and a stranger."""


def wait_for_end(pidfd: int) -> bool:
    ended, _, _ = select.select([pidfd], [], [], 20)
    return bool(ended)


@pytest.mark.parametrize("end", ["by itself", "by SIGKILL"])
def test_folder_and_users_end_with_the_program(end: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as owner:
        assert owner.stdout is not None
        name, user, other = owner.stdout.readline().split()
        folder = pathlib.Path(name)
        worker, stranger = os.pidfd_open(int(user)), os.pidfd_open(int(other))
        guard = os.pidfd_open(guard_of(folder))
        assert (folder / "key").exists()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        if end == "by SIGKILL":
            owner.kill()
        elif owner.stdin is not None:
            owner.stdin.close()
        assert wait_for_end(guard)
        assert wait_for_end(worker)
        assert not folder.exists()
        assert not select.select([stranger], [], [], 0)[0], "a process of somebody else was ended too"
        signal.pidfd_send_signal(stranger, signal.SIGKILL)
    for descriptor in (worker, stranger, guard):
        os.close(descriptor)


def guard_of(folder: pathlib.Path) -> int:
    """Return the process that watches over ``folder``; on a busy machine it takes a while to become one."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if str(folder).encode() in words and any(word.endswith(b"memory_guard.py") for word in words):
                return int(path.parent.name)
        time.sleep(0.01)  # the kernel tells nobody that a process has become another program
    raise AssertionError(f"nobody watches over {folder}")


def test_a_folder_may_belong_to_another_program() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as owner:
        folder = memory.folder_of(owner.pid, "test")
        guard = os.pidfd_open(guard_of(folder))
        assert folder.is_dir()
        owner.kill()
        assert wait_for_end(guard)
        os.close(guard)
    assert not folder.exists()


def test_without_memory_there_is_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(memory, "PLACES", (tmp_path / "none",))
    with pytest.raises(EnvironmentLackError, match="secrets need a place in memory"):
        memory.folder_of(os.getpid(), "test")

"""The lab's state file, its lock, its processes, and the probe of KVM."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from infra.lab import kvm, places, processes
from infra.lab import state as state_file
from infra.lab.processes import Process
from infra.lab.state import State
from network.errors import OperationError

STATE = State(
    stack="demo",
    accelerator="tcg",
    processes=(Process(name="kvm01/libvirtd", pid=1, started=2),),
    made=("/run/libvirt",),
)


@pytest.fixture(autouse=True)
def run_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(places, "RUN", tmp_path)
    (tmp_path / "demo").mkdir()
    return tmp_path / "demo"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], **PIPES) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


def test_the_state_comes_back_as_it_was_written(run_folder: pathlib.Path) -> None:
    assert state_file.load("demo") is None
    state_file.save(STATE)
    assert state_file.load("demo") == STATE
    assert [path.name for path in run_folder.iterdir()] == ["state.json"]


def test_a_daemon_takes_the_place_of_its_predecessor() -> None:
    newer = Process(name="kvm01/libvirtd", pid=7, started=8)
    other = Process(name="kvm01/virtlogd", pid=9, started=10)
    assert STATE.with_process(newer).with_process(other).processes == (newer, other)


@pytest.mark.parametrize("text", ["{", '{"format": 99}'])
def test_a_state_that_cannot_be_read_says_what_to_do(run_folder: pathlib.Path, text: str) -> None:
    (run_folder / "state.json").write_text(text)
    with pytest.raises(OperationError, match=r"state.json: .*run `kumiai lab down demo`"):
        state_file.load("demo")


def test_a_second_run_at_the_same_time_is_refused() -> None:
    with state_file.locked("demo"), state_file.locked("other"):
        second = state_file.locked("demo")
        with pytest.raises(OperationError, match="the lab of demo is being changed by another run"):
            second.__enter__()
    with state_file.locked("demo"):
        pass


def test_a_process_is_told_from_a_stranger_with_its_number(child: subprocess.Popen[bytes]) -> None:
    started = processes.started(child.pid)
    assert started is not None
    assert processes.alive(Process(name="x", pid=child.pid, started=started))
    stranger = Process(name="x", pid=child.pid, started=started - 1)
    assert not processes.alive(stranger)
    processes.end([stranger])
    assert child.poll() is None, "a stranger was hit"


def test_ending_waits_until_the_process_is_gone(child: subprocess.Popen[bytes]) -> None:
    started = processes.started(child.pid)
    assert started is not None
    processes.end([Process(name="x", pid=child.pid, started=started)])
    assert child.wait(timeout=1) == -signal.SIGTERM
    assert processes.started(child.pid) is None


def test_what_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TERM_S", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], **PIPES) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        started = processes.started(deaf.pid)
        assert started is not None
        processes.end([Process(name="deaf", pid=deaf.pid, started=started)])
        assert deaf.wait(timeout=1) == -signal.SIGKILL


def test_a_gone_process_has_ended(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert processes.started(child.pid) is None
    processes.end([Process(name="x", pid=child.pid, started=1)])
    assert processes.started(os.getpid()) is not None


def test_no_device_means_emulation(tmp_path: pathlib.Path) -> None:
    assert kvm.probe(tmp_path / "kvm") == "tcg"


def test_the_probe_is_a_boot_sector() -> None:
    sector = kvm.boot_sector()
    assert len(sector) == 512
    assert sector[-2:] == b"\x55\xaa"
    assert len(kvm.BOOT_CODE) <= kvm.GDT_OFFSET, "code would run into its own table"


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_the_probe_reaches_its_end_where_guests_run_and_a_broken_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kvm.boots("tcg", timeout_s=60)
    halted = kvm.BOOT_CODE[:3] + b"\xf4" + kvm.BOOT_CODE[4:]  # stops before it is done
    monkeypatch.setattr(kvm, "BOOT_CODE", halted)
    assert not kvm.boots("tcg", timeout_s=2)

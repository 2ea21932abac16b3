"""A stack of its own for the tests: its file, its state, its passphrase, and the commands as a person types them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import infra.plan
from infra import process
from infra.operations.shell import Shell, open_shell
from infra.plan.model import Plan
from infra.secrets import store

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KUMIAI = str(pathlib.Path(sys.executable).with_name("kumiai"))
LIMIT_S = 1500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """One stack with everything that belongs to it in one folder."""

    folder: pathlib.Path
    name: str

    @property
    def stack_file(self) -> pathlib.Path:
        """The copy of the stack file that the tests use and change."""
        return self.folder / "stacks" / f"{self.name}.yaml"

    @property
    def environment(self) -> dict[str, str]:
        """What is laid over the environment of every command."""
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        return {
            "PULUMI_BACKEND_URL": f"file://{state}",
            "KUMIAI_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "COLUMNS": "100",
        }

    def kumiai(self, *arguments: str, limit_s: float = LIMIT_S, stack_file: pathlib.Path | None = None) -> Done:
        """Run ``kumiai COMMAND STACK …``; the stack stands after the command's words."""
        words = [word for word in arguments if not word.startswith("-")]
        command = words[:2] if words[0] == "lab" else words[:1]
        rest = list(arguments)[len(command) :]
        argv = (KUMIAI, *command, str(stack_file or self.stack_file), *rest)
        begun = time.monotonic()
        done = process.probe(*argv, timeout_s=limit_s, env=self.environment, cwd=ROOT)
        if "PYTEST_CURRENT_TEST" in os.environ:  # pytest shows it when the test fails
            print(f"$ {' '.join(argv)}\n{done.stdout}\n{done.stderr}\nexit {done.returncode}")
        return Done(code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - begun)

    def kill_during(self, command: str, moment: Callable[[], bool], limit_s: float = 600) -> int:
        """Start a command, send SIGKILL to it alone when ``moment`` is true, and return its exit status."""
        child = subprocess.Popen(
            (KUMIAI, command, str(self.stack_file)),
            env={**os.environ, **self.environment},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_moment(lambda: moment() or child.poll() is not None, limit_s)
        finally:
            child.send_signal(signal.SIGKILL)
        return child.wait(timeout=60)

    def plan(self) -> Plan:
        """Return the plan of today."""
        return infra.plan.compute(self.stack_file, datetime.datetime.now(tz=datetime.UTC).date()).plan

    @contextlib.contextmanager
    def shell(self, plan: Plan) -> Iterator[Shell]:
        """Yield a way to the machines."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            secrets = store.load_all(self.stack_file, plan)
        with open_shell(plan, secrets) as opened:
            yield opened

    def edited(self, name: str, *changes: tuple[str, str], lock: tuple[str, str] | None = None) -> pathlib.Path:
        """Return another stack file of the same stack with texts replaced, and its lock with another one."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / self.stack_file.name
        path.write_text(_replaced(self.stack_file.read_text(encoding="utf-8"), changes), encoding="utf-8")
        lock_file = self.stack_file.with_suffix(".lock.yaml")
        text = lock_file.read_text(encoding="utf-8")
        (folder / lock_file.name).write_text(_replaced(text, [lock] if lock else []), encoding="utf-8")
        return path

    def remove(self) -> None:
        """Take the lab and what the commands wrote into the checkout away."""
        assert self.kumiai("lab", "down").code == 0
        private = ROOT / ".kumiai"
        shutil.rmtree(private / "lost" / f"{self.name}.dc1", ignore_errors=True)
        (private / "runs" / f"{self.name}.dc1.json").unlink(missing_ok=True)
        (private / "maintenance" / f"{self.name}.json").unlink(missing_ok=True)
        for path in (ROOT / "stacks").glob(f"Pulumi.{self.name}.*.yaml"):
            path.unlink()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Return the document on stdout."""
        return json.loads(self.out)


def make(folder: pathlib.Path, stack: str, name: str) -> Place:
    """Return a place with a copy of ``stacks/STACK.yaml`` under another name, rid of what a killed run has left.

    The lab's name is this machine's own, so a second run of the same tests beside this one is refused.
    """
    _claim(name)
    place = Place(folder=folder, name=name)
    place.stack_file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "stacks" / f"{stack}.yaml", place.stack_file)
    place.remove()
    return place


_claims: dict[str, int] = {}
"""Lab → the descriptor of the lock file that this process holds until it ends."""


def _claim(name: str) -> None:
    if name not in _claims:
        _claims[name] = os.open(f"/run/lock/kumiai-{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # BlockingIOError: another run of the same tests is at work.
        fcntl.flock(_claims[name], fcntl.LOCK_EX | fcntl.LOCK_NB)


def await_moment(moment: Callable[[], bool], limit_s: float) -> None:
    """Wait until ``moment`` is true; fail when it does not come."""
    end = time.monotonic() + limit_s
    while not moment():
        if time.monotonic() > end:
            raise TimeoutError(f"did not come within {limit_s:g} s")
        time.sleep(0.05)  # there is no event for a line in another process's file


def _replaced(text: str, changes: Any) -> str:
    for old, new in changes:
        assert text.count(old) >= 1, f"not in the file: {old}"
        text = text.replace(old, new)
    return text

"""The lab's bookkeeping: which daemons it started, how guests run, what it made outside its own folders."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Literal

from infra.lab import places
from infra.lab.processes import Process
from network.errors import OperationError

FORMAT = 1
Accelerator = Literal["kvm", "tcg"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What ``lab up`` did so far; written after every step, so that an interrupted run can be continued or undone."""

    stack: str
    accelerator: Accelerator | None = None
    processes: tuple[Process, ...] = ()
    made: tuple[str, ...] = ()
    """Folders outside the lab's own that had to be made (mount points of libvirt); removed again when empty."""

    def with_process(self, process: Process) -> State:
        """Return the state with ``process`` in the place of an earlier one of that name."""
        others = tuple(p for p in self.processes if p.name != process.name)
        return dataclasses.replace(self, processes=(*others, process))


def path(stack: str) -> pathlib.Path:
    """Return the state file."""
    return places.run_folder(stack) / "state.json"


def load(stack: str) -> State | None:
    """Return the state of the stack's lab; None when there is none."""
    try:
        document = json.loads(path(stack).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as e:
        raise OperationError(f"{path(stack)}: damaged ({e}); run `kumiai lab down {stack}`, then `up`") from None
    if document.get("format") != FORMAT:
        raise OperationError(f"{path(stack)}: written by another version; run `kumiai lab down {stack}`, then `up`")
    return State(
        stack=document["stack"],
        accelerator=document["accelerator"],
        processes=tuple(Process(**process) for process in document["processes"]),
        made=tuple(document["made"]),
    )


def save(state: State) -> None:
    """Write the state in one step: a reader sees the old one or the new one, whenever this run is interrupted."""
    target = path(state.stack)
    draft = target.with_suffix(".new")
    draft.write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(state)}, indent=2) + "\n", encoding="utf-8")
    draft.replace(target)


@contextlib.contextmanager
def locked(stack: str) -> Iterator[None]:
    """Hold the lab alone; a second run for the same stack is told so instead of waiting."""
    folder = places.run_folder(stack)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationError(f"the lab of {stack} is being changed by another run; wait until it ends") from None
        yield
    finally:
        os.close(descriptor)

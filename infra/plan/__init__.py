"""The plan of a stack file: reading it, computing it, keeping its lock."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import time
from collections.abc import Collection

from infra.declaration import links as links_file
from infra.declaration.load import load as load_declaration
from infra.plan import build as builder
from infra.plan import lock as lock_file
from infra.plan.model import Plan
from network.clock import JST
from network.errors import InputError

__all__ = ["Computed", "Plan", "compute", "current", "pin_anew", "pin_images"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A plan with the lock that it needs."""

    plan: Plan
    lock: lock_file.Lock
    lock_text: str
    lock_changed: bool


def compute(stack_file: pathlib.Path, as_of: datetime.date, now: datetime.datetime | None = None) -> Computed:
    """Return the plan of ``stack_file`` on ``as_of``, and its next lock; nothing is written.

    ``now``, the clock's unless it is given, decides one thing only: a link between members whose end has passed is
    closed, whatever the day.
    Raises DeclarationError, PlacementError or another InputError when the file has no plan.
    """
    loaded = load_declaration(stack_file)
    lock = lock_file.load(stack_file)
    links = links_file.load(stack_file, loaded)
    now = now or datetime.datetime.now(tz=JST)
    built = builder.build(stack_file.stem, loaded, lock, as_of, time.perf_counter, links=links.open(as_of, now))
    overdue = tuple(links.overdue_words(link) for _, link in links.overdue(now))
    if overdue:
        built = dataclasses.replace(
            built, plan=dataclasses.replace(built.plan, expired=(*built.plan.expired, *overdue))
        )
    return Computed(plan=built.plan, lock=built.lock, lock_text=lock_file.dump(built.lock), lock_changed=built.changed)


def current(stack_file: pathlib.Path, as_of: datetime.date) -> Plan:
    """Return the plan, and refuse when the lock does not hold all of it: what is made must have been reviewed."""
    computed = compute(stack_file, as_of)
    if computed.lock_changed:
        raise InputError(
            f"{lock_file.path_of(stack_file)} does not match {stack_file.name} any more; "
            f"run `kumiai plan {stack_file.stem}`, read what changes, and commit the lock"
        )
    return computed.plan


def pin_anew(stack_file: pathlib.Path, nodes: Collection[str], image: str) -> None:
    """Pin ``image`` in the lock for ``nodes``: the next change of the stack makes their root disks anew from it."""
    lock = lock_file.load(stack_file)
    lock_file.write(stack_file, lock_file.dump(lock_file.pin_anew(lock, nodes, image)))


def pin_images(stack_file: pathlib.Path, image: str) -> None:
    """Pin ``image`` in the lock for every machine that has none yet."""
    lock = lock_file.load(stack_file)
    pinned = lock_file.pin_images(lock, image)
    if pinned != lock:
        lock_file.write(stack_file, lock_file.dump(pinned))

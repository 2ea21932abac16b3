"""From what a client saw to the result of a drill: what was promised, what came, and what differs."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Literal

from infra.drills.model import Result, Seen
from infra.drills.scene import Scene
from infra.drills.watching import KNOCK_S, WRITE_S, Post
from infra.hosts import access


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is broken, and what was promised of that."""

    kind: str
    subject: str
    fault: str
    """How it is broken, in words."""
    host: str
    """The hypervisor of what is broken."""
    post: Post
    computed_s: float | None
    """Worst case from the timers; None where the service stops and nothing but the data is promised."""
    target_s: float | None
    """What it has to meet; None where nothing is set."""
    connection_survives: bool = True
    """Whether a connection that is open stays open."""
    measured: Literal["knocks", "writes"] = "knocks"
    """What must not pause for longer than computed: new connections, or acknowledged writes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """When it happened; seconds of the monotonic clock but for ``at``."""

    at: datetime.datetime
    broken: float
    repaired: float
    """When the repair began."""
    whole: float
    """When everything was as before."""


def result(
    scene: Scene,
    promise: Promise,
    moments: Moments,
    seen: Seen,
    *,
    took_over: str,
    samples: int,
    split_brain: int = 0,
    findings: Sequence[str] = (),
    told: Sequence[str] = (),
) -> Result:
    """Return the result of a drill; ``findings`` are those that the client could not see.

    ``told`` is what else a reader wants to know.
    """
    end = max((knock.at for knock in seen.knocks), default=moments.whole)
    if promise.measured == "writes":  # the application may come back after the repair has begun
        down = write_gap = seen.write_gap_s(moments.broken, moments.whole)
    else:
        down, write_gap = (gap(moments.broken, moments.repaired) for gap in (seen.silence_s, seen.write_gap_s))
    return Result(
        stack=scene.plan.stack,
        kind=promise.kind,
        subject=promise.subject,
        fault=promise.fault,
        at=moments.at,
        client=str(promise.post),
        timers=scene.plan.network.timers.name,
        accelerator=access.accelerator(scene.plan, promise.host),
        down_s=down,
        restored_s=seen.silence_s(moments.repaired, end),
        returned_s=round(moments.whole - moments.repaired, 1),
        write_gap_s=write_gap,
        computed_s=None if promise.computed_s is None else round(promise.computed_s, 2),
        target_s=promise.target_s,
        connections_broken=seen.broken,
        writes_acknowledged=len(seen.acknowledged),
        writes_lost=len(seen.lost),
        took_over=took_over,
        split_brain=split_brain,
        samples=samples,
        findings=(*broken_promises(seen, promise, down, moments.broken), *findings),
        told=tuple(told),
    )


def broken_promises(seen: Seen, promise: Promise, down_s: float, broken: float) -> list[str]:
    """Return in words what is promised of every fault of a redundant part, and was not kept.

    A knock every `KNOCK_S` tells the time without an answer to twice that; a write likewise, and to how long the
    slowest one took before ``broken``.
    """
    found = []
    if not seen.acknowledged:
        found.append("not one write was acknowledged, so nothing was proved about writes")
    if seen.lost:
        found.append(f"{len(seen.lost)} acknowledged writes are missing, the first one is number {min(seen.lost)}")
    if seen.broken and promise.connection_survives:
        why = next(talk.why for talk in seen.talks if not talk.alive)
        found.append(f"the open connection broke {seen.broken} times: {why}")
    if promise.measured == "writes":
        what, doubt = "an acknowledged write", 2 * WRITE_S + seen.slowest_write_s(broken)
    else:
        what, doubt = "an answer", 2 * KNOCK_S
    if promise.computed_s is not None and down_s > promise.computed_s + doubt:
        found.append(f"{down_s:.1f} s without {what}, longer than the computed {promise.computed_s:.1f} s")
    return found

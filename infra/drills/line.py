"""The main line of a member is cut and restored."""

from __future__ import annotations

import contextlib
import datetime
import time

from infra.drills import judging, watching
from infra.drills.client import KNOCK_PATIENCE_S
from infra.drills.faults import Fault
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, line_post
from infra.lab import faults, traffic
from infra.operations.waiting import await_until
from infra.plan import recovery
from infra.plan.model import Plan
from network.model import Line

RETURN_S = 300.0
"""How long the traffic may take to return to the repaired line; BGP tries again every two minutes at most."""
FAULT = "cut inside the carrier, both directions, interfaces up"
LOOK_S = 1.0
"""Interval of looks at the lines' counters."""


FAULTS = (Fault.CUT,)


def words(plan: Plan, member: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    line, post = line_post(plan, member)
    cut = " and ".join((line.name, *(sorted(backups(plan, line)) if twice else ())))
    return f"{cut}: {FAULT}, while {post} works; then restored, and waited until {line.name} carries again"


def backups(plan: Plan, line: Line) -> set[str]:
    """Return the lines that take the place of ``line``."""
    mine = ("backup", line.member, line.site)
    return {other.name for other in plan.network.lines if (other.role, other.member, other.site) == mine}


def drill(scene: Scene, member: str | None, fault: Fault = Fault.CUT, *, twice: bool = False) -> Result:
    """Cut the main line of ``member`` (or the first one with a backup) silently, in both directions, and restore it.

    ``twice``: its backups as well; nothing but the data is promised then.
    """
    plan = scene.plan
    line, post = line_post(plan, member)
    others = backups(plan, line)
    cuts = [line.name, *(sorted(others) if twice else ())]
    hands = [hand for hand in line.handoffs if hand.zone in (None, post.office.zone)]
    computed = max(recovery.line_s(plan.network, hand) for hand in hands)
    promise = Promise(
        kind="line",
        subject="+".join(cuts),
        fault=FAULT,
        host=plan.hosts[0].id,
        post=post,
        computed_s=None if twice else computed,
        target_s=None if twice else recovery.LINE_TARGET_S,
        connection_survives=not twice,
    )

    def carried(names: set[str]) -> int:
        return sum(t.packets_up + t.packets_down for t in traffic.traffic(plan.stack) if t.line in names)

    with watching.watch(plan, post, scene.authority(post)) as client:
        idle = carried(others)
        time.sleep(watching.STEADY_S)  # the time in which the backup must carry nothing
        idle = carried(others) - idle
        scene.progress(f"{', '.join(cuts)}: cut")
        at, cut = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
        with contextlib.ExitStack() as repair:
            for name in cuts:
                repair.callback(faults.restore, plan, name)
                faults.cut(plan, name)
            before = carried(others)
            time.sleep(computed + 2 * LINGER_S)  # nothing tells from outside what the client sees
            over = carried(others) - before
        restored = time.monotonic()
        scene.progress(f"{', '.join(cuts)}: restored")

        def returned() -> bool:
            marks = carried({line.name}), carried(others)
            time.sleep(LOOK_S)
            return carried({line.name}) > marks[0] and carried(others) == marks[1]

        await_until(f"traffic of {post} on {line.name} again", returned, RETURN_S)
        back = time.monotonic()
        time.sleep(LINGER_S)
        seen = client.end()
    moments = Moments(at=at, broken=cut, repaired=restored, whole=back)
    findings = []
    if idle:
        findings.append(f"the backup carried {idle} packets while the main line was whole")
    if not twice and not seen.answers_at(cut, restored - KNOCK_PATIENCE_S):
        findings.append("traffic had not recovered when the line was restored")
    return judging.result(
        scene,
        promise,
        moments,
        seen,
        took_over=", ".join(sorted(others)) if over else "nobody",
        samples=len(seen.knocks),
        findings=findings,
    )

"""The main line of a member is cut and restored."""

from __future__ import annotations

import datetime
import time

from infra.drills import judging, watching
from infra.drills.client import KNOCK_PATIENCE_S
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, await_until, line_post
from infra.lab import faults, traffic
from infra.plan import recovery
from infra.plan.model import Plan

RETURN_S = 300.0
"""How long the traffic may take to return to the repaired line; BGP tries again every two minutes at most."""
LOOK_S = 1.0
"""Interval of looks at the lines' counters."""


def words(plan: Plan, member: str | None) -> str:
    """Return what the drill would do."""
    line, post = line_post(plan, member)
    return f"cut line {line.name} inside the carrier while {post} works, restore it, and wait until it carries again"


def drill(scene: Scene, member: str | None) -> Result:
    """Cut the main line of ``member`` (or the first one with a backup) silently, in both directions, and restore it."""
    plan = scene.plan
    line, post = line_post(plan, member)
    hands = [hand for hand in line.handoffs if hand.zone in (None, post.office.zone)]
    promise = Promise(
        kind="line",
        subject=line.name,
        fault="cut inside the carrier, both directions, interfaces up",
        host=plan.hosts[0].id,
        post=post,
        computed_s=max(recovery.line_s(plan.network, hand) for hand in hands),
        target_s=recovery.LINE_TARGET_S,
    )
    others = {
        other.name
        for other in plan.network.lines
        if (other.role, other.member, other.site) == ("backup", line.member, line.site)
    }

    def carried(names: set[str]) -> int:
        return sum(t.packets_up + t.packets_down for t in traffic.traffic(plan.stack) if t.line in names)

    with watching.watch(plan, post, scene.authority(post)) as client:
        idle = carried(others)
        time.sleep(watching.STEADY_S)  # the time in which the backup must carry nothing
        idle = carried(others) - idle
        scene.progress(f"{line.name} is cut")
        at, cut = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
        try:
            faults.cut(plan, line.name)
            before = carried(others)
            time.sleep(promise.computed_s + 2 * LINGER_S)  # nothing tells from outside what the client sees
            over = carried(others) - before
        finally:
            faults.restore(plan, line.name)
        restored = time.monotonic()
        scene.progress(f"{line.name} is restored")

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
    if not seen.answers_at(cut, restored - KNOCK_PATIENCE_S):
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

"""The segment on which the gateways of a pair hear each other is cut, silently, and restored."""

from __future__ import annotations

import datetime
import time

from infra.drills import faults, gateway, holding, judging, watching
from infra.drills.faults import Fault
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, pair_of
from infra.operations.waiting import await_until
from infra.plan.model import Plan
from network import gateways
from network.errors import InputError

SETTLE_S = 60.0


FAULTS = (Fault.CUT,)


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    if twice:
        raise InputError("sync: nothing takes the place of it, so nothing can break twice")
    (first, second), post = pair_of(plan, name)
    return f"cut the sync segment between {first.name} and {second.name} while {post} works, and restore it"


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Cut the sync segment of the pair with the gateway ``name``; the first gateway must hold the addresses alone."""
    plan = scene.plan
    pair, post = pair_of(plan, name)
    nodes = [node.name for node in pair]
    loss = gateway.loss(plan, nodes[0], None)
    settle_s = 2 * loss.computed_s + LINGER_S
    segment = gateways.sync_of(plan.network, pair[0])
    assert segment is not None  # noqa: S101 - pair_of returns pairs only
    scene.await_whole(nodes, "before anything is broken")
    first = nodes[0]
    with holding.sampling(scene.shell, nodes, str(loss.vip.address.ip)) as asked:
        with watching.watch(plan, post, scene.authority(post)) as client:
            samples = asked.samples
            before = samples.holder()
            scene.progress(f"{segment} is cut; {before} holds the addresses")
            at, cut = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            with faults.silent(scene, [(node, segment) for node in nodes]) as strike:
                strike()
                await_until(f"{first} holds the addresses alone", lambda: samples.holder() == first, SETTLE_S)
                time.sleep(settle_s)
            restored = time.monotonic()
            scene.progress(f"{segment} is restored")
            time.sleep(settle_s)
            holder, whole = samples.holder(), time.monotonic()
            seen = client.end()
        together = samples.together()
    findings = []
    if together:
        findings.append(f"both gateways held the addresses {together} times")
    if holder is None:
        findings.append("after the repair not one gateway held the addresses")
    promise = Promise(
        kind="sync",
        subject=segment,
        fault="both ports of the segment discard silently",
        host=plan.node_by_name[first].host,
        post=post,
        computed_s=loss.computed_s,
        target_s=loss.target_s,
    )
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=cut, repaired=restored, whole=whole),
        seen,
        took_over=first if before != first else f"nobody had to: {first} held them",
        samples=samples.count,
        split_brain=together,
        findings=findings,
    )

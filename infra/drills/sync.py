"""The segment on which the gateways of a pair hear each other is cut, silently, and restored."""

from __future__ import annotations

import datetime
import time

from infra.drills import gateway, holding, judging, watching
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, await_until, pair_of
from infra.hosts import access
from infra.plan.model import Plan
from infra.resources import names
from network import gateways
from network.errors import OperationError

DISABLED, FORWARDING = "0", "3"
"""States of a bridge port (IEEE 802.1D; bridge(8))."""
SETTLE_S = 60.0


def words(plan: Plan, name: str | None) -> str:
    """Return what the drill would do."""
    (first, second), post = pair_of(plan, name)
    return f"cut the sync segment between {first.name} and {second.name} while {post} works, and restore it"


def drill(scene: Scene, name: str | None) -> Result:
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
    ports = [_port(scene, node.name, node.interface(segment).mac) for node in pair]
    with holding.sampling(scene.shell, nodes, str(loss.vip.address.ip)) as samples:
        with watching.watch(plan, post, scene.authority(post)) as client:
            before = samples.holder()
            scene.progress(f"{segment} is cut; {before} holds the addresses")
            at, cut = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            try:
                for host, port in ports:
                    access.run_on(plan, host, "bridge", "link", "set", "dev", port, "state", DISABLED)
                await_until(f"{first} holds the addresses alone", lambda: samples.holder() == first, SETTLE_S)
                time.sleep(settle_s)
            finally:
                for host, port in ports:
                    access.run_on(plan, host, "bridge", "link", "set", "dev", port, "state", FORWARDING)
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


def _port(scene: Scene, node: str, mac: str) -> tuple[str, str]:
    """Return host and bridge port of a machine's card."""
    host = scene.plan.node_by_name[node].host
    for line in scene.hosts[host].call("domiflist", names.domain(scene.plan.stack, node)).splitlines():
        fields = line.split()
        if fields and fields[-1].lower() == mac.lower():
            return host, fields[0]
    raise OperationError(f"{node} on host {host}: no card with the address {mac}")

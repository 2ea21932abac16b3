"""The segment on which the gateways of a pair hear each other is cut, silently, and restored."""

from __future__ import annotations

import datetime
import time

from infra.drills import holding, watching
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, await_until, pair_of
from infra.hosts import access
from infra.plan import recovery
from infra.plan.model import Plan
from infra.resources import names
from network import gateways, timers
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
    vip = next(v for v in plan.network.vips if v.segment == post.endpoint.segment and set(v.nodes) == set(nodes))
    segment = gateways.sync_of(plan.network, pair[0])
    assert segment is not None  # noqa: S101 - pair_of returns pairs only
    scene.await_whole(nodes, "before anything is broken")
    first = nodes[0]
    ports = [_port(scene, node.name, node.interface(segment).mac) for node in pair]
    with holding.sampling(scene.shell, nodes, str(vip.address.ip)) as samples:
        with watching.watch(plan, post, scene.authority(post)) as client:
            before = samples.holder()
            scene.progress(f"{segment} is cut; {before} holds the addresses")
            at, cut = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            try:
                for host, port in ports:
                    access.run_on(plan, host, "bridge", "link", "set", "dev", port, "state", DISABLED)
                await_until(f"{first} holds the addresses alone", lambda: samples.holder() == first, SETTLE_S)
                time.sleep(timers.gateway_takeover_s(plan.network.timers) * 2 + LINGER_S)
            finally:
                for host, port in ports:
                    access.run_on(plan, host, "bridge", "link", "set", "dev", port, "state", FORWARDING)
                restored = time.monotonic()
            scene.progress(f"{segment} is restored")
            time.sleep(timers.gateway_takeover_s(plan.network.timers) * 2 + LINGER_S)
            holder, whole = samples.holder(), time.monotonic()
            seen = client.end()
        together = samples.together()
    computed = timers.gateway_takeover_s(plan.network.timers)
    down = seen.silence_s(cut, restored)
    findings = watching.broken_promises(seen, down, computed)
    if together:
        findings.append(f"both gateways held the addresses {together} times")
    if holder is None:
        findings.append("after the repair not one gateway held the addresses")
    return Result(
        stack=plan.stack,
        kind="sync",
        subject=segment,
        fault="both ports of the segment discard silently",
        at=at,
        client=str(post),
        timers=plan.network.timers.name,
        accelerator=access.accelerator(plan, plan.node_by_name[first].host),
        down_s=down,
        restored_s=seen.silence_s(restored, whole),
        returned_s=round(whole - restored, 1),
        write_gap_s=seen.write_gap_s(cut, restored),
        computed_s=round(computed, 2),
        target_s=recovery.GATEWAY_TARGET_S,
        connections_broken=seen.broken,
        writes_acknowledged=len(seen.acknowledged),
        writes_lost=len(seen.lost),
        took_over=first if before != first else f"nobody had to: {first} held them",
        split_brain=together,
        samples=samples.count,
        findings=tuple(findings),
    )


def _port(scene: Scene, node: str, mac: str) -> tuple[str, str]:
    """Return host and bridge port of a machine's card."""
    host = scene.plan.node_by_name[node].host
    for line in scene.hosts[host].call("domiflist", names.domain(scene.plan.stack, node)).splitlines():
        fields = line.split()
        if fields and fields[-1].lower() == mac.lower():
            return host, fields[0]
    raise OperationError(f"{node} on host {host}: no card with the address {mac}")

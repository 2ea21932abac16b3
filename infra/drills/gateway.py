"""The gateway that holds the addresses of a pair loses its power, and comes back."""

from __future__ import annotations

import datetime
import json
import time

from infra.drills import holding, watching
from infra.drills.model import Result
from infra.drills.scene import BOOT_S, LINGER_S, Scene, await_until, pair_of
from infra.hosts import access
from infra.plan import recovery
from infra.plan.model import Plan
from network import timers

TAKEOVER_S = 60.0
WHOLE_S = 300.0
"""How long a gateway that has booted may take until its sessions stand."""


def words(plan: Plan, name: str | None) -> str:
    """Return what the drill would do."""
    (first, second), post = pair_of(plan, name)
    return (
        f"take the power from the one of {first.name} and {second.name} that holds the addresses while {post} works, "
        "start it again, and wait until the pair is whole"
    )


def drill(scene: Scene, name: str | None) -> Result:
    """Kill the holder of the pair with the gateway ``name`` (or of the first pair), and start it again."""
    plan = scene.plan
    pair, post = pair_of(plan, name)
    nodes = [node.name for node in pair]
    vip = next(v for v in plan.network.vips if v.segment == post.endpoint.segment and set(v.nodes) == set(nodes))
    for node in nodes:
        require_whole(scene, node)
    with holding.sampling(scene.shell, nodes, str(vip.address.ip)) as samples:
        await_until(
            f"one of {' and '.join(nodes)} holds {vip.address.ip}", lambda: samples.holder() is not None, TAKEOVER_S
        )
        victim = samples.holder() or nodes[0]
        (other,) = set(nodes) - {victim}
        with watching.watch(plan, post, scene.authority(post)) as client:
            scene.progress(f"{victim} loses its power")
            at, killed = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            try:
                scene.kill(victim)
                await_until(f"{other} holds the addresses", lambda: samples.by_node[other][-1].held, TAKEOVER_S)
                scene.progress(f"{other} holds the addresses after {time.monotonic() - killed:.1f} s")
                time.sleep(LINGER_S)
            finally:
                restored = time.monotonic()
                scene.start(victim)
            scene.progress(f"{victim} starts again")
            await_until(f"{victim} runs commands", lambda: scene.shell.answers(victim), BOOT_S)
            with holding.sampling(scene.shell, [victim], str(vip.address.ip)) as returned:
                await_until(f"{victim} is whole", lambda: not unwell(scene, victim), WHOLE_S)
                whole = time.monotonic()
                time.sleep(LINGER_S)
            seen = client.end()
    samples.by_node[victim].extend(returned.by_node[victim])
    computed = timers.gateway_takeover_s(plan.network.timers)
    down, together = seen.silence_s(killed, restored), samples.together()
    findings = watching.broken_promises(seen, down, computed)
    if together:
        findings.append(f"both gateways held the addresses {together} times")
    return Result(
        stack=plan.stack,
        kind="gateway",
        subject=victim,
        fault="power lost (virsh destroy), started again",
        at=at,
        client=str(post),
        timers=plan.network.timers.name,
        accelerator=access.accelerator(plan, plan.node_by_name[victim].host),
        down_s=down,
        restored_s=seen.silence_s(restored, max((knock.at for knock in seen.knocks), default=whole)),
        returned_s=round(whole - restored, 1),
        write_gap_s=seen.write_gap_s(killed, restored),
        computed_s=round(computed, 2),
        target_s=recovery.GATEWAY_TARGET_S,
        connections_broken=seen.broken,
        writes_acknowledged=len(seen.acknowledged),
        writes_lost=len(seen.lost),
        took_over=other,
        split_brain=together,
        samples=samples.count,
        findings=tuple(findings),
    )


def require_whole(scene: Scene, node: str) -> None:
    """Raise OperationError unless ``node`` is a whole half of its pair: nothing is broken on purpose otherwise."""
    await_until(f"{node} is whole before anything is broken", lambda: not unwell(scene, node), WHOLE_S)


def unwell(scene: Scene, node: str) -> str:
    """Return what a gateway lacks: a running program, or a session of BGP; empty when it is whole."""
    shown = scene.shell.run(
        node,
        "sh",
        "-c",
        "systemctl is-active nftables keepalived conntrackd frr; vtysh -c 'show bgp ipv4 unicast summary json'",
        timeout_s=60,
    )
    words, _, document = shown.partition("{")
    if words.split() != ["active"] * 4:
        return f"services: {' '.join(words.split())}"
    peers = json.loads("{" + document).get("peers", {})
    down = sorted(address for address, peer in peers.items() if peer["state"] != "Established")
    return f"no session with {', '.join(down)}" if down else ""

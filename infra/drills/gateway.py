"""The gateway that holds the addresses of a pair loses its power."""

from __future__ import annotations

from infra.drills import power
from infra.drills.model import Result
from infra.drills.power import Loss
from infra.drills.scene import Scene, pair_of
from infra.plan import recovery
from infra.plan.model import Plan
from network import timers


def words(plan: Plan, name: str | None) -> str:
    """Return what the drill would do."""
    (first, second), post = pair_of(plan, name)
    return (
        f"take the power from the one of {first.name} and {second.name} that holds the addresses while {post} works, "
        "start it again, and wait until the pair is whole"
    )


def drill(scene: Scene, name: str | None) -> Result:
    """Kill the holder of the pair with the gateway ``name`` (or of the first pair), and start it again."""
    return power.lose_power(scene, loss(scene.plan, name, None))


def loss(plan: Plan, name: str | None, victim: str | None) -> Loss:
    """Return what is lost when ``victim``, or else the holder, of the pair with ``name`` loses its power."""
    pair, post = pair_of(plan, name)
    nodes = {node.name for node in pair}
    return Loss(
        kind="gateway",
        vip=next(v for v in plan.network.vips if v.segment == post.endpoint.segment and set(v.nodes) == nodes),
        victim=victim,
        post=post,
        computed_s=timers.gateway_takeover_s(plan.network.timers),
        target_s=recovery.GATEWAY_TARGET_S,
        connection_survives=True,
    )

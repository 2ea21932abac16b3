"""A machine of one's choice loses its power."""

from __future__ import annotations

from infra.drills import gateway, power
from infra.drills.model import Result
from infra.drills.power import Loss
from infra.drills.scene import Scene, posts
from infra.plan import recovery
from infra.plan.model import Plan
from network import timers
from network.errors import InputError


def words(plan: Plan, name: str | None) -> str:
    """Return what the drill would do."""
    found = loss(plan, name)
    return (
        f"take the power from {found.victim} while {found.post} works, start it again, and wait until it serves again"
    )


def drill(scene: Scene, name: str | None) -> Result:
    """Kill the machine ``name`` (or the first one of a redundant application), and start it again."""
    return power.lose_power(scene, loss(scene.plan, name))


def loss(plan: Plan, name: str | None) -> Loss:
    """Return what is lost with the machine ``name``; InputError for one that has no partner."""
    if name is not None and name not in plan.node_by_name:
        raise InputError(f"{name}: no such node; the plan has {', '.join(plan.node_by_name)}")
    if name is not None and plan.node_by_name[name].role == "gateway":
        return gateway.loss(plan, name, name)
    for post in posts(plan):
        endpoint = post.endpoint
        if len(endpoint.entry) > 1 and name in (None, *endpoint.entry):
            return Loss(
                kind="node",
                vip=plan.network.vip_by_name[endpoint.vip],
                victim=name or endpoint.entry[0],
                post=post,
                computed_s=timers.vrrp_takeover_s(plan.network.timers, backup_rank=1),
                target_s=recovery.APPLICATION_TARGET_S,
                connection_survives=False,
            )
    raise InputError(
        f"{name or plan.stack}: no machine with a partner that takes its place; its loss stops what it serves"
    )

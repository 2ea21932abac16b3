"""A machine of one's choice breaks, or it and its partner do."""

from __future__ import annotations

from infra.drills import gateway, pair
from infra.drills.faults import Fault
from infra.drills.model import Result
from infra.drills.pair import Loss
from infra.drills.scene import Scene, posts
from infra.plan import recovery
from infra.plan.model import Plan
from network import timers
from network.errors import InputError

FAULTS = (Fault.POWER, Fault.CUT, Fault.FREEZE_HAPROXY, Fault.FREEZE_KEEPALIVED)


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    return loss(plan, name, fault, twice=twice).words


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Break the machine ``name`` (or the holder of the first redundant application's address), and repair it."""
    return pair.lose(scene, loss(scene.plan, name, fault, twice=twice))


def loss(plan: Plan, name: str | None, fault: Fault = Fault.POWER, *, twice: bool = False) -> Loss:
    """Return what is lost with the machine ``name``; InputError for one that has no partner."""
    if name is not None and name not in plan.node_by_name:
        raise InputError(f"{name}: no such node; the plan has {', '.join(plan.node_by_name)}")
    if name is not None and plan.node_by_name[name].role == "gateway":
        if fault not in gateway.FAULTS:
            raise InputError(f"{name}: a gateway has no {fault.value}; its faults: {', '.join(gateway.FAULTS)}")
        return gateway.loss(plan, name, name, fault, twice=twice)
    for post in posts(plan):
        endpoint = post.endpoint
        if len(endpoint.entry) > 1 and name in (None, *endpoint.entry):
            profile = plan.network.timers
            frozen = fault is Fault.FREEZE_HAPROXY
            return Loss(
                kind="node",
                fault=fault,
                twice=twice,
                vip=plan.network.vip_by_name[endpoint.vip],
                victim=name,
                post=post,
                computed_s=timers.entry_frozen_s(profile) if frozen else timers.vrrp_takeover_s(profile, backup_rank=1),
                target_s=None if frozen else recovery.APPLICATION_TARGET_S,
                connection_survives=False,
            )
    raise InputError(
        f"{name or plan.stack}: no machine with a partner that takes its place; its loss stops what it serves"
    )

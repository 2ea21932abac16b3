"""The gateway that holds the addresses of a pair breaks, or the whole pair does."""

from __future__ import annotations

from infra.drills import pair
from infra.drills.faults import Fault
from infra.drills.model import Result
from infra.drills.pair import Loss
from infra.drills.scene import Scene, pair_of
from infra.plan import recovery
from infra.plan.model import Plan
from network import timers

FAULTS = (Fault.POWER, Fault.CUT, Fault.FREEZE_KEEPALIVED)


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    return loss(plan, name, None, fault, twice=twice).words


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Break the holder of the pair with the gateway ``name`` (or of the first pair), and repair it."""
    return pair.lose(scene, loss(scene.plan, name, None, fault, twice=twice))


def loss(plan: Plan, name: str | None, victim: str | None, fault: Fault = Fault.POWER, *, twice: bool = False) -> Loss:
    """Return what is lost when ``victim``, or else the holder, of the pair with ``name`` breaks."""
    gateways, post = pair_of(plan, name)
    nodes = {node.name for node in gateways}
    return Loss(
        kind="gateway",
        fault=fault,
        twice=twice,
        vip=next(v for v in plan.network.vips if v.segment == post.endpoint.segment and set(v.nodes) == nodes),
        victim=victim,
        post=post,
        computed_s=timers.gateway_takeover_s(plan.network.timers),
        target_s=recovery.GATEWAY_TARGET_S,
        # What was opened at the second gateway may break when a first one comes back that was only cut off.
        connection_survives=fault is not Fault.CUT,
    )

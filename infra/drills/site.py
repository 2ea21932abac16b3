"""A site loses its power: what another site keeps goes on, nothing promotes itself, and no data is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time

from infra.drills import host, judging, watching
from infra.drills.faults import Fault
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene
from infra.drills.watching import Post
from infra.plan import impact
from infra.plan.model import Plan
from network.errors import InputError

FAULTS = (Fault.POWER,)
FAULT = "all of its machines lose their power at once (virsh destroy), started again"
PROMISED = "two sites never promote by themselves: what runs there stops until it returns or a person moves it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is lost, and what is promised."""

    site: str
    nodes: tuple[str, ...]
    post: Post
    stops: bool
    computed_s: float
    effects: tuple[str, ...]

    @property
    def words(self) -> str:
        """What would be done."""
        lines = (f"{self.site}: {FAULT}, while {self.post} works; {', '.join(self.nodes)}", f"  {PROMISED}")
        return "\n".join((*lines, *(f"  {effect}" for effect in self.effects)))


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    return loss(plan, name, twice=twice).words


def loss(plan: Plan, name: str | None, *, twice: bool = False) -> Loss:
    """Return what the loss of the site ``name`` means; InputError when there is no such one."""
    if name not in plan.sites:
        raise InputError(f"{name or 'name a site'}: {plan.stack} has {', '.join(plan.sites)}")
    if twice:
        raise InputError("nothing takes the place of a site, so nothing can be lost twice")
    effects = impact.impact(plan, "site", name).effects
    post, effect = host.seen_from(plan, effects)
    return Loss(
        site=name,
        nodes=tuple(node.name for node in plan.nodes if node.site == name),
        post=post,
        stops=effect.state == "stops",
        computed_s=effect.gap_s,
        effects=host.told(effects),
    )


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Take the power from all machines of the site, start them again, and wait until everything is whole."""
    what = loss(scene.plan, name, twice=twice)
    scene.await_whole(list(scene.plan.node_by_name), "before anything is broken")
    with watching.watch(scene.plan, what.post, scene.authority(what.post), host.CLIENT_S) as client:
        at, broken = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
        with contextlib.ExitStack() as repair:
            for node in what.nodes:
                repair.callback(scene.start, node)
                scene.kill(node)
            scene.progress(f"{what.site} has no power")
            time.sleep(what.computed_s + 2 * LINGER_S)
            repaired = time.monotonic()
        for node in what.nodes:
            scene.await_commands(node)
        scene.await_whole(list(scene.plan.node_by_name), "after the repair")
        whole = time.monotonic()
        time.sleep(LINGER_S)
        seen = client.end()
    promise = Promise(
        kind="site",
        subject=what.site,
        fault=FAULT,
        host=scene.plan.node_by_name[what.nodes[0]].host,
        post=what.post,
        computed_s=None if what.stops else what.computed_s,
        target_s=None,
        connection_survives=not what.stops,
    )
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=broken, repaired=repaired, whole=whole),
        seen,
        took_over="nobody: " + PROMISED,
        samples=len(seen.knocks),
        told=what.effects,
    )

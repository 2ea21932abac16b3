"""A machine of a pair that shares a virtual address breaks, or both do, and comes back."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Sequence

from infra.drills import faults, holding, judging, watching
from infra.drills.faults import WORDS, Fault
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene
from infra.drills.watching import Post
from infra.operations.waiting import await_until
from network.model import Vip

TAKEOVER_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Which machine breaks and how, and what is promised."""

    kind: str
    fault: Fault
    twice: bool = False
    """Whether the whole pair breaks at once: nothing but the data is promised then."""
    vip: Vip
    """The address that one of the pair holds."""
    victim: str | None
    """None: whichever holds the address."""
    post: Post
    computed_s: float
    target_s: float | None
    connection_survives: bool
    """Whether connections that are open stay open when the holder breaks."""

    @property
    def nodes(self) -> Sequence[str]:
        """The pair."""
        return self.vip.nodes

    @property
    def words(self) -> str:
        """What would be done."""
        if self.twice:
            who = " and ".join(self.nodes)
        else:
            who = self.victim or f"the one of {' and '.join(self.nodes)} that holds the addresses"
        return f"{who}: {WORDS[self.fault]}, while {self.post} works; then it is repaired and waited for the whole pair"


def lose(scene: Scene, loss: Loss) -> Result:
    """Break the machine while a client works, repair it, and wait until the pair is whole.

    OperationError when it is not whole before: nothing is broken on purpose then.
    """
    address = str(loss.vip.address.ip)
    scene.await_whole(loss.nodes, "before anything is broken")
    with holding.sampling(scene.shell, loss.nodes, address) as asked:
        samples = asked.samples
        await_until(f"one of {', '.join(loss.nodes)} holds {address}", lambda: samples.holder() is not None, TAKEOVER_S)
        holder = samples.holder() or loss.nodes[0]
        victims = loss.nodes if loss.twice else [loss.victim or holder]
        others = [node for node in loss.nodes if node not in victims]
        boots = {victim: scene.boot_of(victim) for victim in victims}
        with watching.watch(scene.plan, loss.post, scene.authority(loss.post)) as client:
            with faults.ready(scene, loss.fault, victims) as strike:
                at, broken = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
                strike()
                scene.progress(f"{', '.join(victims)}: {WORDS[loss.fault]}")
                if others:
                    await_until(
                        f"one of {', '.join(others)} holds {address}",
                        lambda: any(map(samples.holds, others)),
                        TAKEOVER_S,
                    )
                time.sleep(LINGER_S + (loss.computed_s if loss.twice else 0))
                after = [node for node in others if samples.holds(node)]
                repaired = time.monotonic()
            scene.progress(f"repaired; {' and '.join(after) or 'nobody'} held {address}")
            for victim in victims:
                scene.await_commands(victim)
                if scene.boot_of(victim) != boots[victim]:
                    asked.renew(victim)
            scene.await_whole(loss.nodes, "after the repair")
            whole = time.monotonic()
            time.sleep(LINGER_S)
            seen = client.end()
    together = split_brain(scene, loss, samples, {node: (broken, repaired) for node in victims})
    promise = Promise(
        kind=loss.kind,
        subject="+".join(victims),
        fault=WORDS[loss.fault] + (", both at once" if loss.twice else ""),
        host=scene.plan.node_by_name[victims[0]].host,
        post=loss.post,
        computed_s=None if loss.twice else loss.computed_s,
        target_s=None if loss.twice else loss.target_s,
        connection_survives=not loss.twice and (loss.connection_survives or holder not in victims),
        # A frozen load balancer's kernel still takes connections.
        measured="writes" if loss.fault is Fault.FREEZE_HAPROXY else "knocks",
    )
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=broken, repaired=repaired, whole=whole),
        seen,
        took_over=" and ".join(after) or "nobody" if holder in victims else f"nobody had to: {holder} held {address}",
        samples=samples.count,
        split_brain=together,
        findings=[f"two machines held {address} at once, {together} times"] if together else [],
    )


def split_brain(scene: Scene, loss: Loss, samples: holding.Samples, victims: dict[str, tuple[float, float]]) -> int:
    """Return how often two machines held the address for others to see.

    What a machine holds that is cut off reaches nobody; when it comes back, both hold it until the next advertisement
    (docs/decisions/0006-pairs-of-gateways.md).
    """
    if loss.fault is not Fault.CUT:
        return samples.together()
    advert_s = scene.plan.network.timers.vrrp_advert_s
    return samples.together(longer_than_s=advert_s + holding.PAUSE_S, without=victims)

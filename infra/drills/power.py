"""A machine of a redundant set loses its power, and comes back."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Sequence

from infra.drills import holding, judging, watching
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import BOOT_S, LINGER_S, Scene, await_until
from infra.drills.watching import Post
from network.model import Vip

TAKEOVER_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Which machine is lost, and what is promised."""

    kind: str
    vip: Vip
    """The address that one of the set holds."""
    victim: str | None
    """None: whichever holds the address."""
    post: Post
    computed_s: float
    target_s: float
    connection_survives: bool
    """Whether connections that are open stay open when the holder is lost."""

    @property
    def nodes(self) -> Sequence[str]:
        """The set."""
        return self.vip.nodes


def lose_power(scene: Scene, loss: Loss) -> Result:
    """Kill the machine while a client works, start it again, and wait until the set is whole.

    OperationError when it is not whole before: nothing is broken on purpose then.
    """
    plan, address = scene.plan, str(loss.vip.address.ip)
    scene.await_whole(loss.nodes, "before anything is broken")
    with holding.sampling(scene.shell, loss.nodes, address) as samples:
        await_until(f"one of {', '.join(loss.nodes)} holds {address}", lambda: samples.holder() is not None, TAKEOVER_S)
        holder = samples.holder() or loss.nodes[0]
        victim = loss.victim or holder
        others = [node for node in loss.nodes if node != victim]

        def taken_over() -> bool:
            return any(samples.by_node[node][-1].held for node in others)

        with watching.watch(plan, loss.post, scene.authority(loss.post)) as client:
            scene.progress(f"{victim} loses its power")
            at, killed = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            try:
                scene.kill(victim)
                await_until(f"one of {', '.join(others)} holds {address}", taken_over, TAKEOVER_S)
                time.sleep(LINGER_S)
            finally:
                restored = time.monotonic()
                scene.start(victim)
            holder_after = next(node for node in others if samples.by_node[node][-1].held)
            scene.progress(f"{holder_after} holds {address}; {victim} starts again")
            await_until(f"{victim} runs commands", lambda: scene.shell.answers(victim), BOOT_S)
            with holding.sampling(scene.shell, [victim], address) as returned:
                scene.await_whole([victim], "after its start")
                whole = time.monotonic()
                time.sleep(LINGER_S)
            seen = client.end()
    samples.by_node[victim].extend(returned.by_node[victim])
    together = samples.together()
    promise = Promise(
        kind=loss.kind,
        subject=victim,
        fault="power lost (virsh destroy), started again",
        host=plan.node_by_name[victim].host,
        post=loss.post,
        computed_s=loss.computed_s,
        target_s=loss.target_s,
        connection_survives=loss.connection_survives or holder != victim,
    )
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=killed, repaired=restored, whole=whole),
        seen,
        took_over=holder_after if holder == victim else f"nobody had to: {holder} held {address}",
        samples=samples.count,
        split_brain=together,
        findings=[f"two machines held {address} at once, {together} times"] if together else [],
    )

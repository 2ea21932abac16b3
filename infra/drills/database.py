"""A server, a standby or a vote of a replicated database breaks while a client writes through the whole path."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence

from infra.drills import faults, holding, judging, replicas, watching
from infra.drills.faults import WORDS, Fault, Strike
from infra.drills.holding import Asking
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, posts
from infra.drills.watching import Post
from infra.maintenance import switchover
from infra.operations.waiting import await_until
from infra.plan.model import Plan
from infra.plan.recovery import DATABASE_TARGETS_S
from infra.status.database import ClusterStatus
from infra.status.model import Status
from network import timers
from network.errors import InputError, OperationError
from network.model import Cluster

FAULTS = (
    Fault.POWER,
    Fault.CRASH,
    Fault.STANDBY,
    Fault.SWITCHOVER,
    Fault.CUT,
    Fault.FREEZE_PATRONI,
    Fault.FREEZE_POSTGRESQL,
    Fault.ETCD,
    Fault.DISK,
)
LATE_S = 60.0
"""How much later than computed a takeover is still waited for."""
PAUSE_S: Mapping[timers.ProfileName, float] = {"standard": holding.PAUSE_S, "emulated": 3.0}
"""Between two questions to a server: each is a connection with TLS, a tenth of a second on an emulated machine."""
LOST, CRASHED, STANDBY_LOST, HANDED_OVER, FROZEN = DATABASE_TARGETS_S
STAYS = (Fault.STANDBY, Fault.ETCD)
"""Faults after which the primary is the same."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What breaks, and what is promised."""

    cluster: Cluster
    post: Post
    fault: Fault
    twice: bool
    """Whether all servers break at once: nothing but the data is promised then."""
    voter: str | None
    """The voter to kill; None: that of the primary."""
    computed_s: float | None
    """None where the service may stop until the repair, and nothing but the data is promised."""
    target_s: float | None
    alone_s: float
    """How long it may take when one breaks alone; 0 where no timer says. Both together stay broken for longer."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Everything that has to be whole."""
        parts = (*self.cluster.databases, *self.cluster.voters, *self.cluster.applications)
        return tuple(dict.fromkeys(parts))

    @property
    def words(self) -> str:
        """What would be done."""
        who = f"all servers ({', '.join(self.cluster.databases)})" if self.twice else self.voter or "the primary"
        if self.fault is Fault.STANDBY:
            who = "the standby"
        told = " (the service may stop; no data may be lost)"
        if self.computed_s is not None:
            told = f" (computed worst: {self.computed_s:.1f} s without an acknowledged write)"
        return (
            f"{self.cluster.name}, {who}: {WORDS[self.fault]}, while {self.post} writes{told}; then it is repaired, "
            "and waited until all servers and votes are whole"
        )

    def victims(self, before: ClusterStatus) -> Sequence[str]:
        """Return which nodes break, by who is what before, when it is whole."""
        (primary,) = before.primaries
        if self.twice:
            return self.cluster.databases
        if self.fault is Fault.ETCD:
            return [self.voter or primary]
        if self.fault is Fault.STANDBY:
            return [next(node for node in self.cluster.databases if node != primary)]
        return [primary]


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    return loss(plan, name, fault, twice=twice).words


def loss(plan: Plan, name: str | None, fault: Fault = Fault.POWER, *, twice: bool = False) -> Loss:
    """Return what breaks in the replicated database that ``name``, a node or a service, is part of, or the first."""
    if twice and fault in (*STAYS, Fault.SWITCHOVER):
        raise InputError(f"{fault.value} breaks one part only; --twice goes with power, crash, cut, freeze-… and disk")
    for cluster in plan.network.clusters:
        known = (*cluster.databases, *cluster.voters, *(endpoint.name for endpoint in cluster.endpoints))
        if name not in (None, *known):
            continue
        for post in posts(plan):
            if post.endpoint in cluster.endpoints:
                computed, target = _computed(plan, fault)
                voter = name if fault is Fault.ETCD and name in cluster.voters else None
                return Loss(
                    cluster=cluster, post=post, fault=fault, twice=twice, voter=voter, alone_s=computed or 0.0,
                    computed_s=None if twice else computed, target_s=None if twice else target,
                )  # fmt: skip
    there = ", ".join(cluster.name for cluster in plan.network.clusters)
    raise InputError(
        f"{name or plan.stack}: no replicated database that an office writes to; replicated ones: {there or 'none'}"
    )


def _computed(plan: Plan, fault: Fault) -> tuple[float | None, float | None]:
    """Return the longest time without an acknowledged write through the whole path, and the database's own target.

    A full disk is noticed when PostgreSQL has to make another file of its log, which no timer says.
    """
    profile, targets = plan.network.timers, DATABASE_TARGETS_S
    own, back = profile.database, timers.backend_return_s(profile)
    lost = (timers.database_machine_lost_s(own) + back, targets[LOST])
    frozen = (timers.patroni_frozen_s(own) + back, targets[FROZEN])
    promised: Mapping[Fault, tuple[float | None, float | None]] = {
        Fault.POWER: lost,
        Fault.CRASH: (timers.database_crash_s(own) + back, targets[CRASHED]),
        Fault.STANDBY: (timers.standby_lost_s(own), targets[STANDBY_LOST]),
        Fault.SWITCHOVER: (timers.switchover_s(own) + back, targets[HANDED_OVER]),
        Fault.CUT: lost,
        Fault.FREEZE_PATRONI: frozen,
        Fault.FREEZE_POSTGRESQL: frozen,  # Patroni waits for its answer, and stands still with it
        Fault.ETCD: (timers.voter_lost_s(own), None),  # more than any write may wait
        Fault.DISK: (None, None),
    }
    return promised[fault]


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Break it, repair it, and wait until all servers and votes are whole.

    OperationError when they are not before: nothing is broken on purpose then.
    """
    what = loss(scene.plan, name, fault, twice=twice)
    cluster, network = what.cluster, scene.plan.network
    pause_s = PAUSE_S[network.timers.name]
    before = _status(scene.await_whole(what.nodes, "before anything is broken"), cluster)
    victims = what.victims(before)
    boots = {victim: scene.boot_of(victim) for victim in victims}
    with (
        holding.asking(replicas.writable(scene.shell, cluster), pause_s) as writable,
        holding.asking(replicas.leading(scene.shell, network, cluster), pause_s) as leading,
        watching.watch(scene.plan, what.post, scene.authority(what.post)) as client,
    ):
        with _ready(scene, what, victims) as strike:
            at, broken = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
            strike()
            scene.progress(f"{', '.join(victims)}: {WORDS[fault]}")
            _await_service(what, victims, writable, leading)
            repaired = time.monotonic()
        scene.progress("repaired")
        for victim in victims:
            scene.await_commands(victim)
            if victim in cluster.databases and scene.boot_of(victim) != boots[victim]:
                writable.renew(victim)
                leading.renew(victim)
        after = _status(scene.await_whole(what.nodes, "after the repair"), cluster)
        whole = time.monotonic()
        time.sleep(LINGER_S)
        seen = client.end()
    promise = Promise(
        kind="database",
        subject="+".join(victims),
        fault=WORDS[fault] + (", all servers at once" if twice else ""),
        host=scene.plan.node_by_name[victims[0]].host,
        post=what.post,
        computed_s=what.computed_s,
        target_s=what.target_s,
        connection_survives=False,
        measured="writes",
    )
    writers, leaders = writable.samples.together(), leading.samples.together()
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=broken, repaired=repaired, whole=whole),
        seen,
        took_over=_took_over(before, after),
        samples=writable.samples.count + leading.samples.count,
        split_brain=writers + leaders,
        findings=[*_split(writers, leaders), *_history(what, before, after)],
        told=[f"timeline {before.timeline} → {after.timeline}", f"votes: {', '.join(sorted(after.votes))}"],
    )


def _status(found: Status, cluster: Cluster) -> ClusterStatus:
    return next(one for one in found.clusters if one.name == cluster.server_name)


@contextlib.contextmanager
def _ready(scene: Scene, what: Loss, victims: Sequence[str]) -> Iterator[Strike]:
    if what.fault is Fault.SWITCHOVER:
        yield lambda: _hand_over(scene, what.cluster)
    else:
        with faults.ready(scene, what.fault, victims) as strike:
            yield strike


def _hand_over(scene: Scene, cluster: Cluster) -> None:
    switchover.switchover(scene.plan, scene.shell, cluster)


def _await_service(what: Loss, victims: Sequence[str], writable: Asking, leading: Asking) -> None:
    """Wait until another server is the primary, or for as long as the same one may need."""
    others = [node for node in what.cluster.databases if node not in victims]
    if what.fault in STAYS or what.twice:
        time.sleep(what.alone_s + 2 * LINGER_S)
        return
    try:
        await_until(
            f"one of {', '.join(others)} is the primary",
            lambda: any(writable.samples.holds(node) and leading.samples.holds(node) for node in others),
            what.alone_s + LATE_S,
        )
    except OperationError:
        if what.computed_s is not None:
            raise
    time.sleep(2 * LINGER_S)  # the applications find it, and the client sees that


def _took_over(before: ClusterStatus, after: ClusterStatus) -> str:
    (was,), (now,) = before.primaries, after.primaries
    return now if was != now else f"nobody: {now} is still the primary"


def _split(writers: int, leaders: int) -> Iterator[str]:
    if writers:
        yield f"two servers took writes at once, {writers} times"
    if leaders:
        yield f"two servers were the primary for load balancers at once, {leaders} times"


def _history(what: Loss, before: ClusterStatus, after: ClusterStatus) -> Iterator[str]:
    """Yield when there were more new timelines than the fault explains: each is a promotion."""
    promotions = after.timeline - before.timeline
    allowed = 0 if what.fault in STAYS else 1
    if promotions > allowed:
        yield f"{promotions} promotions for one fault (timeline {before.timeline} → {after.timeline})"

"""A host is lost with all of its machines; what survives is measured, and the stored re-placement is carried out.

In the lab only. The host's machines lose their power, its network is unplugged, and from then on nobody asks its
libvirtd. Afterwards everything is brought back to where the lock has it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence

from infra import process
from infra.configure import runner
from infra.drills import faults, judging, watching
from infra.drills.faults import Fault
from infra.drills.judging import Moments, Promise
from infra.drills.model import Result
from infra.drills.scene import LINGER_S, Scene, posts
from infra.drills.watching import Post
from infra.hosts import access, apply, uplinks, views
from infra.lab import operate, places, underlay
from infra.operations import run, shell, state, up
from infra.operations.run import Request
from infra.plan import impact, replacement
from infra.plan.impact import Effect
from infra.plan.model import Plan
from infra.plan.replacement import Replacement
from infra.resources import names, surroundings
from network import timers
from network.errors import InputError

FAULTS = (Fault.POWER,)
FAULT = "all of its machines lose their power, its network is unplugged, its libvirtd is not asked"
CLIENT_S = 7200.0
"""The client works until all is back: with emulated machines that is most of an hour."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is lost, what is promised of it, and what is done."""

    replacement: Replacement
    post: Post
    stops: bool
    """Whether even the business that the client uses stops."""
    computed_s: float
    effects: tuple[str, ...]

    @property
    def words(self) -> str:
        """What would be done."""
        host = self.replacement.host
        promised = "stops; no data may be lost" if self.stops else f"at most {self.computed_s:.1f} s without an answer"
        return "\n".join(
            (
                f"{host}: {FAULT}, while {self.post} works ({promised})",
                *(f"  {effect}" for effect in self.effects),
                f"then without {host}: lab up, hosts, up and configure with {self.replacement.words}",
                f"then {host} comes back, and everything returns to it: hosts, up, configure",
            )
        )


@dataclasses.dataclass(frozen=True)
class Elsewhere(Request):
    """A request for the plan in which the machines of ``host`` run on others."""

    host: str = ""

    def settings(self) -> dict[str, str]:
        """Return the environment that tells the Pulumi program of this request."""
        return {**Request.settings(self), surroundings.REPLACED: self.host}


def words(plan: Plan, name: str | None, fault: Fault, *, twice: bool) -> str:
    """Return what the drill would do."""
    return loss(plan, name, twice=twice).words


def loss(plan: Plan, name: str | None, *, twice: bool = False) -> Loss:
    """Return what the loss of the host ``name`` means; InputError when it cannot be tried."""
    if name is None:
        raise InputError(f"name a host; {plan.stack} has {', '.join(plan.host_by_id)}")
    if twice:
        raise InputError("two hosts at once: the plan stores a re-placement for each host alone")
    found = replacement.of(plan, name)
    if strangers := [host.id for host in plan.hosts if host.libvirt != underlay.LAB]:
        raise InputError(f"a host is lost on purpose in the lab only; {', '.join(strangers)} are real")
    effects = impact.impact(plan, "host", name).effects
    post, effect = seen_from(plan, effects)
    return Loss(
        replacement=found,
        post=post,
        stops=effect.state == "stops",
        computed_s=_gap_s(plan, post, effect),
        effects=told(effects),
    )


def _gap_s(plan: Plan, post: Post, effect: Effect) -> float:
    """Return the longest gap that the client sees; behind a replicated database the application comes back after it."""
    waits = effect.gap_s > 0 and _clustered(plan, post)
    return effect.gap_s + (timers.backend_return_s(plan.network.timers) if waits else 0.0)


def seen_from(plan: Plan, effects: Sequence[Effect]) -> tuple[Post, Effect]:
    """Return where the loss is watched from, and what it means there: where the business goes on, if there is any."""
    by_key = {(effect.member, effect.service): effect for effect in effects}
    found = [(post, by_key[post.office.member, post.endpoint.name]) for post in posts(plan)]
    if not found:
        raise InputError(f"{plan.stack}: no office that reaches a business system")
    return min(found, key=lambda pair: pair[1].state == "stops")


def told(effects: Sequence[Effect]) -> tuple[str, ...]:
    """Return in words what each member has of each business afterwards."""
    said = []
    for effect in effects:
        why = "; ".join(reason.text for reason in effect.reasons)
        said.append(f"{effect.member}, {effect.service}: {effect.state.replace('_', ' ')}{': ' if why else ''}{why}")
    return tuple(said)


def _clustered(plan: Plan, post: Post) -> bool:
    return any(post.endpoint in cluster.endpoints for cluster in plan.network.clusters)


def drill(scene: Scene, name: str | None, fault: Fault, *, twice: bool) -> Result:
    """Lose the host, carry out the re-placement, bring the host back, and return to the plan of the lock."""
    what = loss(scene.plan, name, twice=twice)
    host, plan = what.replacement.host, scene.plan
    scene.await_whole(list(scene.plan.node_by_name), "before anything is broken")
    phases: dict[str, float] = {}
    with watching.watch(plan, what.post, scene.authority(what.post), CLIENT_S) as client:
        at, broken = datetime.datetime.now(tz=datetime.UTC), time.monotonic()
        with _lost(scene, what.replacement, phases):
            scene.progress(f"{host} is lost")
            time.sleep(what.computed_s + 2 * LINGER_S)
            with _measured(phases, "machines made anew elsewhere"):
                elsewhere(scene, what.replacement)
            scene.progress("everything runs without it")
            repaired = time.monotonic()
        scene.await_whole(list(scene.plan.node_by_name), "after the repair")
        whole = time.monotonic()
        time.sleep(LINGER_S)
        seen = client.end()
    promise = Promise(
        kind="host",
        subject=host,
        fault=FAULT,
        host=host,
        post=what.post,
        computed_s=None if what.stops else what.computed_s,
        target_s=None,
        connection_survives=False,
        measured="writes" if _clustered(plan, what.post) else "knocks",
    )
    return judging.result(
        scene,
        promise,
        Moments(at=at, broken=broken, repaired=repaired, whole=whole),
        seen,
        took_over=what.replacement.words,
        samples=len(seen.knocks),
        told=[*(f"{phase}: {seconds:.0f} s" for phase, seconds in phases.items()), *what.effects],
    )


@contextlib.contextmanager
def _measured(phases: dict[str, float], phase: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    phases[phase] = round(time.monotonic() - begun, 1)


@contextlib.contextmanager
def _lost(scene: Scene, moved: Replacement, phases: dict[str, float]) -> Iterator[None]:
    """Take the host away; with the block it comes back, and so does everything that ran there."""
    link = (places.namespace(scene.plan.stack, "underlay"), places.interface("u", moved.host))
    try:
        for node in scene.of_host(moved.host):
            scene.kill(node)
        _plug(*link, faults.DISABLED)
        yield
    finally:
        _plug(*link, faults.FORWARDING)
        with _measured(phases, f"everything back on {moved.host}"):
            back(scene, moved)


def _plug(namespace: str, port: str, passing: str) -> None:
    # The port stays up: `lab up` would bring one that is down up again.
    process.run("bridge", "-n", namespace, "link", "set", "dev", port, "state", passing)


def elsewhere(scene: Scene, moved: Replacement) -> None:
    """Make the machines of the lost host anew where the plan has a place for them, and wait until they are whole."""
    plan = replacement.applied(scene.plan, moved)
    request = Elsewhere(stack_file=scene.stack_file, as_of=plan.as_of, lost=frozenset({moved.host}), host=moved.host)
    _bring(scene, plan, request, moved)
    with shell.open_shell(plan, scene.secrets, request.lost) as machines:
        there = dataclasses.replace(scene, plan=plan, shell=machines)
        clusters = [{*cluster.databases, *cluster.voters} for cluster in plan.network.clusters]
        touched = set(moved.moves).union(*(nodes for nodes in clusters if nodes & moved.moves.keys()))
        there.await_whole(sorted(touched), f"without {moved.host}")


def back(scene: Scene, moved: Replacement) -> None:
    """Bring everything back to where the lock has it."""
    _clear(scene, moved)
    request = Request(stack_file=scene.stack_file, as_of=scene.plan.as_of, allow_data_loss=frozenset(moved.moves))
    _bring(scene, scene.plan, request, moved)


def _bring(scene: Scene, plan: Plan, request: Request, moved: Replacement) -> None:
    """Do what a person does: ``lab up``, ``hosts``, ``up``, ``configure`` of what has moved."""
    site = plan.host_by_id[moved.host].site
    operate.up_network(plan)
    applied = apply.apply(plan, views.plan_views(plan, uplinks.load(plan), request.lost))
    apply.require_success(applied)
    up.up_site(plan, site, request, up.Options(), scene.progress)
    if not moved.moves:
        return
    ways: Mapping[str, tuple[str, ...]] = {s: access.station_ssh_args(plan, s, request.lost) for s in plan.sites}
    outcome = runner.configure(plan, scene.secrets, ways, limit=tuple(moved.moves))
    runner.require_success(plan, outcome)


def _clear(scene: Scene, moved: Replacement) -> None:
    """Remove what the host still holds of machines that were made anew elsewhere: nobody may start it again."""
    site = scene.plan.host_by_id[moved.host].site
    request = Request(stack_file=scene.stack_file, as_of=scene.plan.as_of)
    known = state.known(run.open_site(request, scene.plan, site).export())
    made = {one.thing.name for one in known if one.thing.kind == "domain" and one.thing.host != moved.host}
    nodes = {node for node in moved.moves if names.domain(scene.plan.stack, node) in made}
    hypervisor = scene.hosts[moved.host]
    for thing in sorted(hypervisor.marked(), key=lambda one: one.kind != "domain"):
        if _node_of(scene.plan.stack, thing.kind, thing.name) in nodes:
            scene.progress(f"removing what was left behind: {thing}")
            hypervisor.remove(thing)


def _node_of(stack: str, kind: str, name: str) -> str | None:
    """Return whose machine or disk it is."""
    if kind == "domain":
        return name.removeprefix(f"{names.pool(stack)}.")
    mark = names.volume_mark(stack, name) if kind == "volume" else None
    return mark.subject if mark is not None and mark.kind != "image" else None

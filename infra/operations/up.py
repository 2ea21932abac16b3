"""Make it so: checks before the first change, the engine, and a look at what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import infra.plan
from infra.engine.progress import shown
from infra.hosts import access
from infra.image import Image, ensure_image
from infra.operations import (
    capacity,
    changes,
    contact,
    engine_run,
    interrupted,
    lost,
    reconcile,
    run,
    state,
    verify,
    virsh,
)
from infra.operations.run import Progress, Request
from infra.operations.virsh import Hypervisor, Thing
from infra.operations.workspace import Workspace
from infra.plan.model import ROOT_GIB, Plan
from infra.resources import names, surroundings
from infra.secrets import store
from infra.secrets.model import Secrets
from network import errors

SHUTDOWN_S = 120.0
"""How long a machine may take to shut down in good order before its power goes."""
POLL_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to do it."""

    first_contact: bool = True
    """Wait until every machine answers on SSH, then wipe its first-boot disk."""
    shutdown_s: float = SHUTDOWN_S
    contact_s: float = contact.LIMIT_S
    only: frozenset[str] | None = None
    """Nodes that may change; any other change ends the run before the first one. None: all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a run did on one site."""

    site: str
    changes: tuple[changes.Change, ...]
    """Empty when the stack was new: then everything was made."""
    created: bool
    started: tuple[str, ...]
    """Machines that were found stopped."""
    answers: Mapping[str, contact.Answer]
    wiped: tuple[str, ...]
    seconds: Mapping[str, float]
    """Phase → how long it took."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every step of a run on one site needs."""

    plan: Plan
    place: Workspace
    hosts: Mapping[str, Hypervisor]
    request: Request
    options: Options
    progress: Progress

    @property
    def name(self) -> str:
        """The site's id."""
        return self.place.site


class Clock:
    """Measures phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the body of a ``with`` under ``name``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def prepare(request: Request, image: Image | None = None) -> Plan:
    """Return the plan with an image pinned for every machine, after checking that hosts answer and images are there."""
    plan = infra.plan.current(request.stack_file, request.as_of)
    request.check(plan)
    access.require_reachable(plan, [host.id for host in plan.hosts if host.id not in request.lost])
    if any(node.image is None for node in plan.nodes):
        infra.plan.pin_images(request.stack_file, image_for_new(image).id)
        plan = infra.plan.current(request.stack_file, request.as_of)
    for name in sorted({node.image for node in plan.nodes if node.image is not None}):
        require_image(name)
    return plan


def image_for_new(image: Image | None) -> Image:
    """Return what machines are made from: ``image``, kept where the program looks for it, or that of today's recipe."""
    found = image if image is not None else ensure_image(None, shown)
    if found.root_gib > ROOT_GIB:
        raise errors.InputError(f"image {found.id} is {found.root_gib} GiB large; root disks have {ROOT_GIB} GiB")
    surroundings.keep_own(found)
    return found


def require_image(name: str) -> None:
    """Make sure that the image lies on this machine; one that can be built is built."""
    if name.startswith(surroundings.OWN_IMAGE):
        path = surroundings.located(name).root
        if not path.exists():
            raise errors.EnvironmentLackError(f"image {name}: {path} is missing; give it again with --image FILE")
        return
    ensure_image(name, shown)


def up_site(plan: Plan, name: str, request: Request, options: Options, progress: Progress) -> Done:
    """Bring one site to what the plan says."""
    clock = Clock()
    place = run.open_site(request, plan, name)
    hosts = virsh.hypervisors(plan, name, request.lost)
    site = Site(plan=plan, place=place, hosts=hosts, request=request, options=options, progress=progress)
    with clock.phase("checks"):
        virsh.probe_all(hosts)  # before anything is written: a silent host ends it here
        capacity.check_bridges(plan, name, hosts)
        interrupted.clean_up(place, progress)
        place.create()
        deployment, present = run.settle(place, hosts, request, progress)
        gone = sorted(host for host in request.lost if plan.host_by_id[host].site == name)
        if gone:
            lost.set_aside(place, gone, progress)
            deployment = place.export()
        secrets = store.ensure_in(place, plan)
        capacity.check(plan, name, hosts, present, progress)
    fresh = not any(record.get("custom") for record in state.records(deployment))
    planned: tuple[changes.Change, ...] = ()
    if not fresh:
        with clock.phase("preview"):
            # A new stack has nothing to lose, and the engine's own look at it would only cost time.
            planned = run.planned_changes(place, request)
            run.require_allowed(place, planned)
            if options.only is not None:
                run.require_only(place, planned, options.only)
    if fresh or planned:
        with clock.phase("changes"):
            run.unprotect(place, deployment, planned, request.allow_data_loss)
            _change(site, present, planned)
            if request.allow_data_loss or request.reimage:
                run.protect_again(place)
    with clock.phase("check"):
        present = virsh.probe_all(hosts)
        started = start_stopped(site, present)
        require_as_planned(place, verify.check_machines(plan, name, hosts, present))
    answers: Mapping[str, contact.Answer] = {}
    wiped: tuple[str, ...] = ()
    if options.first_contact:
        with clock.phase("contact"):
            touched = None if fresh else {*started, *(change.name for change in planned if change.kind == "node")}
            answers, wiped = _first_contact(site, secrets, present, touched)
    return Done(
        site=name,
        changes=planned,
        created=fresh,
        started=started,
        answers=answers,
        wiped=wiped,
        seconds=clock.seconds,
    )


_STOPPING = (changes.Impact.RESTART, changes.Impact.DELETE, changes.Impact.DATA_LOSS, changes.Impact.DATA_DELETED)


def _change(site: Site, present: Mapping[str, frozenset[Thing]], planned: Sequence[changes.Change]) -> None:
    """Let the engine work; what it leaves half-made is removed, whether it fails now or was killed before."""
    interrupted.write_note(site.place, frozenset().union(*present.values()))
    stopping = [c.name for c in planned if c.kind == "node" and c.impact in _STOPPING]
    shut_down(site.plan.stack, stopping, site.hosts, site.options.shutdown_s, site.progress)
    record = engine_run.up(site.place, site.progress)
    try:
        engine_run.require_success(site.place, record, "the run failed; the next one continues from here")
    except errors.OperationError as e:
        # An object that exists although it did not when the run began belongs to somebody: nothing is cleaned then.
        after = _hands_off(site) if any("already exists" in f.message for f in record.failures) else _cleaned(site)
        raise errors.OperationError("\n".join([str(e), *after])) from None
    interrupted.remove_note(site.place)


def _hands_off(site: Site) -> list[str]:
    interrupted.remove_note(site.place)
    hint = (
        "  something with these names appeared during the run: another kumiai, with another state, is at work on this "
        "stack. Nothing was cleaned up; find out who it is, then run it again"
    )
    return [hint]


def _cleaned(site: Site) -> list[str]:
    """Remove what a failed creation left, and start again what was stopped for a change that did not come.

    Best effort: when a host has died the note stays, and the next run does it.
    """
    try:
        present = virsh.probe_all(site.hosts)
        before = interrupted.read_note(site.place)
        found = reconcile.compare(site.place.stack, site.place.export(), present, before)
        for thing in found.leftover:
            site.progress(f"removing what the failed run left: {thing}")
            site.hosts[thing.host].remove(thing)
        start_stopped(site, virsh.probe_all(site.hosts))
    except errors.KumiaiError as e:
        return [f"  and what is left cannot be told now: {e}"]
    interrupted.remove_note(site.place)
    return []


def shut_down(
    stack: str, nodes: Sequence[str], hosts: Mapping[str, Hypervisor], limit_s: float, progress: Progress
) -> None:
    """Shut machines down in good order, within ``limit_s``; what does not listen is left to the power switch."""
    wanted = {names.domain(stack, node) for node in nodes}
    for hypervisor in hosts.values():
        for domain in sorted(wanted & hypervisor.running()):
            progress(f"shutting down {domain}")
            hypervisor.shut_down(domain)
    deadline = time.monotonic() + limit_s
    while left := sorted(d for hypervisor in hosts.values() for d in wanted & hypervisor.running()):
        if time.monotonic() > deadline:
            progress(f"did not shut down within {limit_s:g} s, so their power goes: {', '.join(left)}")
            return
        time.sleep(POLL_S)


def start_stopped(site: Site, present: Mapping[str, frozenset[Thing]]) -> tuple[str, ...]:
    """Start planned machines that exist and do not run; an interrupted run may have stopped them."""
    started = []
    for host, hypervisor in site.hosts.items():
        running = hypervisor.running()
        for node in site.plan.nodes_on(host):
            name = names.domain(site.plan.stack, node.name)
            if node.site == site.name and Thing(host, "domain", name) in present[host] and name not in running:
                hypervisor.start(name)
                site.progress(f"{node.name} was stopped; started it")
                started.append(node.name)
    return tuple(started)


def require_as_planned(place: Workspace, report: verify.Report) -> None:
    """Raise an error when a machine is not what the plan says."""
    if report.findings:
        listed = "\n".join(f"  {finding}" for finding in report.findings)
        raise errors.OperationError(f"{place.name}: the machines are not as planned:\n{listed}")


def _first_contact(
    site: Site, secrets: Secrets, present: Mapping[str, frozenset[Thing]], changed: Collection[str] | None
) -> tuple[Mapping[str, contact.Answer], tuple[str, ...]]:
    """Wait for the machines that were touched (None: all), and for those whose first-boot disk is not wiped yet."""
    plan, limit_s, progress = site.plan, site.options.contact_s, site.progress
    disks = contact.unwiped(plan, site.name, site.hosts, present)
    due = None if changed is None else {*changed, *disks}
    gone = sorted(site.request.lost)
    answers = contact.wait_ssh(plan, site.name, secrets, only=due, lost=gone, progress=progress, limit_s=limit_s)
    booted = {answer.node for answer in answers.values() if answer.booted}
    wiped = contact.wipe(plan, site.hosts, {node: volumes for node, volumes in disks.items() if node in booted})
    if wiped:
        progress(f"{len(wiped)} first-boot disks wiped")
    contact.require_answers(plan, answers, limit_s)
    late = sorted(answers.keys() - booted)
    if late:
        progress(f"still busy with the first boot, so the next `kumiai up` wipes their disks: {', '.join(late)}")
    return answers, wiped

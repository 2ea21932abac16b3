"""Remove a stack from its hosts: no machine, volume, network, pool or log of it stays."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping

from infra.hosts import access
from infra.operations import engine_run, interrupted, lost, reconcile, run, state, virsh
from infra.operations.run import Progress, Request
from infra.operations.virsh import Thing
from infra.operations.workspace import Workspace
from infra.plan.model import Plan
from infra.resources import domain_xml, names
from infra.resources.components import ANY_NODE
from network import errors


def stateful_nodes(things: Collection[Thing], stack: str) -> tuple[str, ...]:
    """Return the nodes that have a data volume on a host."""
    marks = (names.volume_mark(stack, thing.name) for thing in things if thing.kind == "volume")
    return tuple(sorted({mark.subject for mark in marks if mark is not None and mark.kind == "data"}))


def require_allowed(plan: Plan, site: str, stateful: Collection[str], allowed: Collection[str]) -> None:
    """Raise an error that names every node whose data would be lost without permission."""
    refused = [] if ANY_NODE in allowed else sorted(set(stateful) - set(allowed))
    if refused:
        flags = " ".join(f"--allow-data-loss {node}" for node in refused)
        raise errors.OperationError(
            f"{plan.stack}.{site}: refused, since the data of {', '.join(refused)} would be deleted. "
            "Nothing was touched. "
            f"To accept the loss: {flags}, or --allow-data-loss all"
        )


def destroy_site(plan: Plan, site: str, request: Request, progress: Progress) -> tuple[Thing, ...]:
    """Remove everything of the stack on ``site``; return what the engine did not know and was removed as well.

    The keys in the stack's configuration stay: a stack that is made again has the same ones.
    """
    place = run.open_site(request, plan, site)
    hosts = virsh.hypervisors(plan, site, request.lost)
    present = virsh.probe_all(hosts)
    interrupted.clean_up(place, progress)
    everything = frozenset().union(*present.values())
    require_allowed(plan, site, stateful_nodes(everything, plan.stack), request.allow_data_loss)
    if place.exists:
        _align(place, hosts, progress)
        record = engine_run.destroy(place, progress)
        engine_run.require_success(place, record, "not everything could be removed; run it again")
        place.run("stack", "rm", "--yes", "--preserve-config", "--stack", place.name)
    left = _remove((thing for things in virsh.probe_all(hosts).values() for thing in things), hosts, progress)
    for host in hosts:
        remove_logs(plan, host)
    interrupted.remove_note(place)
    shutil.rmtree(lost.folder(place), ignore_errors=True)
    still = [str(thing) for things in virsh.probe_all(hosts).values() for thing in things]
    if still:
        listed = "\n".join(f"  {text}" for text in still)
        raise errors.OperationError(f"{place.name}: still there after everything was removed:\n{listed}")
    return left


def _align(place: Workspace, hosts: Mapping[str, virsh.Hypervisor], progress: Progress) -> None:
    """Make state and hosts agree before the engine begins.

    The provider cannot delete a machine that it cannot find, nor a pool that holds a volume it does not know of.
    """
    lost.put_back(place, [host for host in lost.hosts_aside(place) if host in hosts], progress)
    deployment = place.export()
    found = reconcile.compare(place.stack, deployment, virsh.probe_all(hosts), None)
    unknown = (*found.leftover, *found.foreign)
    _remove((thing for thing in unknown if thing.kind in ("domain", "volume")), hosts, progress)
    if found.forget or found.stale_operations:
        place.replace_state(state.drop_urns(deployment, set(found.forget)))


def _remove(things: Iterable[Thing], hosts: Mapping[str, virsh.Hypervisor], progress: Progress) -> tuple[Thing, ...]:
    """Remove ``things``, which the state does not know, and return them in the order of their removal."""
    unknown = reconcile.in_removal_order(things)
    for thing in unknown:
        progress(f"removing what the state did not know: {thing}")
        hosts[thing.host].remove(thing)
    return unknown


def remove_logs(plan: Plan, host: str) -> None:
    """Remove the logs that libvirt keeps of the stack's machines."""
    folder, pattern = domain_xml.CONSOLE_LOG_FOLDER, f"{names.pool(plan.stack)}.*.log*"
    access.run_on(plan, host, "find", folder, "-maxdepth", "1", "-type", "f", "-name", pattern, "-delete")

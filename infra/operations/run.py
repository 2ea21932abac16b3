"""What all operations on a stack begin with: the plan's site, the Pulumi stack, the hosts, and an agreed state."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Collection, Mapping

from infra.operations import changes, engine_run, interrupted, lost, reconcile, state, virsh, workspace
from infra.operations.virsh import Hypervisor, Thing
from infra.operations.workspace import Deployment, Workspace
from infra.plan.model import Plan
from infra.resources import names, surroundings
from infra.resources.components import ANY_NODE
from network import errors

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked for."""

    stack_file: pathlib.Path
    as_of: datetime.date
    allow_data_loss: frozenset[str] = frozenset()
    """Node names; ``*`` means all."""
    lost: frozenset[str] = frozenset()
    """Hosts that are dead and left out."""
    reimage: frozenset[str] = frozenset()
    """Nodes whose root disks may be made anew; their data volumes stay protected."""

    def check(self, plan: Plan) -> None:
        """Raise InputError for a node or a host that does not exist: a typing error must not mean "nothing"."""
        strangers = sorted(self.lost - plan.host_by_id.keys())
        if strangers:
            known = ", ".join(sorted(plan.host_by_id))
            raise errors.InputError(f"--lost {', '.join(strangers)}: no such host in {plan.stack}; hosts: {known}")

    def settings(self) -> dict[str, str]:
        """Return the environment that tells the Pulumi program of this request."""
        return {
            surroundings.STACK_FILE: str(self.stack_file.resolve()),
            surroundings.AS_OF: self.as_of.isoformat(),
            surroundings.ALLOW_DATA_LOSS: ",".join(sorted(self.allow_data_loss)),
            surroundings.LOST: ",".join(sorted(self.lost)),
            surroundings.REIMAGE: ",".join(sorted(self.reimage)),
        }


def open_site(request: Request, plan: Plan, site: str, extra: Mapping[str, str] | None = None) -> Workspace:
    """Return the Pulumi stack of ``plan`` on ``site``."""
    return workspace.open_workspace(plan.stack, site, {**request.settings(), **(extra or {})})


def settle(
    place: Workspace, hosts: Mapping[str, Hypervisor], request: Request, progress: Progress
) -> tuple[Deployment, Mapping[str, frozenset[Thing]]]:
    """Bring state and hosts to agreement before the first change; return both.

    Clears what an interrupted run left: its lock, its half-made objects, its half-written operations. Touches nothing
    that carries no mark, and refuses what carries one and cannot be explained.
    """
    present = virsh.probe_all(hosts)
    lost.put_back(place, [host for host in lost.hosts_aside(place) if host in hosts], progress)
    deployment = place.export()
    found = reconcile.compare(place.stack, deployment, present, interrupted.read_note(place))
    require_explained(place, found, {*request.allow_data_loss, *half_made(place.stack, found, request.reimage)})
    if found.clean:
        return deployment, present
    for thing in found.leftover:
        progress(f"removing what an interrupted run left: {thing}")
        hosts[thing.host].remove(thing)
    if found.forget or found.stale_operations:
        for urn in found.forget:
            progress(f"no longer there, to be made again: {urn.rsplit('::', 1)[-1]}")
        forget = set(found.forget)
        place.replace_state(state.drop_urns(deployment, forget))
        deployment = place.export()
    return deployment, virsh.probe_all(hosts)


def half_made(stack: str, found: reconcile.Differences, reimaged: Collection[str]) -> frozenset[str]:
    """Return the ``reimaged`` nodes of which nothing but the root disk is gone: an interrupted run had removed it."""
    marks = {node: [names.volume_mark(stack, name) for name in gone] for node, gone in found.lost_data.items()}
    return frozenset(
        node
        for node, gone in marks.items()
        if node in reimaged and all(mark is not None and mark.kind == "root" for mark in gone)
    )


def require_explained(place: Workspace, found: reconcile.Differences, allowed: Collection[str]) -> None:
    """Raise an error for objects that nobody can explain and for data that vanished."""
    if found.foreign:
        listed = "\n".join(f"  {thing}" for thing in found.foreign)
        raise errors.OperationError(
            f"{place.name}: these carry the mark of this stack, but its state does not know them:\n{listed}\n"
            "Nothing was touched. Either the state is in another back end (see PULUMI_BACKEND_URL), or remove them by "
            "hand after looking at what they hold"
        )
    vanished = {node: volumes for node, volumes in found.lost_data.items() if not {node, ANY_NODE} & set(allowed)}
    if vanished:
        listed = "\n".join(f"  {node}: {', '.join(volumes)}" for node, volumes in sorted(vanished.items()))
        flags = " ".join(f"--allow-data-loss {node}" for node in sorted(vanished))
        raise errors.OperationError(
            f"{place.name}: volumes are gone from their hosts:\n{listed}\n"
            f"Nothing was touched. Bring them back, or have them made again, empty: {flags}"
        )


def require_allowed(place: Workspace, planned: Collection[changes.Change]) -> None:
    """Raise an error that names every node that would lose data without permission."""
    refused = [change for change in planned if change.refused]
    if not refused:
        return
    listed = "\n".join(f"  {c.name}: {c.impact.words} ({'; '.join(c.reasons)})" for c in refused)
    flags = " ".join(f"--allow-data-loss {change.name}" for change in refused)
    raise errors.OperationError(
        f"{place.name}: refused, since data would be lost:\n{listed}\nNothing was touched. To accept the loss: {flags}"
    )


def require_only(place: Workspace, planned: Collection[changes.Change], nodes: Collection[str]) -> None:
    """Raise an error when a machine besides ``nodes``, or a segment, would change; guest images on hosts may."""
    more = [c for c in planned if c.kind != "host" and (c.kind, c.name) not in {("node", node) for node in nodes}]
    if more:
        listed = "\n".join(f"  {c.kind} {c.name}: {c.words}" for c in more)
        raise errors.OperationError(
            f"{place.name}: other changes are waiting:\n{listed}\nNothing of this was touched; first: "
            f"kumiai up {place.stack}"
        )


def unprotect(
    place: Workspace,
    deployment: Deployment,
    planned: Collection[changes.Change],
    allowed: Collection[str],
) -> None:
    """Take the protection off the volumes that this run is allowed to replace or delete, and off no others.

    Of nodes that are not ``allowed`` to lose data, only the root disk is.
    """
    losing = {change.name for change in planned if change.impact >= changes.Impact.DATA_LOSS and not change.refused}
    data = losing if ANY_NODE in allowed else losing & set(allowed)
    urns = [
        record["urn"]
        for record in state.records(deployment)
        if record.get("protect")
        and (node := changes.node_of(record["urn"])) in losing
        and (node in data or changes.part_of(record["urn"]) == "root")
    ]
    if urns:
        place.run("state", "unprotect", "--yes", "--stack", place.name, *urns)


def protect_again(place: Workspace) -> None:
    """Protect the volumes of all nodes in the state: those that a run was allowed to replace are new and have data."""
    urns = [
        record["urn"]
        for record in state.records(place.export())
        if record.get("custom")
        and not record.get("protect")
        and changes.node_of(record["urn"]) is not None
        and changes.part_of(record["urn"]) in ("root", "data")
    ]
    if urns:
        place.run("state", "protect", "--yes", "--stack", place.name, *urns)


def planned_changes(place: Workspace, request: Request) -> tuple[changes.Change, ...]:
    """Ask the engine, and return what would happen to each machine, segment and host."""
    record = engine_run.preview(place)
    engine_run.require_success(place, record, "the preview failed")
    return changes.classify(record.steps, request.allow_data_loss, request.reimage)

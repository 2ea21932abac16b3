"""What ``up`` would do. Changes nothing: no state, no host, no key."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from infra.operations import changes, engine_run, run, state, virsh
from infra.operations.run import Request
from infra.plan.model import Plan
from infra.resources import surroundings
from network import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The changes of one site."""

    changes: tuple[changes.Change, ...]
    notes: tuple[str, ...]
    """What could not be looked at."""


def preview_site(plan: Plan, site: str, request: Request) -> Preview:
    """Return what ``up`` would do on ``site``.

    Of a host that does not answer, the preview tells what the declaration changes, not what the host really holds.
    """
    silent = silent_hosts(plan, site, request)
    settings = {surroundings.SILENT: ",".join(sorted(silent))}
    place = run.open_site(request, plan, site, settings)
    place.create()
    record = engine_run.preview(place)
    engine_run.require_success(place, record, "the preview failed")
    notes = tuple(f"{cause}; what it holds was not compared" for cause in silent.values())
    return Preview(
        changes=changes.classify(believable(record, silent), request.allow_data_loss, request.reimage), notes=notes
    )


def believable(record: engine_run.Record, silent: Collection[str]) -> list[changes.Step]:
    """Return the steps of a preview without what the engine only guesses.

    It cannot ask the provider of a silent host, and so calls everything there an update, the connection itself
    included. What is made or removed there is true.
    """
    return [
        step
        for step in record.steps
        if step.operation in ("create", "delete")
        or not {record.hosts.get(step.urn), state.resource_name(step.urn)} & set(silent)
    ]


def silent_hosts(plan: Plan, site: str, request: Request) -> dict[str, str]:
    """Return the hosts of ``site`` that do not answer, each with the cause."""
    hosts = virsh.hypervisors(plan, site, request.lost)

    def cause(hypervisor: virsh.Hypervisor) -> str | None:
        try:
            hypervisor.call("version", timeout_s=virsh.PROBE_TIMEOUT_S)
        except errors.EnvironmentLackError as e:
            return str(e)
        return None

    with ThreadPoolExecutor(max_workers=8) as pool:
        causes = pool.map(cause, hosts.values())
        return {name: text for name, text in zip(hosts, causes, strict=True) if text is not None}

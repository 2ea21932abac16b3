"""Bring every hypervisor to its planned network: ``kumiai hosts STACK``."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Mapping

from infra import process
from infra.hosts import access, playbook
from infra.lab.underlay import LAB
from infra.plan.model import Plan
from network.errors import OperationError
from network.render import hypervisor
from network.render.hypervisor import HostView

SCRIPT_S = 300


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of one host."""

    host: str
    changes: tuple[str, ...]
    """One line per change; none when everything was in place."""
    error: str | None = None


def apply(plan: Plan, views: Mapping[str, HostView]) -> tuple[Applied, ...]:
    """Apply ``views`` to their hosts and return what changed, host by host; one that fails does not stop the others.

    Raises EnvironmentLackError before the first change when a host cannot be reached.
    """
    access.require_reachable(plan, list(views))
    scripts = {host: hypervisor.render(view) for host, view in views.items()}
    simulated = {host: text for host, text in scripts.items() if plan.host_by_id[host].libvirt == LAB}
    real = {host: text for host, text in scripts.items() if host not in simulated}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        applied = list(pool.map(lambda host: _run(plan, host, simulated[host]), simulated))
    if real:
        applied += [Applied(host=o.host, changes=o.changes, error=o.error) for o in playbook.play(plan, real)]
    return tuple(sorted(applied, key=lambda one: list(views).index(one.host)))


def require_success(applied: tuple[Applied, ...]) -> None:
    """Raise OperationError that names every host on which the script failed, and why."""
    failed = [f"host {one.host}: {one.error}" for one in applied if one.error is not None]
    if failed:
        raise OperationError("\n".join(failed))


def _run(plan: Plan, host: str, script: str) -> Applied:
    try:
        printed = access.run_on(plan, host, "sh", "-s", stdin=script, timeout_s=SCRIPT_S)
    except process.CommandError as e:
        return Applied(host=host, changes=(), error=e.stderr.strip() or str(e))
    return Applied(host=host, changes=tuple(printed.splitlines()))

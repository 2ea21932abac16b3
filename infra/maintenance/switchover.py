"""Hand a replicated database over to its standby, as planned work does: no write is lost, and it takes seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Protocol

from infra.plan.model import Plan
from infra.process import Completed
from infra.status import look
from infra.status.database import Role
from network.errors import InputError, OperationError
from network.model import Cluster, NetworkPlan

LIMIT_S = 120.0
"""How long until primary and standby have to be whole again; a handover itself takes seconds."""
PRIMARY: Role = "primary"
STANDBY: Role = "synchronous standby"
CTL = ("runuser", "-u", "postgres", "--", "patronictl", "-c", "/etc/kumiai/database/patroni.yml")
"""patronictl (Patroni 3 and 4)."""


class Machines(Protocol):
    """Runs commands as root on nodes; `infra.operations.shell.Shell` does."""

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Return the command's stdout; OperationError when it fails or the node does not answer."""

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        """Return how the command ended."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What a handover has done."""

    cluster: str
    before: str
    after: str


def find(network: NetworkPlan, name: str) -> Cluster:
    """Return the replicated database of ``name``: an endpoint such as ``juki`` or ``zaimu-nishiki``."""
    for cluster in network.clusters:
        if name in {endpoint.name for endpoint in cluster.endpoints}:
            return cluster
    known = [endpoint.name for cluster in network.clusters for endpoint in cluster.endpoints]
    told = f"replicated databases are {', '.join(known)}" if known else "the stack has no replicated database"
    raise InputError(f"{name}: no service with a replicated database; {told}")


def switchover(
    plan: Plan,
    machines: Machines,
    cluster: Cluster,
    to: str | None = None,
    *,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Switched:
    """Make ``to``, or the standby that has every write, the primary, and wait until there is a standby again.

    Raises OperationError when there is no such standby, or the handover did not take place in `LIMIT_S`.
    """
    if to is not None and to not in cluster.databases:
        raise InputError(f"{to}: no database node of {cluster.name}; they are {', '.join(cluster.databases)}")
    roles = _roles(plan, machines, cluster)
    before = next((node for node, role in roles.items() if role == PRIMARY), None)
    ready = [node for node, role in roles.items() if role == STANDBY]
    if before is None:
        raise OperationError(f"{cluster.server_name}: no primary; a handover needs one, see `kumiai status`")
    if to == before:
        return Switched(cluster=cluster.name, before=before, after=before)
    if not ready or (to is not None and to not in ready):
        who = f"{to} does not have" if to else "no standby has"
        raise OperationError(
            f"{cluster.server_name}: {who} every write of {before} now; wait until its copy is complete"
        )
    after = to or ready[0]
    said = machines.run(before, *CTL, "switchover", "--candidate", after, "--force", cluster.name, timeout_s=LIMIT_S)
    end = clock() + LIMIT_S
    while True:
        roles = _roles(plan, machines, cluster)
        if roles.get(after) == PRIMARY and STANDBY in roles.values():
            return Switched(cluster=cluster.name, before=before, after=after)
        if clock() > end:
            last = (said.strip().splitlines() or ["Patroni gave no reason"])[0]
            raise OperationError(f"{cluster.server_name}: {after} is not the primary with a standby: {last}")
        wait(1.0)


def _roles(plan: Plan, machines: Machines, cluster: Cluster) -> dict[str, Role]:
    """Return node → role, as the servers say it themselves."""
    return {member.node: member.role for member in look.replicated(plan, machines, cluster).members}

"""Hand a replicated database over to its standby, as planned work does: no write is lost, and it takes seconds."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from network.errors import InputError, OperationError
from network.model import Cluster, NetworkPlan

LIMIT_S = 120.0
"""How long until primary and standby have to be whole again; a handover itself takes seconds."""
LEADER, STANDBY = "Leader", "Sync Standby"
CTL = ("runuser", "-u", "postgres", "--", "patronictl", "-c", "/etc/kumiai/database/patroni.yml")
"""patronictl (Patroni 3 and 4)."""


class Machines(Protocol):
    """Runs commands as root on nodes; `infra.operations.shell.Shell` does."""

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Return the command's stdout; OperationError when it fails or the node does not answer."""


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
    roles = _roles(machines, cluster)
    before = next((node for node, role in roles.items() if role == LEADER), None)
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
        try:
            roles = _roles(machines, cluster)
        except OperationError as error:
            said = str(error)
            roles = {}
        if roles.get(after) == LEADER and STANDBY in roles.values():
            return Switched(cluster=cluster.name, before=before, after=after)
        if clock() > end:
            last = (said.strip().splitlines() or ["Patroni gave no reason"])[0]
            raise OperationError(f"{cluster.server_name}: {after} is not the primary with a standby: {last}")
        wait(1.0)


def _roles(machines: Machines, cluster: Cluster) -> Mapping[str, str]:
    """Return node → role as the first database node that answers knows it."""
    failure: OperationError | None = None
    for node in cluster.databases:
        try:
            listed = json.loads(machines.run(node, *CTL, "list", "--format", "json", cluster.name))
            return {entry["Member"]: entry["Role"] for entry in listed}
        except OperationError as error:
            failure = error
    raise failure or OperationError(f"{cluster.server_name}: has no database nodes")

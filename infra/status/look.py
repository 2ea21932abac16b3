"""Asks all machines at once."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent import futures
from ipaddress import IPv4Address
from typing import Any, Protocol

from infra.configure import cluster
from infra.configure.services import services
from infra.operations.shell import python
from infra.plan.model import Plan
from infra.process import Completed
from infra.status import database, model, on_node
from infra.status.database import ClusterStatus
from infra.status.model import Answer, Asked, Behind, Status
from network import flows
from network.errors import OperationError
from network.model import Cluster
from network.ports import PortRange

PROGRAM = pathlib.Path(on_node.__file__)
LIMIT_S = 45.0
AT_ONCE = 16
LOOK_S = 1.0
REST = 3
"""How many times as long as the machines took to answer they are left alone: a slow one has its own work to finish."""
WHOLE_S = 600.0
"""How long machines that run commands may take until they serve and their copies are complete: an emulated database
that is cloned anew takes minutes."""


class Machines(Protocol):
    """Runs commands as root on nodes; `infra.operations.shell.Shell` does."""

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        """Return how the command ended."""


def questions(plan: Plan, only: Collection[str] | None = None) -> tuple[Asked, ...]:
    """Return what the machines of ``plan``, or ``only`` some of them, are asked; renders the plan, so ask it once."""
    return tuple(q for q in model.asked(plan.network, services(plan)) if only is None or q.node in only)


def look(plan: Plan, shell: Machines, questions: Sequence[Asked]) -> Status:
    """Return what the machines answer now; silence is a finding."""
    with futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = list(pool.map(lambda question: _ask(shell, question), questions))
    found: Mapping[str, Answer | None] = dict(zip((q.node for q in questions), answers, strict=True))
    return model.judge(plan.network, questions, found)


def await_whole(
    plan: Plan,
    shell: Machines,
    questions: Sequence[Asked],
    what: str = "not whole",
    *,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Status:
    """Wait until everything that is asked is whole; OperationError that says ``what`` and names what is missing."""
    end, begun = clock() + WHOLE_S, clock()
    while (found := look(plan, shell, questions)).findings:
        if clock() > end:
            listed = "\n".join(f"  {finding}" for finding in found.findings)
            raise OperationError(f"{what} after {WHOLE_S:g} s:\n{listed}")
        wait(max(LOOK_S, REST * (clock() - begun)))  # a machine far away sends no event
        begun = clock()
    return found


def replicated(plan: Plan, shell: Machines, which: Cluster) -> ClusterStatus:
    """Return what the servers and voters of one replicated database answer now."""
    part = {*which.databases, *which.voters}
    asked = [question for question in model.asked(plan.network, {}) if question.node in part]
    return next(found for found in look(plan, shell, asked).clusters if found.name == which.server_name)


def _ask(shell: Machines, question: Asked) -> Answer | None:
    orders = {
        "units": question.units,
        "addresses": question.addresses,
        "sessions": bool(question.peers),
        "balances": bool(question.backends or question.follows),
        "server": _way(question.server, flows.PATRONI, cluster.DATABASE_TLS),
        "voter": _way(question.voter, flows.VOTING, cluster.VOTER_TLS),
    }
    program = python(PROGRAM.read_text(encoding="utf-8"))
    done = shell.probe(question.node, *program, stdin=json.dumps(orders), timeout_s=LIMIT_S)
    if not done.ok:
        return None
    said = json.loads(done.stdout)
    return answer(question.node, said)


def answer(node: str, said: Mapping[str, Any]) -> Answer:
    """Return what the program on ``node`` said."""
    return Answer(
        node=node,
        units=said["units"],
        held=tuple(said["held"]),
        sessions=said["sessions"],
        backends={
            backend: {server: Behind(**about) for server, about in servers.items()}
            for backend, servers in said["backends"].items()
        },
        server=database.server(said["server"]),
        voter=database.voter(said["voter"]),
    )


def _way(address: IPv4Address | None, port: PortRange, folder: str) -> Mapping[str, str] | None:
    if address is None:
        return None
    return {
        "url": f"https://{address}:{port.first}",
        "authority": f"{folder}/authority.pem",
        "certificate": f"{folder}/node.pem",
        "key": f"{folder}/node.key",
    }

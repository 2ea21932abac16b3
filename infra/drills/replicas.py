"""The servers and voters of a replicated database, asked on the machines: roles, lag, timelines, votes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from infra import process
from infra.configure import cluster as rendered
from infra.operations.shell import python
from infra.operations.switchover import CTL, LEADER, STANDBY
from network import flows
from network.errors import OperationError
from network.model import Cluster, NetworkPlan

LOOK_S = 1.0
WHOLE_S = 600.0
"""How long until a server that comes back has everything again; an emulated one that is cloned anew takes minutes."""
RUNNING = {"running", "streaming"}

# On a machine, as the account postgres: for each line of stdin, 1 when its PostgreSQL takes writes. One that stands
# still never answers, and libpq would wait for it without end.
WRITABLE = """\
import select, sys, time
import psycopg2, psycopg2.extensions as e
def wait(connection):
    end = time.monotonic() + 1
    while (state := connection.poll()) != e.POLL_OK:
        r, w = ([connection], []) if state == e.POLL_READ else ([], [connection])
        if not any(select.select(r, w, [], max(0, end - time.monotonic()))):
            raise psycopg2.OperationalError("silent")
e.set_wait_callback(wait)
kept = None
for _ in sys.stdin:
    try:
        if kept is None:
            kept = psycopg2.connect(host="/run/postgresql", user="postgres", dbname="postgres")
            kept.autocommit = True
        cursor = kept.cursor()
        cursor.execute("SELECT NOT pg_is_in_recovery()")
        print(int(cursor.fetchone()[0]), flush=True)
    except psycopg2.Error:
        kept = None
        print(0, flush=True)
"""
# The same for what load balancers ask: 1 when its Patroni says that it is the primary.
LEADING = """\
import http.client, ssl, sys
context = ssl._create_unverified_context()
for _ in sys.stdin:
    try:
        asked = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=1, context=context)
        asked.request("OPTIONS", "/primary")
        print(int(asked.getresponse().status == 200), flush=True)
        asked.close()
    except (OSError, http.client.HTTPException):
        print(0, flush=True)
"""


class Machines(Protocol):
    """Runs commands as root on nodes; `infra.operations.shell.Shell` does."""

    def argv(self, node: str, *command: str) -> tuple[str, ...]:
        """Return the arguments of a process here that runs ``command`` on ``node``."""

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> process.Completed:
        """Run ``command`` on ``node`` and return how it ended."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One database server, as Patroni lists it."""

    node: str
    role: str
    state: str
    timeline: int | None
    lag_mib: int | None
    """What it has not received yet; None for the primary, and for one that does not say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """A replicated database, at one moment."""

    cluster: Cluster
    servers: tuple[Server, ...]
    """Empty when no server answered."""
    votes: frozenset[str]
    """Voters that are healthy and whose vote counts."""

    @property
    def primary(self) -> Server | None:
        """The server with the lock."""
        return next((server for server in self.servers if server.role == LEADER), None)

    @property
    def timelines(self) -> tuple[int, ...]:
        """The timelines of all servers, each once; more than one when they are not one history."""
        return tuple(sorted({server.timeline for server in self.servers if server.timeline is not None}))

    def missing(self) -> list[str]:
        """Return in words what is missing to the whole redundancy; empty when nothing is."""
        by_node = {server.node: server for server in self.servers}
        said = [f"{node}: not among the servers" for node in self.cluster.databases if node not in by_node]
        if self.servers and self.primary is None:
            said.append("no server is the primary")
        for server in self.servers:
            if server.state not in RUNNING:
                said.append(f"{server.node}: {server.role}, {server.state}")
            elif server.role not in (LEADER, STANDBY):
                said.append(f"{server.node}: {server.role}, commits do not wait for it")
            elif server.role != LEADER and server.lag_mib != 0:
                said.append(f"{server.node}: lag {'unknown' if server.lag_mib is None else f'{server.lag_mib} MiB'}")
        if len(self.timelines) > 1:
            said.append(f"servers on different timelines: {', '.join(map(str, self.timelines))}")
        said += [f"{node}: no vote" for node in self.cluster.voters if node not in self.votes]
        return said


def look(machines: Machines, network: NetworkPlan, cluster: Cluster) -> Replicas:
    """Return what the first server and the first voter that answer know."""
    return Replicas(
        cluster=cluster, servers=_servers(machines, cluster), votes=frozenset(_votes(machines, network, cluster))
    )


def await_whole(
    machines: Machines,
    network: NetworkPlan,
    cluster: Cluster,
    when: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Replicas:
    """Wait until all servers and votes are there; OperationError that names what is missing after `WHOLE_S`."""
    end = clock() + WHOLE_S
    while missing := (found := look(machines, network, cluster)).missing():
        if clock() > end:
            raise OperationError(
                f"{cluster.server_name} is not whole {when}, after {WHOLE_S:g} s: {'; '.join(missing)}"
            )
        wait(LOOK_S)  # a machine far away sends no event
    return found


def writable(machines: Machines, cluster: Cluster) -> Mapping[str, Sequence[str]]:
    """Return what to ask each server for `holding.asking`: does its PostgreSQL take writes?"""
    account = ("runuser", "-u", "postgres", "--")
    return {node: machines.argv(node, *account, "python3", "-I", "-c", WRITABLE) for node in cluster.databases}


def leading(machines: Machines, network: NetworkPlan, cluster: Cluster) -> Mapping[str, Sequence[str]]:
    """Return what to ask each server for `holding.asking`: would load balancers lead to it?"""
    return {
        node: machines.argv(node, *python(LEADING, _address(network, cluster, node), str(flows.PATRONI.first)))
        for node in cluster.databases
    }


def _servers(machines: Machines, cluster: Cluster) -> tuple[Server, ...]:
    for node in cluster.databases:
        done = machines.probe(node, *CTL, "list", "--format", "json", cluster.name)
        if done.ok:
            return tuple(_server(entry) for entry in json.loads(done.stdout))
    return ()


def _server(entry: Mapping[str, Any]) -> Server:
    # Patroni 4.1 splits the lag in two.
    lag = next((entry[key] for key in ("Lag in MB", "Receive Lag") if key in entry), None)
    return Server(
        node=entry["Member"],
        role=entry["Role"],
        state=entry["State"],
        timeline=entry["TL"] if isinstance(entry.get("TL"), int) else None,
        lag_mib=lag if isinstance(lag, int) else None,
    )


def _votes(machines: Machines, network: NetworkPlan, cluster: Cluster) -> Sequence[str]:
    """Return the voters that are healthy and no learners, as the first voter that answers knows it."""
    tls = rendered.VOTER_TLS
    asked = {f"https://{_address(network, cluster, node)}:{flows.VOTING.first}": node for node in cluster.voters}
    for node in cluster.voters:
        ctl = (
            "env", "ETCDCTL_API=3", "etcdctl", f"--cacert={tls}/authority.pem", f"--cert={tls}/node.pem",
            f"--key={tls}/node.key", f"--endpoints={','.join(asked)}", "--command-timeout=5s", "--write-out=json",
        )  # fmt: skip
        listed = machines.probe(node, *ctl, "member", "list")
        if not listed.ok:
            continue
        members = json.loads(listed.stdout)["members"]
        voting = {url for member in members if not member.get("isLearner") for url in member.get("clientURLs", ())}
        health = machines.probe(node, *ctl, "endpoint", "health")  # says 1 when one of them is not healthy
        healthy = {one["endpoint"] for one in json.loads(health.stdout or "[]") if one["health"]}
        return [asked[url] for url in asked if url in voting and url in healthy]
    return ()


def _address(network: NetworkPlan, cluster: Cluster, node: str) -> str:
    return str(network.node_by_name[node].interface(cluster.segment).address.ip)

"""What the servers of a replicated database are asked all the time: which of them takes writes, which one leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from infra.operations.shell import python
from network import flows
from network.model import Cluster, NetworkPlan

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


def _address(network: NetworkPlan, cluster: Cluster, node: str) -> str:
    return str(network.node_by_name[node].interface(cluster.segment).address.ip)

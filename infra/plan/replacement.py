"""After the loss of a host: the plan in which its machines run where the stored re-placement puts them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from infra.plan.model import Node, Plan
from network import flows
from network.errors import InputError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What becomes of the machines of a lost host."""

    host: str
    moves: Mapping[str, str]
    """Node → the host on which it is made anew: what it kept, others have too, or it kept nothing."""
    stays: tuple[str, ...]
    """Nodes whose only data lies on the lost host: they wait for it, or for a restored backup."""

    @property
    def words(self) -> str:
        """In words."""
        moved = ", ".join(f"{node} → {host}" for node, host in self.moves.items()) or "nothing runs there"
        waits = f"; {', '.join(self.stays)} waits for its data" if self.stays else ""
        return f"{moved}{waits}"


def of(plan: Plan, host: str) -> Replacement:
    """Return the re-placement that the plan has stored for the loss of ``host``.

    InputError for a host that does not exist, or whose loss the plan does not survive.
    """
    if host not in plan.host_by_id:
        raise InputError(f"{host}: no such host; {plan.stack} has {', '.join(plan.host_by_id)}")
    stored = next((survival for survival in plan.survives if survival.lost == (host,)), None)
    if stored is not None and not stored.possible:
        raise InputError(f"{host}: the plan has no place for its machines elsewhere: {stored.reason}")
    there = plan.nodes_on(host)
    stays = tuple(node.name for node in there if not remade(plan, node))
    moves = {} if stored is None else {node.name: stored.moves[node.name] for node in there if node.name not in stays}
    return Replacement(host=host, moves=moves, stays=stays)


def remade(plan: Plan, node: Node) -> bool:
    """Say whether ``node`` can be made anew without the disks that it had: it has no data, or others have all of it.

    Only databases keep what nobody can make again, and one of several servers copies it from the others. A voter joins
    the others anew.
    """
    network = plan.network
    keep = {name for endpoint in network.endpoints for name in flows.database_nodes(endpoint)}
    copied = {name for cluster in network.clusters for name in cluster.databases}
    return node.name not in keep or node.name in copied


def applied(plan: Plan, replacement: Replacement) -> Plan:
    """Return ``plan`` with the moved machines on their new hosts; nothing else differs."""
    nodes = tuple(dataclasses.replace(node, host=replacement.moves.get(node.name, node.host)) for node in plan.nodes)
    hosts = []
    for host in plan.hosts:
        here = [node for node in nodes if node.host == host.id]
        hosts.append(
            dataclasses.replace(
                host,
                vcpus_used=sum(node.vcpus for node in here),
                memory_mib_used=sum(node.memory_mib for node in here),
                storage_gib_used=sum(node.disk_gib for node in here),
            )
        )
    return dataclasses.replace(plan, nodes=nodes, hosts=tuple(hosts))

"""Which machines may be taken out together, and what stops when some are. Pure, from the plan alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from infra.plan.impact import Kind, impact
from infra.plan.model import Plan
from network.errors import InputError

Groups = tuple[tuple[str, ...], ...]


def nodes_of(plan: Plan, host: str) -> tuple[str, ...]:
    """Return the machines on ``host``; InputError when there is no such host, or nothing on it."""
    if host not in plan.host_by_id:
        raise InputError(f"{host}: no such host in {plan.stack}; hosts: {', '.join(plan.host_by_id)}")
    found = tuple(node.name for node in plan.nodes_on(host))
    if not found:
        raise InputError(f"{host}: the plan puts no machine of {plan.stack} on it, so nothing has to be drained")
    return found


def partners(plan: Plan, nodes: Collection[str]) -> tuple[str, ...]:
    """Return the machines that stand in for ``nodes``: all others of their sets of replicas, in plan order."""
    sets = {name for node in nodes for name in plan.node_by_name[node].replica_sets}
    return tuple(node.name for node in plan.nodes if node.name not in nodes and sets & set(node.replica_sets))


def concerned(plan: Plan, nodes: Collection[str]) -> tuple[str, ...]:
    """Return the machines that are looked at before ``nodes`` go: themselves, their partners, and their entries."""
    entries = {entry for node in nodes for one in plan.network.endpoint_of_node(node) for entry in one.entry}
    wanted = {*nodes, *partners(plan, nodes), *entries}
    return tuple(node.name for node in plan.nodes if node.name in wanted)


def rolling(plan: Plan, nodes: Iterable[str]) -> Groups:
    """Return ``nodes`` in groups to be taken out one after the other; no group holds two of one set of replicas.

    The first group is a single machine, so that what is wrong with a change is seen on one; the others are filled in
    the order given. Voters of a database are a set too, so that a majority is always left.
    """
    groups: list[list[str]] = []
    taken: list[set[str]] = []
    for number, node in enumerate(nodes):
        own = set(plan.node_by_name[node].replica_sets)
        free = (at for at, sets in enumerate(taken) if at > 0 and not own & sets)
        at = len(groups) if number == 0 else next(free, len(groups))
        if at == len(groups):
            groups.append([])
            taken.append(set())
        groups[at].append(node)
        taken[at] |= own
    return tuple(map(tuple, groups))


def stopping(plan: Plan, nodes: Collection[str], host: str | None = None) -> tuple[str, ...]:
    """Return what stops while ``nodes`` (all those of ``host``, when one is given) are out, each with the reason."""
    losses = [impact(plan, "host", host)] if host is not None else [impact(plan, _kind(plan, n), n) for n in nodes]
    found: dict[str, None] = {}
    for loss in losses:
        for effect in loss.of("stops"):
            reason = next(reason.text for reason in effect.reasons if reason.state == "stops")
            found[f"{effect.service} for {plan.members[effect.member]}: {reason}"] = None
    return tuple(found)


def _kind(plan: Plan, node: str) -> Kind:
    return "gateway" if plan.node_by_name[node].role == "gateway" else "node"

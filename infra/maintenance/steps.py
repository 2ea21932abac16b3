"""What is done before machines are stopped, from what they say now. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

from infra.plan.model import Plan
from infra.status.model import PLAIN, Status
from network.errors import OperationError
from network.model import Cluster, ServiceEndpoint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOver:
    """A replicated database gets another primary."""

    cluster: Cluster
    before: str
    after: str

    def __str__(self) -> str:
        return f"switch {self.cluster.server_name} over from {self.before} to {self.after}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """The entries of a service send no new requests to one of its applications, and those under way end."""

    node: str
    backends: tuple[str, ...]
    """HAProxy's names for the service on the entries; those that an entry has not are left out."""
    entries: tuple[str, ...]

    def __str__(self) -> str:
        return f"drain {self.node}: {', '.join(self.entries)} send no new requests of {self.backends[0]} to it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A machine gives the virtual addresses that it holds to those that stand by."""

    node: str
    addresses: tuple[str, ...]
    """Names of the virtual addresses."""
    to: tuple[str, ...]

    def __str__(self) -> str:
        many = f"{len(self.addresses)} addresses" if len(self.addresses) > 1 else self.addresses[0]
        return f"hand {many} over from {self.node} to {' or '.join(self.to)}"


Step = SwitchOver | Drain | HandOver


def backends_of(endpoint: ServiceEndpoint) -> tuple[str, ...]:
    """Return HAProxy's names for ``endpoint``; which of them there are depends on the ports."""
    return (endpoint.name, f"{endpoint.name}{PLAIN}")


def before_stop(plan: Plan, nodes: Collection[str], status: Status) -> tuple[Step, ...]:
    """Return the steps after which ``nodes`` may stop: databases first, then requests, then addresses.

    What has no other machine to go to gets no step: it stops, which `groups.stopping` says. Raises OperationError for a
    database that could only be handed over to a server that has not every write.
    """
    return (
        *_switchovers(plan, nodes, status),
        *_drains(plan, nodes, status),
        *_handovers(nodes, status),
    )


def _switchovers(plan: Plan, nodes: Collection[str], status: Status) -> Iterator[SwitchOver]:
    found = {cluster.name: cluster for cluster in status.clusters}
    for cluster in plan.network.clusters:
        known = found.get(cluster.server_name)
        others = [member for member in known.members if member.node not in nodes] if known is not None else []
        for before in known.primaries if known is not None else ():
            if before not in nodes or not others:
                continue
            ready = [member.node for member in others if member.role == "synchronous standby"]
            if not ready:
                raise OperationError(
                    f"{cluster.server_name}: no other server has every write of {before} now; see `kumiai status`"
                )
            yield SwitchOver(cluster=cluster, before=before, after=ready[0])


def _drains(plan: Plan, nodes: Collection[str], status: Status) -> Iterator[Drain]:
    for endpoint in plan.network.endpoints:
        entries = tuple(node for node in endpoint.entry if status.answers.get(node) is not None)
        for node in endpoint.application:
            if node in nodes and entries and set(endpoint.application) - set(nodes):
                yield Drain(node=node, backends=backends_of(endpoint), entries=entries)


def _handovers(nodes: Collection[str], status: Status) -> Iterator[HandOver]:
    held: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for holding in status.holdings:
        to = tuple(node for node in holding.vip.nodes if node not in nodes)
        for node in holding.holders:
            if node in nodes and to:
                held.setdefault((node, to), []).append(holding.vip.name)
    for (node, to), addresses in held.items():
        yield HandOver(node=node, addresses=tuple(addresses), to=to)

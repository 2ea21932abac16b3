"""The plan: what runs where, at which address. Frozen; the only thing that the edges see."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping

from infra.placement.model import KeyMinimum, Survival
from network.model import NetworkPlan

ROOT_GIB = 4
"""Size of the root disk that the image brings; a sparse overlay on the base volume."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One virtual machine; its cards and routes stand in ``plan.network.node_by_name[name]``."""

    name: str
    role: str
    service: str | None
    members: tuple[str, ...]
    zone: str | None
    site: str
    host: str
    vcpus: int
    memory_mib: int
    data_gib: int
    """Size of the data volume; 0 means none."""
    replica_sets: tuple[str, ...]
    generation: int
    """Grows by one when a removed node's name is used again, so that no old volume is ever taken over."""
    image: str | None
    """Identifier of the guest image that the node was made from; None until ``up`` pins it: then the current image."""

    @property
    def disk_gib(self) -> int:
        """Root disk and data volume, as placed."""
        return ROOT_GIB + self.data_gib

    @property
    def stateful(self) -> bool:
        """Whether it keeps data that no other run can make again."""
        return self.data_gib > 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A libvirt host with what the plan puts on it; capacities after overcommit and slice."""

    id: str
    site: str
    libvirt: str
    """Connection URI, or ``lab``."""
    underlay: str | None
    chassis: str | None
    key: str | None
    """``service:ID`` or ``member:ID`` when patterns ① and ② reserve the host."""
    vcpus: int
    vcpus_used: int
    memory_mib: int
    memory_mib_used: int
    storage_gib: int
    storage_gib_used: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlacementSummary:
    """How good the placement is."""

    hosts_used: int
    lower_bound: int
    optimal: bool
    seconds: float
    """Measured; not part of the digest."""
    minimum_hosts: tuple[KeyMinimum, ...]
    """The fewest hosts that can carry the nodes of each key."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Computed time until a layer serves again after a fault."""

    layer: str
    fault: str
    seconds: float
    target_seconds: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole plan of one stack on one day."""

    stack: str
    title: str
    as_of: datetime.date
    members: Mapping[str, str]
    """Member id → name, in declared order."""
    services: Mapping[str, str]
    """Service id → title."""
    nodes: tuple[Node, ...]
    hosts: tuple[Host, ...]
    network: NetworkPlan
    placement: PlacementSummary
    survives: tuple[Survival, ...]
    recovery: tuple[Recovery, ...]
    assumed: tuple[str, ...]
    expired: tuple[str, ...]
    unopened: tuple[str, ...] = ()
    """Declared flows that no path of the plan serves, so that nothing is opened for them, each with the reason."""
    """Declared flows past their date: not rendered, reported."""
    log_activity_months: int
    log_security_years: int

    @functools.cached_property
    def node_by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def host_by_id(self) -> Mapping[str, Host]:
        """Hosts by id."""
        return {host.id: host for host in self.hosts}

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that have hosts, in declared order."""
        return tuple(dict.fromkeys(host.site for host in self.hosts))

    def nodes_on(self, host: str) -> tuple[Node, ...]:
        """Return the nodes that the plan puts on ``host``."""
        return tuple(node for node in self.nodes if node.host == host)

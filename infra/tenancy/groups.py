"""Node groups: what a pattern makes of a service, before anything has a host or an address."""

from __future__ import annotations

import dataclasses

from infra.declaration.model import NodeRole, Service
from network.model import VOTERS

SHORT_ROLE: dict[str, str] = {"application": "ap", "database": "db", "load_balancer": "lb", "witness": "wt"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One set of nodes of a service: of one member, or of all participants (pattern ④)."""

    service: str
    member: str | None
    participants: tuple[str, ...]
    """Member ids that use this set, in declared order."""
    zone: str
    site: str
    key: str | None
    """What reserves the hosts that carry it: ``service:ID`` (①), ``member:ID`` (②) or nothing."""
    allowed_hosts: tuple[str, ...] | None
    """The hosts that the declaration names for it (pattern ④); None: any that fits."""
    runs_on: str | None
    """Name of the instance whose nodes carry this one too."""

    @property
    def name(self) -> str:
        """``juki``, or ``zaimu-nishiki`` for one member's set."""
        return self.service if self.member is None else f"{self.service}-{self.member}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeWish:
    """A machine that the plan needs."""

    name: str
    role: str
    service: str | None
    instance: str | None
    """Name of the instance that it belongs to; None for a gateway."""
    members: tuple[str, ...]
    zone: str | None
    site: str
    vcpus: int
    memory_mib: int
    data_gib: int
    replica_sets: tuple[str, ...]
    key: str | None
    allowed_hosts: tuple[str, ...] | None


def node_names(instance: Instance, role: NodeRole, count: int) -> tuple[str, ...]:
    """Return the names of the nodes of one role, such as juki-ap1 and juki-ap2."""
    return tuple(f"{instance.name}-{SHORT_ROLE[role]}{number}" for number in range(1, count + 1))


def node_wishes(instance: Instance, service: Service) -> tuple[NodeWish, ...]:
    """Return the machines of ``instance``, in the order of roles and numbers.

    The nodes of one role form a replica set. The voters of a replicated database form another one across roles: three
    databases, or two and the declared witness, or else the first application node, which carries the third vote.
    """
    voters = _voters(instance, service)
    wishes: list[NodeWish] = []
    for role in ("application", "database", "load_balancer", "witness"):
        spec = service.nodes.get(role)
        if spec is None:
            continue
        for name in node_names(instance, role, spec.count):
            sets = [f"{instance.name}/{role}"] if spec.count > 1 else []
            if name in voters:
                sets.append(f"{instance.name}/voters")
            wishes.append(
                NodeWish(
                    name=name,
                    role=role,
                    service=service.id,
                    instance=instance.name,
                    members=(instance.member,) if instance.member else instance.participants,
                    zone=instance.zone,
                    site=instance.site,
                    vcpus=spec.vcpus,
                    memory_mib=round(spec.memory_gib * 1024),
                    data_gib=spec.disk_gib,
                    replica_sets=tuple(sets),
                    key=instance.key,
                    allowed_hosts=instance.allowed_hosts,
                )
            )
    return tuple(wishes)


def _voters(instance: Instance, service: Service) -> frozenset[str]:
    database = service.nodes.get("database")
    if database is None or database.count < 2:
        return frozenset()
    third: NodeRole = "witness" if "witness" in service.nodes else "application"
    voters = (*node_names(instance, "database", database.count), *node_names(instance, third, 1))
    return frozenset(voters[:VOTERS])

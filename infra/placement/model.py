"""The words of placement: hosts, nodes, rules, and the answer."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Literal

from network import errors

MYNUMBER = "mynumber"
INTERNET = "internet"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One hypervisor and what it can give to nodes."""

    id: str
    site: str
    chassis: str | None
    """The enclosure whose failure takes all its hosts along; unique within the site. None: not declared."""
    vcpus: int
    """Already multiplied by the declared overcommit."""
    memory_mib: int
    storage_gib: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine to place."""

    name: str
    site: str
    vcpus: int
    memory_mib: int
    storage_gib: int
    key: str | None
    """The only key its host may carry: "business:juki" (pattern ①), "member:nishiki" (pattern ②) or None."""
    keyless_host: bool
    """True: only a host without any key will do (patterns ③ and ④, and nodes that serve several members)."""
    zone: str | None
    allowed_hosts: frozenset[str] | None = None
    """The only hosts that will do, also after a loss; None: any that obeys the other rules."""
    replica_sets: tuple[str, ...]
    """Sets of nodes of which no two may share a host or a chassis."""
    stateful: bool
    """Its data lies on the host's own disks, so that a move is a clone or a restore. No rule reads this."""

    def __post_init__(self) -> None:
        """Refuse a node that asks for a key and for a host without keys at once."""
        if self.key is not None and self.keyless_host:
            raise ValueError(f"node {self.name}: key {self.key} and keyless_host exclude each other")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The declared availability and separation that bind every placement."""

    spare_hosts: int
    """k of N+k: every loss of up to this many hosts of a site can be repaired on the hosts that are left."""
    after_loss: Literal["strict", "relaxed"]
    """relaxed: until the repair, replicas may share a host or a chassis. Capacity, keys and zones always hold."""
    zone_hosts: Literal["separate", "shared"]
    """separate: no host carries nodes of mynumber and of internet together."""

    def __post_init__(self) -> None:
        """Refuse a negative number of spare hosts, which would switch the check off without a word."""
        if self.spare_hosts < 0:
            raise ValueError(f"spare_hosts is {self.spare_hosts}; expected 0 or more")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What happens when the hosts ``lost`` fail together."""

    lost: tuple[str, ...]
    possible: bool
    moves: Mapping[str, str]
    """Where each lost node would go; the others stay where they are. Empty when not possible."""
    reason: str | None
    """Why it is not possible."""


class Method(enum.StrEnum):
    """How the answer was found."""

    FIRST_FIT = "first-fit"
    SOLVER = "solver"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A placement that passed the independent check."""

    assignment: Mapping[str, str]
    """Node → host, sorted by node."""
    hosts_used: int
    lower_bound: int
    """No placement uses fewer hosts: proved by counting, or by the solver where that proved more."""
    optimal: bool
    """``hosts_used`` equals ``lower_bound``. False only where the solver reached its limit first."""
    method: Method
    survives: tuple[Survival, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyMinimum:
    """The least number of hosts that the nodes of one key need at one site."""

    site: str
    key: str | None
    """None: the hosts without a key."""
    hosts: int
    reason: str
    """What makes it that many, for example "memory: 96 GiB on hosts of up to 64 GiB"."""


class PlacementError(errors.InputError):
    """No placement obeys the rules. The message names the constraint, the nodes and what would cure it."""

    def __init__(
        self,
        *,
        site: str,
        problem: str,
        nodes: tuple[str, ...] = (),
        causes: tuple[str, ...] = (),
        cures: tuple[str, ...] = (),
    ) -> None:
        self.site = site
        self.problem = problem
        self.nodes = nodes
        self.causes = causes
        self.cures = cures
        lines = [f"site {site}: {problem}"]
        lines += [f"  because: {cause}" for cause in causes]
        if nodes:
            shown = ", ".join(nodes[:12]) + (f" and {len(nodes) - 12} more" if len(nodes) > 12 else "")
            lines.append(f"  nodes: {shown}")
        lines += [f"  cure: {cure}" for cure in cures]
        super().__init__("\n".join(lines))

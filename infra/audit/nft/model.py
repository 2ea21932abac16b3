"""A rule set as packet sets: tables, base chains at hooks, rules with what they match and what they do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from infra.audit.packets import Box, Node

Hook = Literal["prerouting", "input", "forward", "output", "postrouting"]
HOOKS: tuple[Hook, ...] = ("prerouting", "input", "forward", "output", "postrouting")
ROUTED = ("ip", "ip6", "inet")
"""Families whose chains see routed packets; those of ``bridge``, ``arp`` and ``netdev`` do not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a set that a rule looks up."""

    text: str
    boxes: tuple[Box, ...]
    """What it admits, with all fields that the rule reads."""

    def holds(self, packet: Mapping[int, int]) -> bool:
        """Say whether ``packet`` is one of the element's; a field that it does not have is 0."""
        return any(all(low <= packet.get(field, 0) <= high for field, (low, high) in one.items()) for one in self.boxes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A condition. Where the outcome cannot be told, a packet is in ``maybe`` and not in ``surely``."""

    surely: Node
    maybe: Node
    """Contains ``surely``."""
    elements: tuple[Element, ...] = ()
    """Of the set that is looked up, where there is one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ends a rule. ``reject`` is a drop that answers."""

    kind: Literal["accept", "drop", "jump", "goto", "return", "continue"]
    target: str | None = None
    """Chain of a jump or goto."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VerdictMap:
    """Verdicts by key; a packet without an element goes on to the next statement."""

    cases: tuple[tuple[Match, Verdict], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Addresses and ports that replace others, for the packets that ``match``."""

    match: Match
    first: int | None
    """First new address, and the last; None keeps the address."""
    last: int | None
    ports: tuple[int, int] | None = None
    from_prefix: tuple[int, int] | None = None
    """First and last old address, which keep their place in the new range (``prefix``)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """``snat``, ``dnat``, ``masquerade`` or ``redirect``: ends the rule for what it maps."""

    kind: Literal["source", "destination"]
    rewrites: tuple[Rewrite, ...]
    own_address: bool = False
    """The new address is one of the machine's: ``masquerade`` and ``redirect``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A statement that nobody here can judge: the packet may pass, end or change."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sometimes:
    """A limit: the rest of the rule happens for some packets."""


Statement = Match | Verdict | VerdictMap | Translation | Unknown | Sometimes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """One rule; compared by identity."""

    chain: str
    number: int
    """Place in its chain, from 1."""
    text: str
    statements: tuple[Statement, ...]
    comment: str | None = None

    @property
    def name(self) -> str:
        """``inet kumiai forward 3: ct state established … accept``."""
        return f"{self.chain} {self.number}: {self.text}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """A chain; base chains have a hook."""

    family: str
    table: str
    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None
    kind: Literal["filter", "nat", "route"] = "filter"
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"

    @property
    def full_name(self) -> str:
        """``inet kumiai forward``."""
        return f"{self.family} {self.table} {self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What cannot be judged, with its place; every one is a finding."""

    place: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """Everything of one machine that decides about routed packets."""

    chains: Mapping[tuple[str, str, str], Chain]
    """(family, table, name) → chain, only of :data:`ROUTED` families and of tables that are not dormant."""
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    """What is there and protects nothing, such as rules of the bridge family."""
    rules: int
    """Rules and set elements, for the count of what was examined."""

    def base(self, hook: Hook) -> tuple[Chain, ...]:
        """Return the base chains at ``hook`` in the order in which packets meet them."""
        found = [chain for chain in self.chains.values() if chain.hook == hook]
        return tuple(sorted(found, key=lambda chain: chain.priority))

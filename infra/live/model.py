"""What runs on one machine, and where it differs from the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

FindingKind = Literal["silent", "address", "route", "policy", "socket", "forwarding", "service"]
MAIN_TABLE = "main"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LiveRoute:
    """A route in the kernel; local ones, which follow from addresses, are left out."""

    table: str
    prefix: IPv4Network
    vias: tuple[IPv4Address, ...]
    """Next hops, sorted; empty for what lies on the card's own segment."""
    card: str
    kind: str
    """``unicast``, ``blackhole``, …"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Socket:
    """Something that takes connections or datagrams."""

    protocol: str
    address: str
    port: int
    program: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """One machine as it is."""

    node: str
    rules: str
    """The rule set, as ``nft -n -j list ruleset`` prints it."""
    dormant: tuple[str, ...]
    """Tables whose rules are not in force."""
    addresses: Mapping[str, frozenset[str]]
    """Card → addresses with their length, without link-local ones of IPv6."""
    routes: tuple[LiveRoute, ...]
    policies: tuple[str, ...]
    """Policy rules besides the kernel's own three, as ``from 10.0.0.0/24 lookup 1005``."""
    sockets: tuple[Socket, ...]
    """Those that something outside the machine could reach: none on the loopback."""
    forwards: bool
    units: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference between a machine and the plan."""

    node: str
    kind: FindingKind
    subject: str
    """The address, route, socket or service."""
    words: str

    def __str__(self) -> str:
        return f"{self.node}: {self.words}"

"""A drawn network: namespaces, the bridges in them, the cables between them. Records only; `namespaces` builds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

EVERYWHERE = IPv4Network("0.0.0.0/0")
MAIN = 254
"""Number of the kernel's main routing table."""
DEFAULT = 253
"""Number of the routing table that the kernel asks when no other one has a route; routing daemons do not see it."""

OF_DAEMONS = 99
"""Number of a routing table that daemons fill by themselves; it is never drawn."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A switch inside a namespace."""

    namespace: str
    name: str
    addresses: tuple[IPv4Interface, ...] = ()
    mtu: int = 1500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One end of a cable."""

    namespace: str
    name: str
    addresses: tuple[IPv4Interface, ...] = ()
    bridge: str | None = None
    """The bridge that it is plugged into."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A virtual Ethernet pair."""

    ends: tuple[Port, Port]
    about: str
    """What it stands for; shown as alias by `ip link`."""
    mtu: int = 1500
    rate_mbps: int | None = None
    """What it carries in each direction; None: as much as the machine can."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Way:
    """A route; without ``via`` the destination is unreachable through this table."""

    prefix: IPv4Network
    via: IPv4Address | None
    table: int = MAIN


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Selection:
    """What comes in at ``interface`` is routed by ``table``."""

    interface: str
    table: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Redirect:
    """IKE and ESP in UDP from ``source`` to ``target`` go to ``to``."""

    source: IPv4Address
    target: IPv4Address
    to: IPv4Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A network namespace: a host, a carrier's router, an office, a terminal."""

    name: str
    forwards: tuple[tuple[str, str], ...] = ()
    """Pairs of interfaces between which it forwards, in both directions; none: it forwards nothing at all."""
    ways: tuple[Way, ...] = ()
    selections: tuple[Selection, ...] = ()
    redirects: tuple[Redirect, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Several namespaces with everything in them."""

    namespaces: tuple[Namespace, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    cables: tuple[Cable, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Names of the namespaces."""
        return frozenset(namespace.name for namespace in self.namespaces)


def joined(drawings: Iterable[Drawing]) -> Drawing:
    """Return one drawing of all."""
    every = tuple(drawings)
    return Drawing(
        namespaces=tuple(namespace for drawing in every for namespace in drawing.namespaces),
        bridges=tuple(bridge for drawing in every for bridge in drawing.bridges),
        cables=tuple(cable for drawing in every for cable in drawing.cables),
    )

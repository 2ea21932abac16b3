"""What is planned for a line, what was measured, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Literal

from network import gateways
from network.model import Line, NetworkPlan, OfficeLan, ServiceEndpoint


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A service that an office LAN uses: its virtual address and the first TCP port that it listens on."""

    service: str
    address: IPv4Address
    port: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One LAN of an office over one of its member's lines."""

    member: str
    office: str
    zone: str
    line: str
    role: Literal["main", "backup"]
    line_class: Literal["guaranteed", "reserved", "best_effort"]
    mbps: int
    """Contracted."""
    site: str
    targets: tuple[Target, ...]
    """The services of the zone at the site in which the member takes part; may be none."""

    @property
    def lan(self) -> str:
        """``nishiki/honcho mynumber``."""
        return f"{self.member}/{self.office} {self.zone}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found on a path."""

    office_known: bool
    """Whether the carrier's provider edge has routes to the office LAN."""
    services_known: bool
    """Whether the provider edge has routes to every target."""
    office_route: bool
    """Whether the office router has a route to every target over this line."""
    carries: bool
    """Whether the office router sends to a target over this line."""
    response_ms: float | None
    """The slowest target's median time of opening a TCP connection; None when this line carries nothing to measure."""
    silent: tuple[str, ...]
    """Services that the line carries traffic to and that did not answer."""
    mbps_up: float | None
    """From the office's terminal to the provider edge; None when it was not measured."""
    mbps_down: float | None
    cuts: tuple[str, ...]
    """Places at which the lab has cut the line."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A path with what was measured and what is wrong; no findings: as planned."""

    path: Path
    measured: Measured | None
    """None: cannot be measured from here."""
    findings: tuple[str, ...]


def paths(network: NetworkPlan) -> tuple[Path, ...]:
    """Return every office LAN over every line of its member and zone, LAN by LAN, main lines first."""
    reached = [(endpoint, gateways.addresses_of(network, endpoint)) for endpoint in network.endpoints]
    return tuple(
        Path(
            member=lan.member,
            office=lan.office,
            zone=lan.zone,
            line=line.name,
            role=line.role,
            line_class=line.line_class,
            mbps=line.mbps,
            site=line.site,
            targets=tuple(_targets(reached, lan, line)),
        )
        for lan in network.offices
        for line in sorted(network.lines, key=lambda line: line.role != "main")
        if line.member == lan.member and lan.zone in line.zones
    )


def _targets(
    reached: Iterable[tuple[ServiceEndpoint, Mapping[tuple[str, str], IPv4Address]]], lan: OfficeLan, line: Line
) -> Iterator[Target]:
    for endpoint, addresses in reached:
        ports = [port.first for port in endpoint.listen if port.protocol == "tcp"]
        address = addresses.get((line.member, line.name))
        if address is not None and endpoint.zone == lan.zone and lan.member in endpoint.participants and ports:
            yield Target(service=endpoint.name, address=address, port=ports[0])

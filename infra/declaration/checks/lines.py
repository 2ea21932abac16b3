"""Rules about lines: every member reaches its services, and not by the public Internet alone."""

from __future__ import annotations

from collections.abc import Iterator

from infra.declaration import queries
from infra.declaration.checks import places
from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration, Line, Member, Service


def check_zones(declaration: Declaration) -> Iterator[Problem]:
    """A line names each of its zones once."""
    for index, line in enumerate(declaration.lines):
        for position, zone in enumerate(line.zones):
            if zone in line.zones[:position]:
                yield Problem(("lines", index, "zones", position), f"{zone} stands here a second time")


def check_internet(declaration: Declaration) -> Iterator[Problem]:
    """The internet zone has a path apart from the business systems that use LGWAN (TZ-3, R29)."""
    kinds = {network.id: network.kind for network in declaration.closed_networks}
    for index, line in enumerate(declaration.lines):
        if "internet" not in line.zones:
            continue
        at: Path = ("lines", index, "zones", line.zones.index("internet"))
        if kinds.get(line.closed_network) == "lgwan":
            yield Problem(at, f"{line.closed_network} is LGWAN, which does not carry the internet zone (TZ-3)")
        elif line.separation == "prefix" and len(set(line.zones)) > 1:
            message = (
                "the internet zone needs a hand-off of its own, apart from the other zones' (TZ-3); give it a line, "
            )
            yield Problem(at, f"{message}or `separation: segment`")


def check_mains(declaration: Declaration) -> Iterator[Problem]:
    """A zone of a member has one main line into a site: with two, nothing would say which carries the traffic."""
    first: dict[tuple[str, str, str], str] = {}
    for index, line in enumerate(declaration.lines):
        if line.role != "main":
            continue
        for zone in dict.fromkeys(line.zones):
            key = (line.member, line.site, zone)
            if key in first:
                message = f"{first[key]} is the main line for {zone} of {line.member} already; make one a backup"
                yield Problem(("lines", index, "role"), message)
                break
            first[key] = line.id


def check_participants(declaration: Declaration) -> Iterator[Problem]:
    """Each member that takes part in a service has an office LAN of its zone and a main line that carries it there."""
    carried = {
        (line.member, line.site, zone) for line in declaration.lines if line.role == "main" for zone in line.zones
    }
    told: set[tuple[str, str, str]] = set()
    for at, service, member, site in _uses(declaration):
        key = (member.id, site, service.zone)
        if key in told:
            continue
        told.add(key)
        needs = f"{member.id} takes part in {service.id} ({service.zone})"
        if not any(service.zone in office.zones for office in member.offices):
            yield Problem(at, f"{needs}, but none of its offices has a LAN of that zone")
        if key not in carried:
            yield Problem(at, f"{needs}, but has no main line that carries this zone to {site}")


def check_public_only(declaration: Declaration) -> Iterator[Problem]:
    """The public Internet is never the only path of a member to a service of the inner zones (R3)."""
    public = {network.id for network in declaration.closed_networks if network.kind == "internet_vpn"}
    lines: dict[tuple[str, str, str], list[Line]] = {}
    for line in declaration.lines:
        for zone in line.zones:
            lines.setdefault((line.member, line.site, zone), []).append(line)
    told: set[tuple[str, str, str]] = set()
    for at, service, member, site in _uses(declaration):
        key = (member.id, site, service.zone)
        paths = lines.get(key, [])
        if key in told or service.zone == "internet" or not paths:
            continue
        told.add(key)
        if all(line.closed_network in public for line in paths):
            names = " and ".join(line.id for line in paths)
            message = f"{member.id} reaches {service.id} over the public Internet only ({names}); even encrypted it "
            yield Problem(at, f"{message}promises no bandwidth, so a closed network is needed beside it (R3)")


def _uses(declaration: Declaration) -> Iterator[tuple[Path, Service, Member, str]]:
    """Yield every use of a service by a member, with the place that declares it and the site of the service."""
    sites = places.service_sites(declaration)
    for index, service in enumerate(declaration.services):
        site = sites.get(service.id)
        if site is None:
            continue
        where = {p.member: position for position, p in enumerate(service.participants or ())}
        for member in queries.participants(declaration, service, None):
            at: Path = ("services", index)
            if member.id in where:
                at = (*at, "participants", where[member.id])
            yield at, service, member, site

"""Rules about flows: their ends belong together, and the zone matrix allows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from infra.declaration import queries
from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration, Flow, Service
from network import endpoints, zones


@dataclasses.dataclass(frozen=True, slots=True)
class _Side:
    """One end of a flow as the matrix sees it."""

    end: endpoints.Endpoint
    place: zones.Place
    members: frozenset[str] | None
    """Members whose traffic begins or ends here; None outside the stack."""
    pinned: bool
    """True when the end names one member."""


def check_ends(declaration: Declaration) -> Iterator[Problem]:
    """An office has the zone, a member takes part in the service, and pattern ④ says for whom it speaks."""
    members = {member.id: member for member in declaration.members}
    services = {service.id: service for service in declaration.services}
    for index, flow in enumerate(declaration.flows):
        for key, text in (("from", flow.from_), ("to", flow.to)):
            at: Path = ("flows", index, key)
            end = _parsed(text)
            if isinstance(end, endpoints.OfficeEnd) and end.member in members:
                if not any(end.zone in office.zones for office in members[end.member].offices):
                    yield Problem(at, f"no office of {end.member} has a LAN of the {end.zone} zone")
            elif isinstance(end, endpoints.ServiceEnd) and end.service in services:
                yield from _check_service_end(at, end, services[end.service], declaration)


def _check_service_end(
    at: Path, end: endpoints.ServiceEnd, service: Service, declaration: Declaration
) -> Iterator[Problem]:
    taking_part = queries.participation_periods(declaration, service)
    known = any(member.id == end.member for member in declaration.members)
    if end.member is not None and known and end.member not in taking_part:
        yield Problem(at, f"{end.member} takes no part in {service.id}")
    if at[-1] == "from" and service.pattern == "multi_tenant" and end.member is None and not end.each_member:
        message = f"{service.id} serves several members from the same nodes; say for whom it speaks: "
        yield Problem(at, f"{message}service:{service.id}@MEMBER or service:{service.id}@each_member")


def check_zones(declaration: Declaration) -> Iterator[Problem]:
    """The matrix allows the flow, and the flow carries what its kind requires."""
    for index, flow in enumerate(declaration.flows):
        at: Path = ("flows", index)
        yield from _check_keys(at, flow)
        source, target = _side(declaration, flow.from_), _side(declaration, flow.to)
        if source is None or target is None:
            continue
        if source.members is None and target.members is None:
            yield Problem((*at, "to"), "both ends lie outside the stack; a flow has one end in it")
            continue
        if source.end == target.end:
            yield Problem((*at, "to"), "both ends are the same")
            continue
        pairs = _member_pairs(source, target)
        if not pairs:
            yield Problem((*at, "to"), _no_pair(source, target))
            continue
        models = frozenset(member.model for member in declaration.members if any(member.id in pair for pair in pairs))
        crossing = any(len(pair) == 2 for pair in pairs)
        error = zones.check_flow(source.place, target.place, flow.kind, models=models, between_members=crossing)
        if error is not None:
            yield Problem((*at, "kind"), error)
        elif flow.kind == "specific":
            yield from _check_ports(at, flow)
        elif flow.kind == "member_link":
            yield from _check_link_servers(at, declaration, source, target)


def _check_keys(at: Path, flow: Flow) -> Iterator[Problem]:
    required = zones.CONDITIONS[flow.kind].requires
    for key in ("method", "via", "system"):
        if key in required and getattr(flow, key) is None:
            yield Problem(at, f"kind {flow.kind} needs `{key}`: {required[key]}")
        if key not in required and getattr(flow, key) is not None:
            yield Problem((*at, key), f"`{key}` has no effect with kind {flow.kind}; remove it", at_key=True)


def _check_ports(at: Path, flow: Flow) -> Iterator[Problem]:
    """A specific flow names its ports: ICMP has none, and all of them are not a choice."""
    for position, port in enumerate(flow.allow):
        if port.protocol == "icmp" or (port.first, port.last) == (1, 65535):
            yield Problem((*at, "allow", position), f"{port}: a specific flow names the ports it needs (TZ-1)")


def _check_link_servers(at: Path, declaration: Declaration, source: _Side, target: _Side) -> Iterator[Problem]:
    """The end inside the stack is the link server of every member that the flow is for (R16)."""
    key, side = ("from", source) if source.members is not None else ("to", target)
    for member in declaration.members:
        if member.id not in (side.members or ()):
            continue
        named = side.end.service if isinstance(side.end, endpoints.ServiceEnd) else None
        if member.link_server is None:
            yield Problem(
                (*at, key), f"{member.id} declares no `link_server`, which kind member_link goes through (R16)"
            )
        elif named != member.link_server:
            message = (
                f"kind member_link goes through the link server of {member.id}, which is {member.link_server}, not "
            )
            yield Problem((*at, key), f"{message}{side.end} (R16)")


def check_network_prefixes(declaration: Declaration) -> Iterator[Problem]:
    """A flow from or to a closed network needs the prefix that the network's operator assigned: none is made up."""
    without = {network.id: network.kind for network in declaration.closed_networks if network.assigned_prefix is None}
    for index, flow in enumerate(declaration.flows):
        for key, text in (("from", flow.from_), ("to", flow.to)):
            end = _parsed(text)
            if isinstance(end, endpoints.NetworkEnd) and end.network in without:
                operator = "J-LIS assigns it" if without[end.network] == "lgwan" else "its operator assigns it"
                message = f"closed network {end.network} has no `assigned_prefix`, and so no addresses; {operator}"
                yield Problem(("flows", index, key), f"{message}, it is never made up")


def check_repeats(declaration: Declaration) -> Iterator[Problem]:
    """The same flow is declared once."""
    seen: dict[tuple[object, ...], int] = {}
    for index, flow in enumerate(declaration.flows):
        key = (flow.from_, flow.to, flow.kind, flow.allow)
        if key in seen:
            yield Problem(("flows", index), f"the same flow stands in flows[{seen[key]}] already")
        seen.setdefault(key, index)


def _member_pairs(source: _Side, target: _Side) -> frozenset[frozenset[str]]:
    """Return the members between which the flow passes: sets of one member, or of two when it crosses.

    Two pinned ends mean exactly these members; otherwise every member reaches its own side of the other end.
    """
    if source.members is None or target.members is None:
        return frozenset(frozenset({member}) for member in source.members or target.members or ())
    if source.pinned and target.pinned:
        return frozenset({source.members | target.members})
    return frozenset(frozenset({member}) for member in source.members & target.members)


def _no_pair(source: _Side, target: _Side) -> str:
    for one, other in ((source, target), (target, source)):
        if one.pinned and isinstance(other.end, endpoints.ServiceEnd):
            (member,) = one.members or ("",)
            return f"{member} takes no part in {other.end.service}; a flow joins the two sides of the same member"
    return "no member takes part in both services; a flow joins the two sides of the same member"


def _side(declaration: Declaration, text: str) -> _Side | None:
    """Return the end that ``text`` writes, or None when it is wrong and told elsewhere."""
    end = _parsed(text)
    match end:
        case endpoints.OfficeEnd() if any(member.id == end.member for member in declaration.members):
            return _Side(end, end.zone, frozenset({end.member}), True)
        case endpoints.ServiceEnd():
            return _service_side(declaration, end)
        case endpoints.NetworkEnd():
            for network in declaration.closed_networks:
                if network.id == end.network:
                    return _Side(end, "lgwan_network" if network.kind == "lgwan" else "closed_network", None, False)
            return None
        case endpoints.ExternalEnd():
            return _Side(end, "public_internet" if end.public_internet else "external_system", None, False)
        case _:
            return None


def _service_side(declaration: Declaration, end: endpoints.ServiceEnd) -> _Side | None:
    service = next((service for service in declaration.services if service.id == end.service), None)
    if service is None:
        return None
    taking_part = frozenset(queries.participation_periods(declaration, service))
    if end.member is None:
        return _Side(end, service.zone, taking_part, False)
    return _Side(end, service.zone, frozenset({end.member}), True) if end.member in taking_part else None


def _parsed(text: str) -> endpoints.Endpoint | None:
    try:
        return endpoints.parse(text)
    except ValueError:
        return None

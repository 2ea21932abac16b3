"""Questions that many callers ask a declaration. Pure; the declaration has passed its checks."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator

from infra.declaration.model import Declaration, Flow, Line, Member, Record, Service, Translation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From ``first`` (None: always been) until the day before ``until`` (None: for good)."""

    first: datetime.date | None
    until: datetime.date | None

    def holds(self, day: datetime.date) -> bool:
        """Say whether ``day`` lies in the period."""
        return (self.first is None or self.first <= day) and (self.until is None or day < self.until)


def participation_periods(declaration: Declaration, service: Service) -> dict[str, Period]:
    """Return when each member takes part in ``service``, by member id in the order of ``members``.

    A date that the participation leaves out is the member's own ``joins`` or ``leaves``.
    """
    if service.participants is None:
        return {member.id: Period(first=member.joins, until=member.leaves) for member in declaration.members}
    declared = {participation.member: participation for participation in service.participants}
    return {
        member.id: Period(
            first=declared[member.id].from_ or member.joins, until=declared[member.id].until or member.leaves
        )
        for member in declaration.members
        if member.id in declared
    }


def participants(declaration: Declaration, service: Service, as_of: datetime.date | None) -> tuple[Member, ...]:
    """Return the members that take part in ``service`` on ``as_of``, in the order of ``members``.

    ``as_of=None`` returns everybody who ever takes part.
    """
    periods = participation_periods(declaration, service)
    return tuple(
        member
        for member in declaration.members
        if member.id in periods and (as_of is None or periods[member.id].holds(as_of))
    )


def host_service(declaration: Declaration, service: Service) -> Service:
    """Return the service whose nodes run ``service``: the one it ``runs_on``, or itself."""
    if service.runs_on is None:
        return service
    return next(other for other in declaration.services if other.id == service.runs_on)


def service_site(declaration: Declaration, service: Service) -> str:
    """Return the id of the site where ``service`` runs."""
    named = host_service(declaration, service).site or service.site
    if named is not None:
        return named
    (only,) = (site.id for site in declaration.sites if site.kind == "data_center")
    return only


def translations_of(declaration: Declaration, line: Line) -> tuple[Translation, ...]:
    """Return the translations that the gateways do on ``line``, in the order of the file."""
    return tuple(
        translation
        for translation in declaration.translations
        if translation.closed_network == line.closed_network and translation.member in (None, line.member)
    )


def expired_flows(declaration: Declaration, as_of: datetime.date) -> tuple[tuple[int, Flow], ...]:
    """Return the flows whose last day lies before ``as_of``, each with its index in ``flows``."""
    return tuple((index, flow) for index, flow in enumerate(declaration.flows) if flow.expires < as_of)


def assumed_paths(declaration: Declaration) -> tuple[str, ...]:
    """Return where the file says ``assumed: true``, such as ``members[nishiki].offices[honcho]`` or ``sla``."""
    return tuple(_assumed(declaration, ""))


def _assumed(record: Record, at: str) -> Iterator[str]:
    if record.assumed:
        yield at or "."
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        inside = f"{at}.{field.alias or name}".lstrip(".")
        if isinstance(value, Record):
            yield from _assumed(value, inside)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Record):
                    yield from _assumed(item, f"{inside}[{getattr(item, 'id', index)}]")
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, Record):
                    yield from _assumed(item, f"{inside}.{key}")

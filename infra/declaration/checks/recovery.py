"""What the service level agreement promises against what the configured timers and the machines allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infra.declaration.findings import Problem
from infra.declaration.model import Declaration, Line, Sla
from network import timers

WORKING_DAYS = 245
"""開庁日 of a year: no Saturday, no Sunday, and none of up to 16 holidays (国民の祝日に関する法律)."""


def check_recovery(declaration: Declaration) -> Iterator[Problem]:
    """No redundant layer takes longer to serve again than the service level agreement allows."""
    if declaration.sla is None:
        return
    allowed = declaration.sla.recovery_hours * 3600
    for layer, seconds in _worst(declaration).items():
        if seconds > allowed:
            message = (
                f"the layer {layer} serves again after {seconds:.1f} s at worst, by its timers; {allowed:g} s are "
                f"declared, so declare a longer time"
            )
            yield Problem(("sla", "recovery_hours"), message)


def check_availability(declaration: Declaration) -> Iterator[Problem]:
    """One outage of no layer takes more hours than the availability leaves in a year (R141, R142)."""
    sla = declaration.sla
    if sla is None:
        return
    a_day, a_year = _service_hours(sla)
    if a_day <= 0:
        return  # the calendar itself is wrong, and another rule says so
    left = a_year * (100 - sla.availability_percent) / 100
    leave = f"{sla.availability_percent:g} % of {a_year:g} h a year leave"
    for layer, seconds in _worst(declaration).items():
        if seconds > left * 3600:
            message = (
                f"the layer {layer} is away for {seconds:.1f} s after one fault, by its timers; "
                f"{leave} {left * 3600:.1f} s, so declare a lower availability"
            )
            yield Problem(("sla", "availability_percent"), message)
    alone = [
        service.id
        for service in declaration.services
        if any(spec.count == 1 and role != "witness" for role, spec in service.nodes.items())
    ]
    days, rest = divmod(sla.recovery_hours, 24)
    away = days * a_day + min(rest, a_day)
    if alone and away > left:
        message = (
            f"{', '.join(alone)}: a machine without a partner, restored within {sla.recovery_hours:g} h, is away for "
            f"{away:g} h of service; {leave} {left:.1f} h, so declare a second machine, a shorter recovery time or a "
            f"lower availability"
        )
        yield Problem(("sla", "availability_percent"), message)


def _service_hours(sla: Sla) -> tuple[float, float]:
    """Return the hours of service in a day and in a year."""
    if sla.base == "always" or sla.calendar is None:
        return 24.0, 24.0 * 365
    begin, end = sla.calendar.from_, sla.calendar.to
    a_day = (end.hour - begin.hour) + (end.minute - begin.minute) / 60
    return a_day, a_day * (365 if sla.calendar.days == "every_day" else WORKING_DAYS)


def _worst(declaration: Declaration) -> Mapping[str, float]:
    """Return the longest computed time of each layer that has somebody to take over, as the plan prints it."""
    profile = timers.PROFILES[declaration.availability.timers]
    found = {"gateway": timers.gateway_takeover_s(profile)}
    backed = {(line.member, line.site) for line in declaration.lines if line.role == "backup"}
    mains = [line for line in declaration.lines if line.role == "main" and (line.member, line.site) in backed]
    if mains:
        found["line"] = max(_line_s(profile, line) for line in mains)
    nodes = [service.nodes for service in declaration.services]
    if any("application" in roles and roles["application"].count > 1 for roles in nodes):
        takeover = timers.vrrp_takeover_s(profile, backup_rank=1)
        found["application"] = max(takeover, timers.backend_detection_s(profile))
    if any("database" in roles and roles["database"].count > 1 for roles in nodes):
        database = profile.database
        found["database"] = timers.patroni_frozen_s(database)
    return found


def _line_s(profile: timers.Timers, line: Line) -> float:
    """Return the longest time of one line; where the lab makes the hand-off, it has BFD."""
    handoffs = list(line.handoff.values()) if line.handoff else []
    ways = [(handoff.bfd, handoff.hold_s) for handoff in handoffs if handoff.routing == "bgp" or handoff.bfd]
    seconds = [timers.line_recovery_s(profile, bfd=bfd, hold_s=hold_s) for bfd, hold_s in ways]
    return max(seconds, default=timers.line_recovery_s(profile, bfd=True, hold_s=None))

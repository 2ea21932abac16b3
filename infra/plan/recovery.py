"""Computed recovery: seconds until a layer serves again, from the configured timers alone.

The timers stand in :mod:`network.timers`, which the renderers use too, so that what is computed is what runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.declaration.model import Sla
from infra.plan.model import Recovery
from network import gateways, timers
from network.model import Handoff, NetworkPlan

APPLICATION_TARGET_S = 2.0
"""What an application pair has to meet."""
GATEWAY_TARGET_S = 2.0
LINE_TARGET_S = 3.0
"""What a member with a main and a backup line has to get."""
DATABASE_TARGETS_S = {
    "machine of the primary lost": 28.0,
    "PostgreSQL of the primary crashed": 8.0,
    "standby lost, commits wait": 10.0,
    "planned switchover": 3.0,
    "Patroni of the primary stands still": None,
}
"""What a replicated database has to meet; None: computed and told, and no target is set."""


def compute(network: NetworkPlan, sla: Sla | None) -> tuple[Recovery, ...]:
    """Return the recovery of every layer that has a redundant pair; of the others, nothing is promised."""
    profile = network.timers
    told = "" if profile.name == "standard" else f" (timers: {profile.name})"
    found: list[Recovery] = []
    if any(node.role == "gateway" for node in network.nodes):
        found.append(
            Recovery(
                layer="gateway",
                fault=f"gateway that holds the addresses lost{told}",
                seconds=round(timers.gateway_takeover_s(profile), 2),
                target_seconds=GATEWAY_TARGET_S,
            )
        )
    found += _lines(network, told)
    if any(len(endpoint.entry) > 1 for endpoint in network.endpoints):
        found.append(
            Recovery(
                layer="application",
                fault=f"node that holds the virtual address lost{told}",
                seconds=round(timers.vrrp_takeover_s(profile, backup_rank=1), 2),
                target_seconds=APPLICATION_TARGET_S,
            )
        )
    if any(len(endpoint.application) > 1 for endpoint in network.endpoints):
        found.append(
            Recovery(
                layer="application",
                fault=f"application process lost behind the load balancer{told}",
                seconds=round(timers.backend_detection_s(profile), 2),
                target_seconds=APPLICATION_TARGET_S,
            )
        )
    if network.clusters:
        found += _database(profile.database, told)
    if sla is not None:
        found.append(
            Recovery(
                layer="single node",
                fault="machine of a node without a partner lost, restored by hand",
                seconds=sla.recovery_hours * 3600,
                target_seconds=sla.recovery_hours * 3600,
            )
        )
    return tuple(found)


def _database(database: timers.DatabaseTimers, told: str) -> Iterator[Recovery]:
    seconds = (
        timers.database_machine_lost_s(database),
        timers.database_crash_s(database),
        timers.standby_lost_s(database),
        timers.switchover_s(database),
        timers.patroni_frozen_s(database),
    )
    for (fault, target), computed in zip(DATABASE_TARGETS_S.items(), seconds, strict=True):
        yield Recovery(layer="database", fault=f"{fault}{told}", seconds=round(computed, 2), target_seconds=target)


def _lines(network: NetworkPlan, told: str) -> Iterator[Recovery]:
    """Yield the longest recovery with BFD and the longest without, of main lines that have a backup.

    A static route without BFD notices nothing but its own dead card, so nothing is promised of it.
    """
    backed = {(line.member, line.site) for line in network.lines if line.role == "backup"}
    mains = [
        handoff
        for line in network.lines
        if line.role == "main" and (line.member, line.site) in backed
        for handoff in line.handoffs
        if handoff.routing != "static" or handoff.bfd
    ]
    ended = _ended_sessions(network)
    for bfd, how in ((True, "BFD"), (False, "the hold time of BGP, without BFD")):
        seconds = [line_s(network, handoff) for handoff in mains if handoff.bfd is bfd]
        if seconds:
            yield Recovery(
                layer="line",
                fault=f"main line cut, noticed by {how}{told if bfd else ''}{ended}",
                seconds=round(max(seconds), 2),
                target_seconds=LINE_TARGET_S,
            )


def _ended_sessions(network: NetworkPlan) -> str:
    """Say whose open sessions do not survive: main and backup line reach the services at different addresses."""
    mains = {
        (line.member, line.site, zone): line for line in network.lines if line.role == "main" for zone in line.zones
    }
    members = {
        line.member
        for line in network.lines
        if line.role == "backup"
        for zone in line.zones
        if (main := mains.get((line.member, line.site, zone)))
        for segment in network.segments
        if segment.kind in {"tenant", "service"} and segment.zone == zone and line.member in segment.members
        if gateways.presented(main, segment.prefix) != gateways.presented(line, segment.prefix)
    }
    return (
        f"; open sessions of {', '.join(sorted(members))} end, for its lines show different addresses"
        if members
        else ""
    )


def line_s(network: NetworkPlan, handoff: Handoff) -> float:
    """Return the longest time until traffic leaves a cut line by this hand-off, in seconds."""
    return timers.line_recovery_s(network.timers, bfd=handoff.bfd, hold_s=handoff.hold_s)

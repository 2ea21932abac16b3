"""Timers of the redundant layers: one place for what is configured and for what is computed from it.

They come as a *profile*, which the plan carries (``NetworkPlan.timers``): ``standard`` for machines with KVM, and
``emulated`` for guests whose processor is emulated, which stand still for a second now and then and would take each
other for dead by the standard ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

ProfileName = Literal["standard", "emulated"]

VRRP_PRIORITY = 200
"""Priority of the first holder; each further one has 10 less."""
VRRP_PRIORITY_STEP = 10
HOLD_S = 90
"""BGP hold time where the carrier names none (RFC 4271, 10)."""
ROUTE_CHANGE_S = 0.5
"""From the lost session to the other line's route in the kernel: best path, zebra, netlink."""


APPLICATION_LOOK_S = 1.0
"""How often an application finds out whether its databases answer (the reference one: `kumiai_application.health`)."""
LEASE_LOOK_S = 0.5
"""How often etcd looks for leases that have run out."""
MEMBER_ANSWER_S = 2.0
"""How long a standby's Patroni waits for the answer of another member before it takes the lead; fixed in Patroni."""
REACTION_S = 0.5
"""From a key that changed in etcd to the member that waits for it, and the few round trips that follow."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTimers:
    """A replicated database: Patroni, voters (etcd), PostgreSQL's replication, and HAProxy that follows the primary.

    Patroni's manual demands ``loop_wait + 2 * retry_timeout <= ttl`` and a ttl of at least 20 s.
    """

    ttl_s: int
    """How long the primary's lock outlives its last renewal."""
    loop_wait_s: int
    """How often each Patroni looks at its server and renews what it holds."""
    retry_timeout_s: int
    """How long voters may be silent until a primary gives up its lock by itself."""
    watchdog_margin_s: int
    """How long before the end of the lock the watchdog has reset a machine whose Patroni stands still."""
    replication_timeout_s: int
    """Silence after which primary and standby take each other for lost (wal_sender_timeout, wal_receiver_timeout)."""
    voter_heartbeat_ms: int
    voter_election_ms: int
    """Silence of the leading voter until the others elect; each waits one to two times as long."""
    check_s: float
    """HAProxy's look at the server that is the primary."""
    check_down_s: float
    """The same at servers that are not the primary: the next primary is found this fast."""
    check_timeout_s: float
    check_fall: int
    promote_s: float
    """What PostgreSQL may need to become primary; an allowance, measured by the drills."""
    stop_s: float
    """What PostgreSQL may need to stop after its checkpoint, or to reload its settings; an allowance likewise."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """One profile."""

    name: ProfileName
    vrrp_advert_s: float
    """Interval of VRRP advertisements; a multiple of 0.01 s (RFC 9568: centiseconds)."""
    gateway_adverts: int
    """Silent intervals until the other gateway takes over. The RFC says 3; one more gives the second opinion time."""
    opinion_looks: int
    """How often a second the second opinion looks for the partner; a look is over well before a takeover."""
    opinion_wait_s: float
    """How long the partner may take to answer an ARP request."""
    check_interval_s: int
    """Interval of keepalived's own look at the program that it guards."""
    check_timeout_s: int
    health_interval_s: int
    """Interval at which a gateway looks at its rules, its forwarding and its routing."""
    bfd_interval_ms: int
    bfd_multiplier: int
    backend_check_s: float
    """Interval of HAProxy's health checks."""
    backend_check_timeout_s: float
    """How long a backend may take to answer a check, or to take a connection."""
    backend_fall: int
    """Failed checks until a backend is taken out."""
    backend_rise: int
    database: DatabaseTimers


STANDARD = Timers(
    name="standard",
    vrrp_advert_s=0.3,
    gateway_adverts=4,
    opinion_looks=3,
    opinion_wait_s=0.2,
    check_interval_s=1,
    check_timeout_s=3,
    health_interval_s=2,
    bfd_interval_ms=300,
    bfd_multiplier=3,
    backend_check_s=0.5,
    backend_check_timeout_s=0.5,
    backend_fall=2,
    backend_rise=2,
    database=DatabaseTimers(
        ttl_s=20,
        loop_wait_s=3,
        retry_timeout_s=8,
        watchdog_margin_s=5,
        replication_timeout_s=4,
        voter_heartbeat_ms=100,
        voter_election_ms=1000,
        check_s=1.0,
        check_down_s=0.5,
        check_timeout_s=1.0,
        check_fall=3,
        promote_s=1.0,
        stop_s=0.5,
    ),
)
EMULATED = Timers(
    name="emulated",
    vrrp_advert_s=1.0,
    gateway_adverts=4,
    opinion_looks=1,
    opinion_wait_s=0.5,
    check_interval_s=2,
    check_timeout_s=6,
    health_interval_s=10,
    bfd_interval_ms=1000,
    bfd_multiplier=3,
    backend_check_s=2.0,
    backend_check_timeout_s=2.0,
    backend_fall=2,
    backend_rise=2,
    database=DatabaseTimers(
        ttl_s=90,
        loop_wait_s=10,
        retry_timeout_s=40,
        watchdog_margin_s=10,
        replication_timeout_s=8,
        voter_heartbeat_ms=500,
        voter_election_ms=5000,
        check_s=4.0,
        check_down_s=2.0,
        check_timeout_s=4.0,
        check_fall=3,
        promote_s=4.0,
        stop_s=2.0,
    ),
)
PROFILES: Mapping[ProfileName, Timers] = {timers.name: timers for timers in (STANDARD, EMULATED)}


def vrrp_priority(rank: int) -> int:
    """Return the priority of the holder with ``rank`` 0, 1, …"""
    return VRRP_PRIORITY - VRRP_PRIORITY_STEP * rank


def vrrp_takeover_s(timers: Timers, backup_rank: int, adverts: int = 3) -> float:
    """Return the longest time until a backup takes over: silent intervals and the skew (RFC 9568, 6.1)."""
    skew = (256 - vrrp_priority(backup_rank)) * timers.vrrp_advert_s / 256
    return adverts * timers.vrrp_advert_s + skew


def gateway_takeover_s(timers: Timers) -> float:
    """Return the longest time until the second gateway of a pair holds the addresses of a lost first one."""
    return vrrp_takeover_s(timers, backup_rank=1, adverts=timers.gateway_adverts)


def entry_frozen_s(timers: Timers) -> float:
    """Return the longest time until the other entry node serves when HAProxy stands still on the one with the address.

    keepalived looks, waits for its answer, and gives the address away with priority 0: the other one waits for the skew
    only (RFC 9568, 6.4.2).
    """
    skew = vrrp_takeover_s(timers, backup_rank=1, adverts=0)
    return timers.check_interval_s + timers.check_timeout_s + skew


def backend_detection_s(timers: Timers) -> float:
    """Return the longest time until requests no longer go to a dead application process."""
    return timers.backend_fall * (timers.backend_check_s + timers.backend_check_timeout_s)


def backend_silence_s(timers: Timers) -> float:
    """Return how long a backend may leave packets of a request unacknowledged until it counts as lost (RFC 5482).

    A machine that only stands still for a moment acknowledges later; it may take as long as with failed checks.
    """
    return timers.backend_fall * timers.backend_check_timeout_s


def backend_return_s(timers: Timers) -> float:
    """Return the longest time until requests reach an application again whose database answers again."""
    return APPLICATION_LOOK_S + timers.backend_rise * timers.backend_check_s + timers.backend_check_timeout_s


def line_recovery_s(timers: Timers, *, bfd: bool, hold_s: int | None) -> float:
    """Return the longest time until traffic takes the other line: detection (RFC 5880, 6.8.4) and the new route."""
    detection = timers.bfd_multiplier * timers.bfd_interval_ms / 1000 if bfd else float(hold_s or HOLD_S)
    return detection + ROUTE_CHANGE_S


def primary_found_s(timers: DatabaseTimers) -> float:
    """Return the longest time until HAProxy sends connections to a new primary."""
    return timers.check_down_s + timers.check_timeout_s


def database_machine_lost_s(timers: DatabaseTimers) -> float:
    """Return the longest time without a primary when its machine is lost, and the leading voter with it.

    The other voters elect a leader after one to two election times, and a new leader gives every lease its whole time
    again, and one election time more (etcd, ``lessor.Promote``). Then the standby takes the lock, in vain asks the lost
    member how far it was, and is promoted.
    """
    election = timers.voter_election_ms / 1000
    locked = 2 * election + election + timers.ttl_s + LEASE_LOOK_S
    return locked + MEMBER_ANSWER_S + timers.promote_s + primary_found_s(timers)


def patroni_frozen_s(timers: DatabaseTimers) -> float:
    """Return the longest time without a primary when its Patroni stands still, until the watchdog acts."""
    return timers.ttl_s - timers.watchdog_margin_s + database_machine_lost_s(timers)


def database_crash_s(timers: DatabaseTimers) -> float:
    """Return the longest time without a primary when PostgreSQL alone dies: Patroni sees it and gives up the lock."""
    released = timers.loop_wait_s + REACTION_S
    return released + MEMBER_ANSWER_S + timers.promote_s + primary_found_s(timers)


def standby_lost_s(timers: DatabaseTimers) -> float:
    """Return how long commits may wait for a standby that is lost, until Patroni asks for none."""
    noticed = max(timers.replication_timeout_s, 2 * timers.voter_election_ms / 1000)
    return noticed + timers.loop_wait_s + REACTION_S + timers.stop_s


def voter_lost_s(timers: DatabaseTimers) -> float:
    """Return the longest time in which the voters decide nothing because their leader is lost.

    The others elect after one to two election times. No commit waits for that: the primary's lock outlives it.
    """
    return 2 * timers.voter_election_ms / 1000


def switchover_s(timers: DatabaseTimers) -> float:
    """Return the longest time without a primary when another one takes over as planned."""
    return timers.stop_s + timers.promote_s + primary_found_s(timers)

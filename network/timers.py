"""Timers of the redundant layers: one place for what is configured and for what is computed from it."""

from __future__ import annotations

VRRP_ADVERT_S = 0.3
"""Interval of VRRP advertisements; a multiple of 0.01 s (RFC 9568: centiseconds)."""
VRRP_PRIORITY = 200
"""Priority of the first holder; each further one has 10 less."""
VRRP_PRIORITY_STEP = 10
BACKEND_CHECK_S = 0.5
"""Interval of HAProxy's health checks."""
BACKEND_FALL = 2
"""Failed checks until a backend is taken out."""
BACKEND_RISE = 2
BACKEND_CHECK_TIMEOUT_S = 0.5


def vrrp_priority(rank: int) -> int:
    """Return the priority of the holder with ``rank`` 0, 1, …"""
    return VRRP_PRIORITY - VRRP_PRIORITY_STEP * rank


def vrrp_takeover_s(backup_rank: int) -> float:
    """Return the longest time until a backup takes over: three intervals and the skew (RFC 9568, 6.1)."""
    skew = (256 - vrrp_priority(backup_rank)) * VRRP_ADVERT_S / 256
    return 3 * VRRP_ADVERT_S + skew


def backend_detection_s() -> float:
    """Return the longest time until requests no longer go to a dead application process."""
    return BACKEND_FALL * (BACKEND_CHECK_S + BACKEND_CHECK_TIMEOUT_S)

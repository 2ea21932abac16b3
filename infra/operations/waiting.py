"""Waiting for what happens on machines far away: no event comes from there."""

from __future__ import annotations

import time
from collections.abc import Callable

from network.errors import OperationError


def await_until(
    what: str,
    true: Callable[[], bool],
    limit_s: float,
    pause_s: float = 0.2,
    *,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until ``true`` says so; OperationError that names ``what`` when it does not in time."""
    end = clock() + limit_s
    while not true():
        if clock() > end:
            raise OperationError(f"did not come within {limit_s:g} s: {what}")
        wait(pause_s)

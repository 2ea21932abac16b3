"""How long an office is without its business system when its main line is cut, seen from a terminal."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent import futures

from infra import process
from infra.lab import faults, reach, steady
from infra.plan.model import Plan
from network.model import Line, OfficeLan, ServiceEndpoint

INTERVAL_S = 0.1
CUT_AT_S, RESTORED_AT_S, LENGTH_S = 3.0, 23.0, 43.0
"""When the line is cut and restored, and how long is watched: a hold time of nine seconds fits in twice."""

Knock = tuple[float, bool]
"""The second at which a connection was begun, and whether it opened."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a terminal saw of a cut line."""

    line: Line
    office: OfficeLan
    endpoint: ServiceEndpoint
    cut_s: float
    """Longest time without an answer after the cut."""
    restored_s: float
    """Longest time without an answer after the repair."""
    recovered: bool
    """Whether the last knocks before the repair, and the last of all, were answered."""


def measure(plan: Plan, office: OfficeLan, endpoint: ServiceEndpoint, line: Line) -> Outage:
    """Cut ``line`` while a terminal knocks at ``endpoint``, restore it, and return what the terminal saw."""
    terminal = reach.office_exec(plan.stack, office.member, office.office, office.zone)
    address, port = plan.network.vip_by_name[endpoint.vip].address.ip, endpoint.listen[0].first
    knocker = (sys.executable, "-I", "-S", steady.__file__, str(address), str(port), str(LENGTH_S), str(INTERVAL_S))
    moments: dict[str, float] = {}
    with futures.ThreadPoolExecutor() as pool:
        began = time.monotonic()
        watching = pool.submit(process.run, *terminal, *knocker, timeout_s=LENGTH_S + 30)
        try:
            threading.Event().wait(CUT_AT_S)
            moments["cut"] = time.monotonic() - began
            faults.cut(plan, line.name)
            threading.Event().wait(RESTORED_AT_S - CUT_AT_S)
        finally:
            moments["restored"] = time.monotonic() - began
            faults.restore(plan, line.name)
        knocks = [(at, opened) for at, opened in json.loads(watching.result())]
    before = [k for k in knocks if k[0] < moments["restored"] - steady.PATIENCE_S]
    return Outage(
        line=line,
        office=office,
        endpoint=endpoint,
        cut_s=longest_silence(knocks, moments["cut"], moments["restored"]),
        restored_s=longest_silence(knocks, moments["restored"], LENGTH_S),
        recovered=all(opened for _, opened in (*before[-5:], *knocks[-5:])),
    )


def longest_silence(knocks: Sequence[Knock], start: float, end: float) -> float:
    """Return the longest time between two answered knocks, in seconds, as far as it lies between start and end.

    A knock counts at the second at which it was begun: it is one packet (`steady.PATIENCE_S`).
    """
    answered = [at for at, opened in sorted(knocks) if opened and start <= at < end]
    marks = [start, *answered, end]
    longest = max(later - earlier for earlier, later in itertools.pairwise(marks))
    return round(longest, 2)

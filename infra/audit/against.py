"""What changes for whom between two declarations, for the approval of a change."""

from __future__ import annotations

from infra.audit import declared, pairs
from infra.audit.model import Change
from infra.audit.packets import NONE
from infra.audit.topology import Topology
from infra.plan.model import Plan


def changes(before: Plan, after: Plan) -> tuple[Change, ...]:
    """Return every ordered pair of endpoints that gained or lost packets, sorted."""
    old, new = (
        pairs.sets_of_declaration(Topology(plan.network, allowed), allowed)
        for plan in (before, after)
        for allowed in [declared.declared(plan.network).allowed]
    )
    found: list[Change] = []
    for source, target in sorted(old.keys() | new.keys()):
        was, is_now = old.get((source, target), NONE), new.get((source, target), NONE)
        if was is not is_now:
            found.append(
                Change(
                    source=source,
                    target=target,
                    gained=pairs.ranges(is_now - was),
                    lost=pairs.ranges(was - is_now),
                )
            )
    return tuple(found)

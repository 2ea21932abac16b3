"""Blast radius as the report shows it: one row for everything that happens for the same reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from infra.plan.impact import STATES, Impact, Reason, State
from infra.plan.model import Plan
from infra.report.words import Text

_SITE = Reason(
    state="stops",
    text="its machines, gateways and lines at the site are lost together",
    text_ja="拠点にある機械・ゲートウェイ・回線をまとめて失う",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happens for the same reasons."""

    state: State
    services: tuple[tuple[str, tuple[str, ...]], ...]
    """Title of a business and the names of the members concerned."""
    reasons: tuple[Text, ...]
    gap_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One thing that may break."""

    impact: Impact
    outcomes: tuple[Outcome, ...]
    """The worst first; what goes on is left out."""
    members: tuple[tuple[State, int], ...]
    """How many members are in each state, by the worst of their businesses."""


def losses(plan: Plan, impacts: Iterable[Impact]) -> tuple[Loss, ...]:
    """Return ``impacts`` for the report, in their order."""
    return tuple(
        Loss(
            impact=one,
            outcomes=_outcomes(plan, one),
            members=tuple((state, len(one.members(state))) for state in STATES),
        )
        for one in impacts
    )


def _outcomes(plan: Plan, one: Impact) -> tuple[Outcome, ...]:
    titles = {endpoint.name: plan.services[endpoint.service] for endpoint in plan.network.endpoints}
    found: dict[tuple[State, tuple[Reason, ...]], dict[str, list[str]]] = {}
    for effect in one.effects:
        if effect.state != "goes_on":
            # Of a business that stops, what else is only degraded is of no interest any more.
            reasons = tuple(reason for reason in effect.reasons if reason.state == effect.state)
            if one.kind == "site" and effect.state == "stops":
                reasons = (_SITE,)
            services = found.setdefault((effect.state, reasons), {})
            services.setdefault(titles[effect.service], []).append(plan.members[effect.member])
    rows = sorted(found.items(), key=lambda row: STATES.index(row[0][0]))
    return tuple(
        Outcome(
            state=state,
            services=tuple((title, tuple(members)) for title, members in services.items()),
            reasons=tuple(Text(reason.text_ja, reason.text) for reason in reasons),
            gap_s=max(reason.gap_s for reason in reasons),
        )
        for (state, reasons), services in rows
    )

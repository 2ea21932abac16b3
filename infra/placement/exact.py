"""The exact search with CP-SAT, for what first fit cannot settle.

One master problem chooses a host per node. That every loss can be repaired is added on demand: a candidate of the
master is tried against all losses, and a loss it does not survive enters the master with variables of its own for the
repair. The master is a relaxation at every moment, so that its "impossible" holds for the whole problem; each loss
enters once, so that the search ends. Small problems get all losses from the start.

The limit is deterministic time, the solver has one worker and a fixed seed: the same input gives the same answer.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Mapping, Sequence

from infra.placement import cp, patterns, recovery
from infra.placement import site as sites

ALL_LOSSES_BELOW = 6_000
"""Up to this many repair variables, all losses enter the master at once."""
LOSSES_PER_ROUND = 4
PATTERNS_UNITS = 1.0
"""Limit for the patterns of hosts. Where few sizes exist they take 0.1 to 0.3; where all differ they do not help."""


class Status(enum.Enum):
    """What the search proved."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``assignment`` survives every loss of the rules; it is None unless OPTIMAL or FEASIBLE."""

    status: Status
    assignment: tuple[int, ...] | None
    lower_bound: int
    """Proved: no placement uses fewer hosts."""


def solve(site: sites.Site, *, floor: int, ceiling: int, budget: cp.Budget) -> Outcome:
    """Return a placement on the fewest hosts between ``floor``, which is proved, and ``ceiling``.

    INFEASIBLE means that none uses ``ceiling`` hosts or fewer. The patterns of hosts come first: they prove the bound
    and mostly give the placement. What they leave open is searched by halving the range, each half one question of
    yes or no, which the solver answers far faster than it minimises.
    """
    if budget.left <= 0:
        return Outcome(status=Status.UNKNOWN, assignment=None, lower_bound=floor)
    proved, best = _by_patterns(site, ceiling, budget)
    floor = max(floor, proved)
    if best is not None:
        ceiling = len(set(best)) - 1
    decided = floor > ceiling
    if not decided:
        decided, floor, better = _halve(site, floor, ceiling, has_answer=best is not None, budget=budget)
        best = better or best
    if decided:
        status = Status.INFEASIBLE if best is None else Status.OPTIMAL
        # Nothing lies below the answer, or below the ceiling where there is no answer.
        return Outcome(status=status, assignment=best, lower_bound=ceiling + 1 if best is None else len(set(best)))
    return Outcome(status=Status.UNKNOWN if best is None else Status.FEASIBLE, assignment=best, lower_bound=floor)


def _halve(
    site: sites.Site, floor: int, ceiling: int, *, has_answer: bool, budget: cp.Budget
) -> tuple[bool, int, tuple[int, ...] | None]:
    """Return whether the search came to its end, the proved bound, and the best placement it found."""
    master = cp.Master(site)
    every_loss = list(recovery.losses(site, range(len(site.hosts)), site.rules.spare_hosts))
    if len(every_loss) * len(site.nodes) * len(site.hosts) <= ALL_LOSSES_BELOW:
        for lost in every_loss:
            master.add_loss(lost)
    best: tuple[int, ...] | None = None
    while floor <= ceiling:
        # Before anything is known to exist, that is the question; then the number of hosts is.
        limit = (floor + ceiling) // 2 if has_answer or best is not None else ceiling
        verdict, candidate = master.solve(floor, limit, budget)
        if verdict is recovery.Verdict.NO:
            floor = limit + 1
            continue
        if candidate is None:
            return False, floor, best
        master.hint(candidate)
        failed, open_question = _unsurvived(site, candidate, budget)
        for lost in failed:
            master.add_loss(lost)
        if not failed:
            if open_question:
                return False, floor, best
            best, ceiling = candidate, len(set(candidate)) - 1
    return True, floor, best


def _by_patterns(site: sites.Site, ceiling: int, budget: cp.Budget) -> tuple[int, tuple[int, ...] | None]:
    """Return the bound of the cutting-stock problem, and its cover turned into a placement where the rules allow."""
    cutting = patterns.cut(site)
    if cutting is None:
        return 0, None
    part = cp.Budget(min(budget.left, PATTERNS_UNITS))
    budget.left -= part.left
    bound, cover = cp.solve_cover(cutting, ceiling, part)
    found: tuple[int, ...] | None = None
    if cover is not None and part.left > 0:
        allowed = {
            n: [h for h, pattern in cover if pattern[i] and h in site.allowed[n]]
            for i, nodes in enumerate(cutting.nodes)
            for n in nodes
        }
        master = cp.Master(site, allowed=allowed)
        master.follow(cutting, cover)
        _, candidate = master.solve(0, ceiling, part)
        if candidate is not None:
            failed, open_question = _unsurvived(site, candidate, part)
            found = None if failed or open_question else candidate
    budget.left += part.left
    return bound, found


def improve_labels(
    site: sites.Site, assignment: Sequence[int], needs: Mapping[int, int], budget: cp.Budget
) -> tuple[tuple[int, ...], int]:
    """Place every label on the fewest hosts by itself; return the result and the bound that this proves.

    Labels share no host, so their minima add up: many small questions instead of one large one. ``needs`` has a proved
    minimum per label. Losses are left out: the result is a candidate, the bound holds all the same.
    """
    now = list(assignment)
    floor = 0
    no_losses = dataclasses.replace(site.rules, spare_hosts=0)
    for label, need in needs.items():
        members = set(site.members(label))
        own = {now[n] for n in members}
        others = {h for n, h in enumerate(now) if n not in members}
        bound = min(need, len(own))
        if len(own) > need:
            hosts = [h for h in range(len(site.hosts)) if h in own or h not in others]
            part = sites.compile_site(
                site.id,
                [site.nodes[n] for n in sorted(members)],
                [site.hosts[h] for h in hosts],
                no_losses,
                {site.nodes[n].name: site.hosts[site.pinned[n]].id for n in members if site.pinned[n] != sites.ANY},
            )
            outcome = solve(part, floor=need, ceiling=len(own) - 1, budget=budget)
            if outcome.assignment is not None:
                for n, h in zip(sorted(members), outcome.assignment, strict=True):
                    now[n] = hosts[h]
            if _stand_for_all(site, hosts, len(own) - 1):
                bound = outcome.lower_bound
        floor += bound
    return tuple(now), floor


def _stand_for_all(site: sites.Site, hosts: Sequence[int], count: int) -> bool:
    """Say whether ``hosts`` have enough of every kind to stand in for any ``count`` hosts of the site."""
    there = collections.Counter(site.kinds[h] for h in hosts)
    return all(there[kind] >= min(count, total) for kind, total in collections.Counter(site.kinds).items())


def find_moves(
    site: sites.Site, assignment: Sequence[int], lost: tuple[int, ...], budget: cp.Budget
) -> recovery.Repair:
    """Return the exact answer for one loss: by the bounded search, and by the solver where its steps ran out."""
    repair = recovery.find_moves(site, assignment, lost, steps=recovery.THOROUGH_STEPS)
    if repair.verdict is not recovery.Verdict.OPEN:
        return repair
    repair = cp.solve_repair(site, assignment, lost, budget, apart=True)
    if repair.verdict is not recovery.Verdict.YES and site.rules.after_loss == "relaxed":
        repair = cp.solve_repair(site, assignment, lost, budget, apart=False)
    return repair


def _unsurvived(site: sites.Site, assignment: tuple[int, ...], budget: cp.Budget) -> tuple[list[tuple[int, ...]], bool]:
    """Return some losses proved not repairable, and whether the budget left a question open."""
    failed: list[tuple[int, ...]] = []
    open_question = False
    for lost in recovery.losses(site, assignment, site.rules.spare_hosts):
        verdict = find_moves(site, assignment, lost, budget).verdict
        open_question |= verdict is recovery.Verdict.OPEN
        if verdict is recovery.Verdict.NO:
            failed.append(lost)
            if len(failed) == LOSSES_PER_ROUND:
                break
    return failed, open_question

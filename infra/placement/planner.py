"""Place nodes on hosts: first fit where it meets the lower bound, the exact search otherwise, checked in any case."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence

from infra.placement import balance, bounds, check, cp, exact, explain, firstfit, model, recovery
from infra.placement import site as sites

SOLVER_UNITS = 20.0
"""Default limit of the exact search per site, in deterministic time of the solver: about a second each."""


def plan_placement(
    nodes: Iterable[model.Node],
    hosts: Iterable[model.Host],
    rules: model.Rules,
    fixed: Mapping[str, str],
    *,
    solver_units: float = SOLVER_UNITS,
) -> model.Placement:
    """Return the placement on the fewest hosts, evenly loaded, in which every covered loss can be repaired.

    ``fixed`` (node → host) is obeyed to the letter; nodes it names that no longer exist are left out. The order of the
    arguments makes no difference. Raises :class:`model.PlacementError` when no placement obeys the rules, or when none
    was found within ``solver_units``.
    """
    all_nodes, all_hosts = list(nodes), list(hosts)
    _require_unique("node", [n.name for n in all_nodes])
    _require_unique("host", [h.id for h in all_hosts])
    parts = [
        _plan_site(site, all_nodes, all_hosts, rules, fixed, solver_units=solver_units)
        for site in sorted({n.site for n in all_nodes})
    ]
    assignment = {name: host for part in parts for name, host in part.assignment.items()}
    placement = model.Placement(
        assignment=dict(sorted(assignment.items())),
        hosts_used=sum(part.hosts_used for part in parts),
        lower_bound=sum(part.lower_bound for part in parts),
        optimal=all(part.optimal for part in parts),
        method=max((part.method for part in parts), key=_rank, default=model.Method.FIRST_FIT),
        survives=tuple(survival for part in parts for survival in part.survives),
    )
    findings = check.check(all_nodes, all_hosts, rules, placement.assignment)
    findings += check.check_survives(all_nodes, all_hosts, rules, placement.assignment, placement.survives)
    findings += [f"node {n}: left {h}" for n, h in fixed.items() if placement.assignment.get(n, h) != h]
    if findings:
        raise AssertionError("the placement fails its own check, a defect: " + "; ".join(findings))
    return placement


def plan_survival(
    nodes: Iterable[model.Node],
    hosts: Iterable[model.Host],
    rules: model.Rules,
    assignment: Mapping[str, str],
    lost: Sequence[str],
    *,
    solver_units: float = SOLVER_UNITS,
) -> model.Survival:
    """Return where the nodes on ``lost`` (hosts of one site) go while all others stay as ``assignment`` has them."""
    all_hosts = list(hosts)
    affected = {h.site for h in all_hosts if h.id in lost}
    if len(affected) != 1 or not set(lost) <= {h.id for h in all_hosts}:
        raise ValueError(
            f"lost hosts {sorted(lost)}: expected declared hosts of one site, found sites {sorted(affected)}"
        )
    site = sites.compile_site(affected.pop(), nodes, all_hosts, rules, assignment)
    index = {h.id: i for i, h in enumerate(site.hosts)}
    return _survival(site, site.pinned, tuple(sorted(index[h] for h in lost)), cp.Budget(solver_units))


def _plan_site(
    site_id: str,
    nodes: Sequence[model.Node],
    hosts: Sequence[model.Host],
    rules: model.Rules,
    fixed: Mapping[str, str],
    *,
    solver_units: float,
) -> model.Placement:
    explain.require_usable_lock(site_id, nodes, hosts, rules, fixed)
    names = {n.name for n in nodes if n.site == site_id}
    site = sites.compile_site(site_id, nodes, hosts, rules, {n: h for n, h in fixed.items() if n in names})
    budget = cp.Budget(solver_units)
    outcome, method = search(site, budget)
    if outcome.assignment is None:
        raise explain.explain(site, outcome.status, search)
    best = balance.plan_balanced(site, outcome.assignment)
    used = len(set(best))
    covered = max(1, rules.spare_hosts)
    return model.Placement(
        assignment=dict(zip((n.name for n in site.nodes), (site.hosts[h].id for h in best), strict=True)),
        hosts_used=used,
        lower_bound=outcome.lower_bound,
        optimal=used == outcome.lower_bound,
        method=method,
        survives=tuple(
            _survival(site, best, lost, cp.Budget(solver_units)) for lost in recovery.losses(site, best, covered)
        ),
    )


def search(site: sites.Site, budget: cp.Budget) -> tuple[exact.Outcome, model.Method]:
    """Return the best placement of one site; its status is INFEASIBLE or UNKNOWN when there is none."""
    if bounds.find_shortages(site):
        return exact.Outcome(status=exact.Status.INFEASIBLE, assignment=None, lower_bound=0), model.Method.FIRST_FIT
    floor = bounds.lower_bound(site)
    method = model.Method.FIRST_FIT
    quick = firstfit.plan_first_fit(site)
    if quick is None:
        return exact.solve(site, floor=floor, ceiling=len(site.hosts), budget=budget), model.Method.SOLVER
    if len(set(quick)) > floor and len(site.label_names) > 1:
        half = cp.Budget(budget.left / 2)
        budget.left -= half.left
        needs = {label: need.hosts for label, need in bounds.needs_per_label(site).items()}
        candidate, proved = exact.improve_labels(site, quick, needs, half)
        budget.left += half.left
        floor = max(floor, proved)
        fewer = len(set(candidate)) < len(set(quick)) and sites.is_legal(site, candidate)
        if fewer and recovery.find_unsurvived(site, candidate, steps=recovery.QUICK_STEPS) is None:
            quick = candidate
        method = model.Method.SOLVER
    used = len(set(quick))
    if used <= floor:
        return exact.Outcome(status=exact.Status.OPTIMAL, assignment=quick, lower_bound=used), method
    better = exact.solve(site, floor=floor, ceiling=used - 1, budget=budget)
    if better.assignment is None:
        proved_best = better.status is exact.Status.INFEASIBLE
        status = exact.Status.OPTIMAL if proved_best else exact.Status.FEASIBLE
        better = exact.Outcome(status=status, assignment=quick, lower_bound=better.lower_bound)
    return better, model.Method.SOLVER


def _survival(site: sites.Site, assignment: Sequence[int], lost: tuple[int, ...], budget: cp.Budget) -> model.Survival:
    repair = exact.find_moves(site, assignment, lost, budget)
    reason = None
    if repair.verdict is recovery.Verdict.NO:
        reason = recovery.describe_failure(site, assignment, lost)
    elif repair.verdict is recovery.Verdict.OPEN:
        reason = "no repair was found within the limit of the search"
    moves = {site.nodes[n].name: site.hosts[h].id for n, h in repair.moves.items()}
    return model.Survival(
        lost=tuple(site.hosts[h].id for h in lost),
        possible=repair.verdict is recovery.Verdict.YES,
        moves=dict(sorted(moves.items())),
        reason=reason,
    )


def _rank(method: model.Method) -> int:
    return list(model.Method).index(method)


def _require_unique(what: str, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(twice)}")

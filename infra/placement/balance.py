"""Even out the memory load of the hosts in use, without opening a host and without giving up any rule.

The number of hosts is exact; the balance is a deterministic descent: the fullest host hands a node over, or swaps one,
as long as both hosts end below its load. Survival is checked on the result, and steps are taken back until it holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from infra.placement import recovery
from infra.placement import site as sites

ROUNDS_MAX = 3
"""A host that could hand nothing over may be able to after the others have; more rounds gained nothing in trials."""

Step = dict[int, int]
"""Nodes → their new host: one for a move, two for a swap."""


def plan_balanced(site: sites.Site, assignment: Sequence[int]) -> tuple[int, ...]:
    """Return ``assignment`` with its load evened out; it must survive every loss of the rules, and the result does."""
    steps = _descend(site, assignment)
    good, bad = 0, len(steps) + 1
    best = tuple(assignment)
    probe = len(steps)
    while good < probe < bad:
        candidate = list(assignment)
        for step in steps[:probe]:
            for n, h in step.items():
                candidate[n] = h
        if recovery.find_unsurvived(site, candidate, steps=recovery.QUICK_STEPS) is None:
            good, best = probe, tuple(candidate)
        else:
            bad = probe
        probe = (good + bad) // 2
    return best


def _descend(site: sites.Site, assignment: Sequence[int]) -> list[Step]:
    now = list(assignment)
    load = sites.Load.of(site, now)
    on_host: dict[int, set[int]] = {h: {n for n, at in enumerate(now) if at == h} for h in sorted(set(now))}
    steps: list[Step] = []
    for _ in range(ROUNDS_MAX):
        before = len(steps)
        done: set[int] = set()
        while len(done) < len(on_host) and len(steps) < 2 * len(now):
            fullest = max(on_host.keys() - done, key=lambda h: (load.memory_load(h), -h))
            step = _best_step(site, load, on_host, fullest)
            if step is None:
                done.add(fullest)
                continue
            _apply(load, on_host, now, step)
            for n, h in step.items():
                now[n] = h
            steps.append(step)
        if len(steps) == before:
            break
    return steps


def _apply(load: sites.Load, on_host: Mapping[int, set[int]], now: Sequence[int], step: Step) -> None:
    for n in step:
        on_host[now[n]].discard(n)
        load.take(n, now[n], on_host[now[n]])
    for n, h in step.items():
        on_host[h].add(n)
        load.put(n, h)


def _best_step(site: sites.Site, load: sites.Load, on_host: Mapping[int, set[int]], source: int) -> Step | None:
    """Return the move or swap that leaves the lower maximum of the two hosts, or None."""
    limit = load.memory_load(source)
    best, best_step = limit, None
    free = {h: sorted(n for n in there if site.pinned[n] == sites.ANY) for h, there in on_host.items()}
    for target in (h for h in on_host if h != source and on_host[h] and load.memory_load(h) < limit):
        for n, back in itertools.product(free[source], [None, *free[target]]):
            more = site.sizes[n][1] - (0 if back is None else site.sizes[back][1])
            if more <= 0:
                continue
            after = max(load.memory_load(source, -more), load.memory_load(target, more))
            if after >= best:
                continue
            origin, step = {n: source}, {n: target}
            if back is not None:
                origin[back], step[back] = target, source
            if _allowed(load, on_host, origin, step):
                best, best_step = after, step
    return best_step


def _allowed(load: sites.Load, on_host: Mapping[int, set[int]], origin: Step, step: Step) -> bool:
    """Say whether the nodes of ``step`` may go from their ``origin``; the load is as before afterwards."""
    for n, h in origin.items():
        load.take(n, h, on_host[h] - {n})
    done: list[tuple[int, int]] = []
    for n, h in step.items():
        if not load.fits(n, h):
            break
        load.put(n, h)
        done.append((n, h))
    for n, h in done:
        load.take(n, h, on_host[h] - step.keys())
    for n, h in origin.items():
        load.put(n, h)
    return len(done) == len(step)

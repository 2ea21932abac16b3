"""Even out the memory load of the hosts in use, without opening a host and without giving up any rule.

The number of hosts is exact; the balance is a deterministic descent: the fullest host hands a node over, or swaps one,
as long as both hosts end below its load. Survival is checked on the result, and steps are taken back until it holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.placement import recovery
from infra.placement import site as sites

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
    used = sorted(set(now))
    steps: list[Step] = []
    done: set[int] = set()
    for _ in range(2 * len(now)):
        load = sites.Load.of(site, now)
        open_hosts = [h for h in used if h not in done]
        if not open_hosts:
            break
        fullest = max(open_hosts, key=lambda h: (load.memory_load(h), -h))
        step = _best_step(site, now, load, fullest, used)
        if step is None:
            done.add(fullest)
            continue
        for n, h in step.items():
            now[n] = h
        steps.append(step)
        done.clear()
    return steps


def _best_step(site: sites.Site, now: Sequence[int], load: sites.Load, source: int, used: Sequence[int]) -> Step | None:
    """Return the move or swap that leaves the lower maximum of the two hosts, or None."""
    limit = load.memory_load(source)
    on_host: dict[int, list[int]] = {h: [] for h in used}
    for n, h in enumerate(now):
        if site.pinned[n] == sites.ANY:
            on_host[h].append(n)
    if sum(h == source for h in now) == 0:
        return None
    targets = [h for h in used if h != source and load.memory_load(h) < limit]
    best: tuple[int, Step] | None = None
    for target in targets:
        for n in on_host[source]:
            for back in [None, *on_host[target]]:
                give = site.sizes[n][1]
                take = 0 if back is None else site.sizes[back][1]
                if give <= take:
                    continue
                after = max(load.memory_load(source, take - give), load.memory_load(target, give - take))
                if after >= limit or (best is not None and after >= best[0]):
                    continue
                step = {n: target} if back is None else {n: target, back: source}
                if _allowed(site, now, step):
                    best = (after, step)
    return best[1] if best else None


def _allowed(site: sites.Site, now: Sequence[int], step: Step) -> bool:
    rest = [sites.ANY if n in step else h for n, h in enumerate(now)]
    load = sites.Load.of(site, rest)
    for n, h in step.items():
        if not load.fits(n, h):
            return False
        load.put(n, h)
    return True

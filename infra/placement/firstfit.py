"""First-fit decreasing in several deterministic variants. An answer that meets the lower bound needs no solver.

Each label (key, or "no key") starts with as many hosts as its lower bound allows. The variant that spreads its nodes
over them comes first, since evenly filled hosts survive a loss best; the ones that pack follow. When no variant places
all nodes, or none survives every loss, the label that failed gets one host more.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from infra.placement import bounds, recovery
from infra.placement import site as sites

Order = Literal["largest", "memory", "replicas"]
Choice = Literal["spread", "fullest", "first"]
VARIANTS: tuple[tuple[Order, Choice], ...] = tuple(
    itertools.product(("largest", "replicas", "memory"), ("spread", "fullest", "first"))
)


@dataclasses.dataclass(slots=True)
class _Quota:
    """How many hosts may be opened, per label and per label and zone."""

    label: dict[int, int]
    zone: dict[tuple[int, int], int]
    total: int

    def grow(self, label: int, zone: int) -> None:
        """Allow one host more where a node found no place."""
        self.total += 1
        if label != sites.ANY:
            self.label[label] += 1
            if zone:
                self.zone[label, zone] += 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: node → host (ANY: no place found), and the nodes without a place."""

    assignment: tuple[int, ...]
    stuck: tuple[int, ...]


def plan_first_fit(site: sites.Site) -> tuple[int, ...] | None:
    """Return a placement that survives every loss of the rules, or None when no variant finds one."""
    quota = _first_quota(site)
    hard: list[tuple[int, ...]] = []
    seen: set[tuple[int, ...]] = set()
    while quota.total <= len(site.hosts):
        weak: int | None = None
        for order, choice in VARIANTS:
            attempt = _attempt(site, quota, order, choice)
            if attempt.stuck:
                weak = attempt.stuck[0] if weak is None else weak
                continue
            if attempt.assignment in seen:
                continue
            seen.add(attempt.assignment)
            failed = recovery.find_unsurvived(site, attempt.assignment, steps=recovery.QUICK_STEPS, first=hard[:2])
            if failed is None:
                return attempt.assignment
            hard.insert(0, failed.lost)
            # A loss names the label better than a node without a place: some variant did place all nodes.
            weak = next(n for n, h in enumerate(attempt.assignment) if h in failed.lost)
        if weak is None:
            return None
        quota.grow(site.labels[weak], site.zones[weak])
    return None


def plan_as_much_as_possible(site: sites.Site) -> Attempt:
    """Return a placement of as many nodes as first fit manages with all hosts open; survival is not asked."""
    every = len(site.hosts)
    labels = range(len(site.label_names))
    quota = _Quota(
        label=dict.fromkeys(labels, every), zone=dict.fromkeys(itertools.product(labels, (1, 2)), every), total=every
    )
    tries = [_attempt(site, quota, order, choice) for order, choice in VARIANTS]
    return min(tries, key=lambda attempt: len(attempt.stuck))


def _first_quota(site: sites.Site) -> _Quota:
    label = {label: need.hosts for label, need in bounds.needs_per_label(site).items()}
    zone = {}
    everywhere = range(len(site.hosts))
    for own in label:
        for z in (1, 2):
            members = [n for n in site.members(own) if site.zones[n] == z]
            zone[own, z] = bounds.fewest_hosts(site, members, candidates=everywhere).hosts
        if zone[own, 1] and not zone[own, 2]:
            zone[own, 1] = label[own]
        elif zone[own, 2] and not zone[own, 1]:
            zone[own, 2] = label[own]
        # With both zones, hosts beyond the two needs may go to either.
        elif label[own] > zone[own, 1] + zone[own, 2]:
            for z in (1, 2):
                zone[own, z] = label[own] - zone[own, 3 - z]
    return _Quota(label=label, zone=zone, total=bounds.lower_bound(site))


def _sequence(site: sites.Site, order: Order) -> list[int]:
    caps = [max((c[r] for c in site.caps), default=1) or 1 for r in range(3)]
    set_sizes = [sum(mask >> bit & 1 for mask in site.sets) for bit in range(len(site.set_names))]

    def key(n: int) -> tuple[int, ...]:
        size, mask = site.sizes[n], site.sets[n]
        share = max(size[r] * 1_000_000 // caps[r] for r in range(3))
        sharers = sum(members for bit, members in enumerate(set_sizes) if mask >> bit & 1)
        first = {"largest": share, "memory": size[1], "replicas": sharers}[order]
        # Nodes that may sit anywhere fill up what the others leave; within a label the zones come before the rest.
        return (site.labels[n] == sites.ANY, not site.zones[n], -first, -share, n)

    return sorted((n for n in range(len(site.nodes)) if site.pinned[n] == sites.ANY), key=key)


def _attempt(site: sites.Site, quota: _Quota, order: Order, choice: Choice) -> Attempt:
    load = sites.Load.of(site, site.pinned)
    assignment = list(site.pinned)
    stuck = []
    for n in _sequence(site, order):
        h = _choose(site, load, quota, n, choice)
        if h is None:
            stuck.append(n)
        else:
            load.put(n, h)
            assignment[n] = h
    return Attempt(assignment=tuple(assignment), stuck=tuple(stuck))


def _choose(site: sites.Site, load: sites.Load, quota: _Quota, n: int, choice: Choice) -> int | None:
    label, zone = site.labels[n], site.zones[n]
    hosts = range(len(site.hosts))
    zone_full = bool(zone) and label != sites.ANY and quota.zone[label, zone] <= sum(
        load.label[h] == label and load.zone[h] == zone for h in hosts
    )
    in_use = [h for h in hosts if load.count[h] and load.fits(n, h) and not (zone_full and load.zone[h] != zone)]
    if label != sites.ANY:
        full = quota.label[label] <= sum(load.label[h] == label for h in hosts)
        in_use = [h for h in in_use if load.label[h] == label or not full]
        may_open = not full and not zone_full
    else:
        may_open = load.used() < quota.total
    opened = None
    if may_open and (choice == "spread" or not in_use):
        opened = min((h for h in hosts if not load.count[h] and load.fits(n, h)), key=lambda h: _fresh(site, load, h), default=None)
    if not in_use:
        return opened
    memory = site.sizes[n][1]
    if choice == "spread":
        candidates = in_use if opened is None else [*in_use, opened]
        return min(candidates, key=lambda h: (load.memory_load(h, memory), h))
    if choice == "fullest":
        return min(in_use, key=lambda h: (-load.memory_load(h, memory), h))
    return in_use[0]


def _fresh(site: sites.Site, load: sites.Load, h: int) -> tuple[int, int, int, int]:
    """Order of hosts to open: from the chassis least in use, then the largest."""
    chassis = site.chassis[h]
    beside = 0 if chassis == sites.ANY else sum(
        load.count[other] > 0 for other in range(len(site.hosts)) if site.chassis[other] == chassis
    )
    cap = site.caps[h]
    return (beside, -cap[1], -cap[0], h)

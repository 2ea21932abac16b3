"""First-fit decreasing in several deterministic variants. An answer that meets the lower bound needs no solver.

Labels (keys, and "no key") never share a host, so each is placed by itself: it starts with as many hosts as its lower
bound allows, and takes the first variant that places all its nodes. The variants that spread come first, since evenly
filled hosts survive a loss best. When no variant does it, or none survives every loss, the label gets as many hosts as
the best variant takes that is free to open hosts, and after that one host more each time.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

from infra.placement import bounds, recovery
from infra.placement import site as sites

Order = Literal["largest", "sum", "replicas", "memory", "vcpus"]
Choice = Literal["spread", "fullest", "matching", "first"]
ORDERS: tuple[Order, ...] = ("largest", "replicas", "sum", "memory", "vcpus")
CHOICES: tuple[Choice, ...] = ("spread", "fullest", "matching", "first")
VARIANTS = tuple((order, choice) for choice in CHOICES for order in ORDERS)


@dataclasses.dataclass(slots=True)
class _Group:
    """The nodes of one label, and the state of their search."""

    label: int
    quota: int
    """How many hosts they may have."""
    zone_quota: dict[int, int]
    """The same for each of the two zones that must not meet."""
    variant: int = 0
    free: bool = False
    """The bound is given up: either zone may have the whole quota."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: node → host (ANY: no place found), and the nodes without a place."""

    assignment: tuple[int, ...]
    stuck: tuple[int, ...]


def plan_first_fit(site: sites.Site) -> tuple[int, ...] | None:
    """Return a placement that survives every loss of the rules, or None when no variant finds one."""
    needs = bounds.needs_per_label(site)
    groups = {label: _first_group(site, label, needs) for label in _labels(site)}
    orders = {label: [_sequence(site, label, order) for order in ORDERS] for label in groups}
    now = list(site.pinned)
    waiting = list(groups)
    hard: list[tuple[int, ...]] = []
    while True:
        for label in waiting:
            if not _place_group(site, groups[label], orders[label], now):
                return None
        failed = recovery.find_unsurvived(site, now, steps=recovery.QUICK_STEPS, first=hard[:2])
        if failed is None:
            return tuple(now)
        hard.insert(0, failed.lost)
        weak = site.labels[next(n for n, h in enumerate(now) if h in failed.lost)]
        # A loss fails for want of room among the hosts of its label: the others stay as they are. Nodes of no label
        # fill the gaps of all, so they are placed again with it.
        waiting = sorted({weak, sites.ANY} & groups.keys(), key=list(groups).index)
        groups[weak].variant += 1


def plan_as_much_as_possible(site: sites.Site) -> Attempt:
    """Return a placement of as many nodes as first fit manages with all hosts open; survival is not asked."""
    every = len(site.hosts)
    tries = []
    for order, choice in itertools.product(ORDERS, CHOICES):
        now = list(site.pinned)
        stuck: list[int] = []
        for label in _labels(site):
            group = _Group(label=label, quota=every, zone_quota={1: every, 2: every})
            stuck += _fill(site, group, _sequence(site, label, order), choice, now)
        tries.append(Attempt(assignment=tuple(now), stuck=tuple(stuck)))
    return min(tries, key=lambda attempt: len(attempt.stuck))


def _labels(site: sites.Site) -> list[int]:
    """Return the labels, the most demanding in memory first; nodes of no label last, to fill what the others leave."""
    demand = {label: sum(site.sizes[n][1] for n in site.members(label)) for label in set(site.labels)}
    return sorted(demand, key=lambda label: (label == sites.ANY, -demand[label], label))


def _first_group(site: sites.Site, label: int, needs: Mapping[int, bounds.Need]) -> _Group:
    everywhere = range(len(site.hosts))
    if label == sites.ANY:
        # Hosts for them are opened only beyond all labels, as far as the whole site needs.
        return _Group(label=label, quota=bounds.lower_bound(site), zone_quota={1: 0, 2: 0})
    quota = needs[label].hosts
    members = site.members(label)
    need = {
        zone: bounds.fewest_hosts(site, [n for n in members if site.zones[n] == zone], candidates=everywhere).hosts
        for zone in (1, 2)
    }
    # What one zone does not need for certain, the other may use.
    return _Group(label=label, quota=quota, zone_quota={z: quota - need[3 - z] for z in (1, 2)})


def _sequence(site: sites.Site, label: int, order: Order) -> list[int]:
    caps = [max((c[r] for c in site.caps), default=1) or 1 for r in range(3)]
    set_sizes = [sum(mask >> bit & 1 for mask in site.sets) for bit in range(len(site.set_names))]

    def key(n: int) -> tuple[int, ...]:
        size, mask = site.sizes[n], site.sets[n]
        shares = [size[r] * 1_000_000 // caps[r] for r in range(3)]
        share = max(shares)
        sharers = sum(members for bit, members in enumerate(set_sizes) if mask >> bit & 1) if mask else 0
        first = {"largest": share, "sum": sum(shares), "replicas": sharers, "memory": size[1], "vcpus": size[0]}[order]
        return (not site.zones[n], -first, -share, n)

    return sorted((n for n in site.members(label) if site.pinned[n] == sites.ANY), key=key)


def _place_group(site: sites.Site, group: _Group, orders: Sequence[Sequence[int]], now: list[int]) -> bool:
    """Place a group anew, going on from its variant; on success ``now`` holds it."""
    while True:
        if group.variant == len(VARIANTS):
            quota = group.quota + 1 if group.free else _free_quota(site, group, orders, now)
            if quota is None or quota > len(site.hosts):
                return False
            group.quota, group.zone_quota, group.variant, group.free = quota, {1: quota, 2: quota}, 0, True
        order, choice = VARIANTS[group.variant]
        for n in orders[0]:
            now[n] = sites.ANY
        if not _fill(site, group, orders[ORDERS.index(order)], choice, now):
            return True
        group.variant += 1


def _free_quota(site: sites.Site, group: _Group, orders: Sequence[Sequence[int]], now: list[int]) -> int | None:
    """Return the fewest hosts that a variant without quota takes, more than the quota was; None when none succeeds."""
    every = len(site.hosts)
    free = _Group(label=group.label, quota=every, zone_quota={1: every, 2: every})
    best: int | None = None
    for order, choice in VARIANTS:
        if choice == "spread":  # it opens every host it may
            continue
        for n in orders[0]:
            now[n] = sites.ANY
        if not _fill(site, free, orders[ORDERS.index(order)], choice, now):
            members = site.members(group.label) if group.label != sites.ANY else range(len(now))
            used = max(group.quota + 1, len({now[n] for n in members} - {sites.ANY}))
            best = used if best is None else min(best, used)
    return best


def _fill(site: sites.Site, group: _Group, sequence: Sequence[int], choice: Choice, now: list[int]) -> list[int]:
    """Put the nodes on hosts one by one, into ``now``; return those which found no place."""
    load = sites.Load.of(site, now)
    stuck = []
    for n in sequence:
        h = _choose(site, load, group, n, choice)
        if h is None:
            stuck.append(n)
        else:
            load.put(n, h)
            now[n] = h
    return stuck


def _choose(site: sites.Site, load: sites.Load, group: _Group, n: int, choice: Choice) -> int | None:
    zone, hosts = site.zones[n], range(len(site.hosts))
    if group.label == sites.ANY:
        in_use = [h for h in hosts if load.count[h] and load.fits(n, h)]
        may_open = load.used() < group.quota
    else:
        mine = [h for h in hosts if load.label[h] == group.label]
        zone_full = bool(zone) and sum(load.zone[h] == zone for h in mine) >= group.zone_quota[zone]
        may_open = len(mine) < group.quota and not zone_full
        in_use = [h for h in mine if (load.zone[h] == zone or not zone_full) and load.fits(n, h)]
        if may_open:  # a host with nodes of no label may become one of ours
            in_use += [h for h in hosts if load.count[h] and load.label[h] == sites.ANY and load.fits(n, h)]
    opened = None
    if may_open and (choice == "spread" or not in_use):
        fresh = [h for h in hosts if not load.count[h] and load.fits(n, h)]
        opened = min(fresh, key=lambda h: _fresh(site, load, h, smallest=choice == "first"), default=None)
    if not in_use:
        return opened
    memory = site.sizes[n][1]
    if choice == "spread":
        candidates = in_use if opened is None else [*in_use, opened]
        return min(candidates, key=lambda h: (load.memory_load(h, memory), h))
    if choice == "fullest":
        return min(in_use, key=lambda h: (-load.memory_load(h, memory), h))
    if choice == "matching":
        return min(in_use, key=lambda h: (-_matching(site, load, n, h), h))
    return in_use[0]


def _matching(site: sites.Site, load: sites.Load, n: int, h: int) -> int:
    """Return how well what is left on a host has the proportions of the node (their dot product, in shares)."""
    left = (load.vcpus[h], load.memory[h], load.storage[h])
    shares = zip(site.sizes[n], left, site.caps[h], strict=True)
    return sum((size * 1000 // cap) * (free * 1000 // cap) for size, free, cap in shares if cap)


def _fresh(site: sites.Site, load: sites.Load, h: int, *, smallest: bool) -> tuple[int, int, int, int]:
    """Order of hosts to open: from the chassis least in use, then the largest, which hold most, or the smallest.

    The smallest that will do leaves the large ones free, which a large node may need after a loss.
    """
    beside = 0
    if site.chassis[h] != sites.ANY:
        beside = sum(load.count[other] > 0 for other, c in enumerate(site.chassis) if c == site.chassis[h])
    sign = 1 if smallest else -1
    return (beside, sign * site.caps[h][1], sign * site.caps[h][0], h)

"""Which fillings of a host exist, and how many hosts they need: the bound that sees all resources and zones at once.

Machines come in few sizes. Nodes of one size, key and zone are one kind here, a *pattern* says how many of each kind
fill a host, and the fewest hosts whose patterns cover all nodes is a small cutting-stock problem (Gilmore and Gomory,
1961) with an almost exact linear relaxation. Which node is which only matters to replica sets and losses: leaving them
out keeps the bound true, and a cover says where nodes of each kind may go when the full rules are tried on it.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence

from infra.placement import site as sites

STEPS_MAX = 60_000
"""Limit of the enumeration, about 0.2 s; beyond it hosts are so large that counting gets close enough."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Kind:
    """Nodes that are equal but for their replica sets."""

    size: sites.Size
    label: int
    zone: int


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Room:
    """Hosts that are equal in what they can still take, beside the nodes that must stay on them."""

    free: sites.Size
    label: int
    zone: int
    in_use: bool


Pattern = tuple[int, ...]
"""Number of nodes per kind, in the order of ``Cutting.kinds``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """The cutting-stock problem of one site."""

    kinds: tuple[Kind, ...]
    demand: tuple[int, ...]
    nodes: tuple[tuple[int, ...], ...]
    """The nodes of each kind."""
    rooms: dict[Room, tuple[int, ...]]
    """The hosts of each room."""
    patterns: dict[Room, tuple[Pattern, ...]]


def cut(site: sites.Site) -> Cutting | None:
    """Return the problem with its patterns, or None when there are too many of them."""
    by_kind: dict[Kind, list[int]] = collections.defaultdict(list)
    for n, pinned in enumerate(site.pinned):
        if pinned == sites.ANY:
            by_kind[Kind(site.sizes[n], site.labels[n], site.zones[n])].append(n)
    # The largest first: that prunes the enumeration early.
    kinds = tuple(sorted(by_kind, key=lambda kind: (-kind.size[1], -kind.size[0], kind)))
    load = sites.Load.of(site, site.pinned)
    rooms: dict[Room, list[int]] = collections.defaultdict(list)
    for h in range(len(site.hosts)):
        free = (load.vcpus[h], load.memory[h], load.storage[h])
        rooms[Room(free, load.label[h], load.zone[h], load.count[h] > 0)].append(h)
    enumeration = _Enumeration(kinds, [_most_apart(site, by_kind[kind]) for kind in kinds])
    patterns = {room: enumeration.patterns(room) for room in sorted(rooms)}
    if enumeration.steps > STEPS_MAX:
        return None
    return Cutting(
        kinds=kinds,
        demand=tuple(len(by_kind[kind]) for kind in kinds),
        nodes=tuple(tuple(by_kind[kind]) for kind in kinds),
        rooms={room: tuple(rooms[room]) for room in sorted(rooms)},
        patterns=patterns,
    )


def _most_apart(site: sites.Site, nodes: Sequence[int]) -> int:
    """Return a number that so many of ``nodes`` never exceed on one host: of each replica set there is one at most."""
    count, seen = 0, 0
    for n in nodes:
        mask = site.sets[n]
        if not mask & seen:
            count += 1
            seen |= mask & -mask  # all further nodes of this one set are counted with it
    return count


class _Enumeration:
    """All patterns to which no node can be added, for one room after the other; gives up after STEPS_MAX."""

    def __init__(self, kinds: Sequence[Kind], most: Sequence[int]) -> None:
        self.kinds, self.most = kinds, most
        self.steps = 0

    def patterns(self, room: Room) -> tuple[Pattern, ...]:
        found: set[Pattern] = set()
        labels = {kind.label for kind in self.kinds} - {sites.ANY} if room.label == sites.ANY else {room.label}
        for label in labels or {sites.ANY}:
            for zone in (room.zone,) if room.zone else (1, 2):
                mine = [
                    i
                    for i, kind in enumerate(self.kinds)
                    if kind.label in (label, sites.ANY) and kind.zone in (0, zone)
                ]
                found.update(self._fill(mine, [0] * len(self.kinds), room.free, 0))
        return tuple(sorted(found))

    def _fill(self, mine: Sequence[int], counts: list[int], free: sites.Size, at: int) -> Iterator[Pattern]:
        self.steps += 1
        if self.steps > STEPS_MAX:
            return
        if at == len(mine):
            if not any(counts[i] < self.most[i] and self._fits(i, free) for i in mine):
                yield tuple(counts)
            return
        i = mine[at]
        most = 0
        while most < self.most[i] and self._fits(i, free, most + 1):
            most += 1
        size = self.kinds[i].size
        # What the last kind could still take makes every smaller number of it a pattern that is not full.
        for count in range(most, -1 if at + 1 < len(mine) else most - 1, -1):
            counts[i] = count
            left = (free[0] - count * size[0], free[1] - count * size[1], free[2] - count * size[2])
            yield from self._fill(mine, counts, left, at + 1)
        counts[i] = 0

    def _fits(self, i: int, free: sites.Size, count: int = 1) -> bool:
        size = self.kinds[i].size
        return count * size[0] <= free[0] and count * size[1] <= free[1] and count * size[2] <= free[2]

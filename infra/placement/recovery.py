"""After the loss of hosts: where do their nodes go? Exact by search; what a bounded search leaves open says so."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Iterator, Sequence

from infra.placement import site as sites

QUICK_STEPS = 2_000
"""Search steps per loss while candidates are tried by the hundred; about 50 ms at 40 hosts."""
THOROUGH_STEPS = 20_000
"""Search steps per loss for the answer that is given; what they leave open is put to the solver."""


class Verdict(enum.Enum):
    """What a search found out."""

    YES = "yes"
    NO = "no"
    OPEN = "open"
    """The steps ran out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The answer for one loss."""

    lost: tuple[int, ...]
    verdict: Verdict
    moves: dict[int, int]
    """Node → host; empty unless YES."""


def losses(site: sites.Site, assignment: Sequence[int], size_max: int) -> Iterator[tuple[int, ...]]:
    """Yield every set of up to ``size_max`` hosts of which at least one carries a node.

    Smaller sets come first and are not covered by larger ones: a chassis that has lost one host still counts.
    """
    used = set(assignment)
    for size in range(1, size_max + 1):
        for lost in itertools.combinations(range(len(site.hosts)), size):
            if not used.isdisjoint(lost):
                yield lost


def find_moves(site: sites.Site, assignment: Sequence[int], lost: tuple[int, ...], *, steps: int) -> Repair:
    """Search a new host for every node on ``lost``; all others stay. Replicas stay apart wherever that is possible."""
    load = sites.Load.of(site, assignment, lost)
    gone = [n for n, h in enumerate(assignment) if h in lost]
    strict = site.rules.after_loss == "strict"
    repair = _search(site, load, lost, gone, apart=True, steps=steps if strict else min(steps, QUICK_STEPS))
    if repair.verdict is Verdict.YES or strict:
        return repair
    return _search(site, load, lost, gone, apart=False, steps=steps)


def find_unsurvived(
    site: sites.Site, assignment: Sequence[int], *, steps: int, first: Sequence[tuple[int, ...]] = ()
) -> Repair | None:
    """Return the first loss that the rules cover and that is not shown to be repairable; None: all are.

    ``first``: losses to try before the others, since what failed for one candidate mostly fails for the next.
    """
    for lost in itertools.chain(first, losses(site, assignment, site.rules.spare_hosts)):
        repair = find_moves(site, assignment, lost, steps=steps)
        if repair.verdict is not Verdict.YES:
            return repair
    return None


def describe_failure(site: sites.Site, assignment: Sequence[int], lost: tuple[int, ...]) -> str:
    """Return why the nodes on ``lost`` find no place: the nodes that fit nowhere, or that they do not fit together."""
    load = sites.Load.of(site, assignment, lost)
    apart = site.rules.after_loss == "strict"
    gone = [n for n, h in enumerate(assignment) if h in lost]
    left = [h for h in range(len(site.hosts)) if h not in lost]
    stuck = [n for n in gone if not any(load.fits(n, h, apart=apart) for h in left)]
    if stuck:
        return f"no host left for {', '.join(site.names(stuck))}"
    return f"the hosts left cannot take all of {', '.join(site.names(gone))} together"


def _search(
    site: sites.Site, load: sites.Load, lost: tuple[int, ...], gone: Sequence[int], *, apart: bool, steps: int
) -> Repair:
    hosts = [h for h in range(len(site.hosts)) if h not in lost]
    choices = {n: [h for h in hosts if load.fits(n, h, apart=apart)] for n in gone}
    if not all(choices.values()) or _too_little(site, load, gone, hosts):
        return Repair(lost=lost, verdict=Verdict.NO, moves={})
    order = sorted(gone, key=lambda n: (len(choices[n]), -site.sizes[n][1], -site.sizes[n][0], n))
    search = _DepthFirst(site, load, order, choices, apart=apart, steps=steps)
    verdict = search.run()
    return Repair(lost=lost, verdict=verdict, moves=dict(search.moves) if verdict is Verdict.YES else {})


def _too_little(site: sites.Site, load: sites.Load, gone: Sequence[int], hosts: Sequence[int]) -> bool:
    """Say whether some label's lost nodes outweigh all hosts that could take them (hosts without a label included)."""
    for label in {site.labels[n] for n in gone}:
        mine = [n for n in gone if site.labels[n] == label]
        open_hosts = [h for h in hosts if label == sites.ANY or load.label[h] in (label, sites.ANY)]
        for r, free in enumerate((load.vcpus, load.memory, load.storage)):
            if sum(site.sizes[n][r] for n in mine) > sum(max(0, free[h]) for h in open_hosts):
                return True
    return False


class _DepthFirst:
    """Try hosts node by node and go back on failure; hosts that look alike are tried once."""

    def __init__(
        self,
        site: sites.Site,
        load: sites.Load,
        order: Sequence[int],
        choices: dict[int, list[int]],
        *,
        apart: bool,
        steps: int,
    ) -> None:
        self.site, self.order, self.choices, self.apart, self.steps = site, order, choices, apart, steps
        self.load = load
        self.moves: dict[int, int] = {}

    def run(self, depth: int = 0) -> Verdict:
        if depth == len(self.order):
            return Verdict.YES
        n, before = self.order[depth], self.load
        open_hosts = [h for h in self.choices[n] if before.fits(n, h, apart=self.apart)]
        # Replicas apart where possible, hosts in use before empty ones, the fullest first.
        open_hosts.sort(key=lambda h: (before.shares(n, h), not before.count[h], before.memory[h], h))
        tried: set[tuple[object, ...]] = set()
        for h in open_hosts:
            looks = self._looks(h)
            if looks in tried:
                continue
            tried.add(looks)
            self.steps -= 1
            if self.steps < 0:
                return Verdict.OPEN
            self.load = before.copy()
            self.load.put(n, h)
            self.moves[n] = h
            verdict = self.run(depth + 1)
            if verdict is not Verdict.NO:
                return verdict
            self.load = before
            del self.moves[n]
        return Verdict.NO

    def _looks(self, h: int) -> tuple[object, ...]:
        load = self.load
        return (
            load.vcpus[h], load.memory[h], load.storage[h], load.label[h], load.zone[h], load.sets[h],
            self.site.kinds[h],
        )  # fmt: skip

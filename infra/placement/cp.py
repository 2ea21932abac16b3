"""The CP-SAT models. OR-Tools is imported when the first model is built: its import alone takes longer than most plans.

Every rule is written once, in ``_Model.add_rules``, over expressions that are 1 when a node is on a host: before any
loss these are variables, after a loss the sum of "stays there" and "moves there".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from infra.placement import patterns, recovery
from infra.placement import site as sites

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

    On = Mapping[tuple[int, int], cp_model.LinearExprT]
    """(node, host) → 1 when the node is there; a pair that is not listed is impossible."""

SEED = 1
FIRST_SLICE = 1 / 3
"""Share of the budget for the plain search. Without the linear relaxation it packs 120 nodes in 1 s where the default
settings find nothing in 25 s; the interleaved strategies get the rest, among them those with the relaxation."""


class Budget:
    """Deterministic time that several searches share, in the solver's units (about a second each)."""

    def __init__(self, units: float) -> None:
        self.left = units


class _Model:
    """A CP-SAT model of one site."""

    def __init__(self, site: sites.Site) -> None:
        from ortools.sat.python import cp_model  # noqa: PLC0415

        self.site = site
        self.cp = cp_model.CpModel()

    def add_rules(
        self, on: On, hosts: Iterable[int], *, apart: bool, used: Sequence[cp_model.IntVar] | None = None
    ) -> dict[tuple[int, int], cp_model.IntVar]:
        """Demand capacity, keys, zones and, if ``apart``, the replica sets; return (label, host) → label is there.

        A host that is not ``used`` has no capacity.
        """
        site, cp = self.site, self.cp
        there: dict[int, list[int]] = {h: [] for h in hosts}
        for n, h in on:
            there[h].append(n)
        label_there: dict[tuple[int, int], cp_model.IntVar] = {}
        for h, nodes in there.items():
            for r, cap in enumerate(site.caps[h]):
                limit = cap if used is None else cap * used[h]
                cp.add(sum(site.sizes[n][r] * on[n, h] for n in nodes) <= limit)
            labels = sorted({site.labels[n] for n in nodes} - {sites.ANY})
            exclusive = [cp.new_bool_var("") for _ in labels]
            label_there.update({(label, h): var for label, var in zip(labels, exclusive, strict=True)})
            cp.add_at_most_one(exclusive)
            first_zone = cp.new_bool_var("")
            zone_there = {1: first_zone, 2: ~first_zone}
            for n in nodes:
                if site.labels[n] != sites.ANY:
                    cp.add(on[n, h] <= label_there[site.labels[n], h])
                if site.zones[n]:
                    cp.add(on[n, h] <= zone_there[site.zones[n]])
        if apart:
            for group, bit in itertools.product(self._chassis_groups(there), range(len(site.set_names))):
                sharers = [on[n, h] for h in group for n in there[h] if site.sets[n] >> bit & 1]
                if len(sharers) > 1:
                    cp.add(sum(sharers) <= 1)
        return label_there

    def _chassis_groups(self, hosts: Iterable[int]) -> list[list[int]]:
        """Return the hosts in groups of which a replica set may use one host only."""
        groups: dict[tuple[bool, int], list[int]] = {}
        for h in hosts:
            named = self.site.chassis[h] != sites.ANY
            groups.setdefault((named, self.site.chassis[h] if named else h), []).append(h)
        return list(groups.values())

    def run(self, budget: Budget) -> tuple[recovery.Verdict, cp_model.CpSolver]:
        """Solve within what the budget has left."""
        from ortools.sat.python import cp_model  # noqa: PLC0415

        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = SEED
        solver.parameters.linearization_level = 0
        for units, interleave in ((budget.left * FIRST_SLICE, False), (budget.left * (1 - FIRST_SLICE), True)):
            if units <= 0:
                break
            solver.parameters.interleave_search = interleave
            solver.parameters.max_deterministic_time = units
            status = solver.solve(self.cp)
            budget.left -= solver.response_proto.deterministic_time
            if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                return recovery.Verdict.YES, solver
            if status == cp_model.INFEASIBLE:
                return recovery.Verdict.NO, solver
            if status == cp_model.MODEL_INVALID:
                raise RuntimeError(f"invalid placement model: {self.cp.validate()}")
        return recovery.Verdict.OPEN, solver


class Master(_Model):
    """Choose a host per node, such that the losses added so far can be repaired."""

    def __init__(self, site: sites.Site, *, allowed: Mapping[int, Sequence[int]] | None = None) -> None:
        super().__init__(site)
        hosts = range(len(site.hosts))
        self.x: dict[tuple[int, int], cp_model.IntVar] = {}
        for n in range(len(site.nodes)):
            fitting = sorted(site.allowed[n])
            if allowed is not None and site.pinned[n] == sites.ANY:
                fitting = list(allowed[n])
            for h in fitting if site.pinned[n] == sites.ANY else [site.pinned[n]]:
                self.x[n, h] = self.cp.new_bool_var("")
            self.cp.add_exactly_one(self.x[n, h] for h in hosts if (n, h) in self.x)
        self.used = [self.cp.new_bool_var("") for _ in hosts]
        self.limit = self.cp.add_linear_constraint(sum(self.used), 0, len(site.hosts))
        for (_, h), var in self.x.items():
            self.cp.add_implication(var, self.used[h])
        self.labels = self.add_rules(self.x, hosts, apart=True, used=self.used)
        self._order_equal_hosts()
        if site.rules.spare_hosts:
            self._keep_room_per_label()

    def _order_equal_hosts(self) -> None:
        """Use equal hosts in their order: which of them is left out makes no difference to anybody."""
        alike: dict[tuple[sites.Size, int, frozenset[int]], int] = {}
        for h in range(len(self.site.hosts)):
            if h in self.site.pinned:
                continue
            kind = self.site.kinds[h]
            if kind in alike:
                self.cp.add_implication(self.used[h], self.used[alike[kind]])
            alike[kind] = h

    def _keep_room_per_label(self) -> None:
        """Cut: without any one of its hosts, a label must fit on its other hosts and on hosts without a label."""
        hosts = range(len(self.site.hosts))
        at_host: dict[int, list[cp_model.IntVar]] = {h: [] for h in hosts}
        for (_, h), var in self.labels.items():
            at_host[h].append(var)
        free = [1 - sum(at_host[h]) for h in hosts]
        for (label, lost), lost_var in self.labels.items():
            members = self.site.members(label)
            for r in range(3):
                room = sum(
                    self.site.caps[h][r] * (self.labels.get((label, h), 0) + free[h]) for h in hosts if h != lost
                )
                self.cp.add(room >= sum(self.site.sizes[n][r] for n in members)).only_enforce_if(lost_var)

    def follow(self, cutting: patterns.Cutting, cover: Iterable[tuple[int, patterns.Pattern]]) -> None:
        """Demand that no host takes more nodes of a kind than its pattern has."""
        for h, pattern in cover:
            for nodes, count in zip(cutting.nodes, pattern, strict=True):
                self.cp.add(sum(self.x[n, h] for n in nodes if (n, h) in self.x) <= count)

    def add_loss(self, lost: tuple[int, ...]) -> None:
        """Demand that the loss of these hosts can be repaired."""
        left = [h for h in range(len(self.site.hosts)) if h not in lost]
        on: dict[tuple[int, int], cp_model.LinearExprT] = {at: var for at, var in self.x.items() if at[1] in left}
        for n in range(len(self.site.nodes)):
            was_lost = [self.x[n, h] for h in lost if (n, h) in self.x]
            if not was_lost:
                continue
            targets = sorted(self.site.allowed[n] - set(lost))
            moves = {h: self.cp.new_bool_var("") for h in targets}
            self.cp.add(sum(moves.values()) == sum(was_lost))
            for h, move in moves.items():
                on[n, h] = move + self.x[n, h] if (n, h) in self.x else move
        self.add_rules(on, left, apart=self.site.rules.after_loss == "strict")

    def hint(self, assignment: Sequence[int]) -> None:
        """Start the next search from ``assignment``."""
        self.cp.clear_hints()  # type: ignore[no-untyped-call]
        for (n, h), var in self.x.items():
            self.cp.add_hint(var, assignment[n] == h)

    def solve(self, floor: int, ceiling: int, budget: Budget) -> tuple[recovery.Verdict, tuple[int, ...] | None]:
        """Search a placement which uses between ``floor`` and ``ceiling`` hosts."""
        domain = self.limit.proto.linear.domain
        domain.clear()
        domain.extend((floor, ceiling))
        verdict, solver = self.run(budget)
        if verdict is not recovery.Verdict.YES:
            return verdict, None
        placed = {n: h for (n, h), var in self.x.items() if solver.boolean_value(var)}
        return verdict, tuple(placed[n] for n in range(len(self.site.nodes)))


def solve_cover(
    cutting: patterns.Cutting, hosts_max: int, budget: Budget
) -> tuple[int, list[tuple[int, patterns.Pattern]] | None]:
    """Return the number of hosts below which no cover exists, and a cover: pairs of host and pattern.

    The cover is None when none was found, or none with ``hosts_max`` hosts or fewer exists.
    """
    from ortools.sat.python import cp_model  # noqa: PLC0415

    cp = cp_model.CpModel()
    used: dict[patterns.Room, list[tuple[patterns.Pattern, cp_model.IntVar]]] = {}
    for room, found in cutting.patterns.items():
        count = len(cutting.rooms[room])
        used[room] = [(pattern, cp.new_int_var(0, count, "")) for pattern in found]
        cp.add(sum(var for _, var in used[room]) <= count)
    every = [pair for pairs in used.values() for pair in pairs]
    for i, wanted in enumerate(cutting.demand):
        cp.add(sum(pattern[i] * var for pattern, var in every if pattern[i]) >= wanted)
    opened = sum(var for room, pairs in used.items() if not room.in_use for _, var in pairs)
    in_use = sum(len(hosts) for room, hosts in cutting.rooms.items() if room.in_use)
    cp.minimize(opened)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = budget.left
    status = solver.solve(cp)
    budget.left -= solver.response_proto.deterministic_time
    if status == cp_model.INFEASIBLE:
        return sum(len(hosts) for hosts in cutting.rooms.values()) + 1, None
    bound = in_use + math.ceil(solver.best_objective_bound - 1e-6)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE) or in_use + solver.objective_value > hosts_max:
        return bound, None
    cover = []
    for room, pairs in used.items():
        filled = [pattern for pattern, var in pairs for _ in range(solver.value(var))]
        cover += list(zip(cutting.rooms[room], filled, strict=False))
    return bound, cover


def solve_repair(
    site: sites.Site, assignment: Sequence[int], lost: tuple[int, ...], budget: Budget, *, apart: bool
) -> recovery.Repair:
    """Find new hosts for the nodes on ``lost`` while the others stay."""
    model = _Model(site)
    left = [h for h in range(len(site.hosts)) if h not in lost]
    on: dict[tuple[int, int], cp_model.LinearExprT] = {}
    moves: dict[tuple[int, int], cp_model.IntVar] = {}
    for n, h in enumerate(assignment):
        if h not in lost:
            on[n, h] = 1
            continue
        targets = {(n, target): model.cp.new_bool_var("") for target in left if target in site.allowed[n]}
        model.cp.add_exactly_one(targets.values())
        moves.update(targets)
    model.add_rules({**on, **moves}, left, apart=apart)
    verdict, solver = model.run(budget)
    if verdict is not recovery.Verdict.YES:
        return recovery.Repair(lost=lost, verdict=verdict, moves={})
    found = {n: h for (n, h), var in moves.items() if solver.boolean_value(var)}
    return recovery.Repair(lost=lost, verdict=verdict, moves=found)

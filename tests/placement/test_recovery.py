from __future__ import annotations

import itertools
import random
from typing import Literal

import pytest

from infra.placement import cp, model, recovery
from infra.placement import site as sites
from tests.placement.build import host, hosts, legal, node, rules

Rule = Literal["strict", "relaxed"]


def random_site(seed: int, after_loss: Rule) -> tuple[sites.Site, list[int]] | None:
    """Return a site with chassis, sets and keys, and some legal assignment."""
    dice = random.Random(seed)  # noqa: S311 - test data
    there = [
        host(f"h{i}", vcpus=dice.choice([6, 8]), memory_gib=dice.choice([6, 9]), chassis=dice.choice([None, "A", "B"]))
        for i in range(5)
    ]
    nodes = [
        node(
            f"n{i}",
            *(s for s in "xyz" if dice.random() < 0.4),
            vcpus=dice.randint(1, 3),
            memory_gib=dice.randint(1, 5),
            key=dice.choice(["k:1", None, None]),
            zone=dice.choice([None, None, "mynumber", "internet"]),
        )
        for i in range(7)
    ]
    rule = rules(1, after_loss=after_loss)
    site = sites.compile_site("dc1", nodes, there, rule, {})
    load = sites.Load(site)
    assignment = []
    for n in range(len(nodes)):
        fitting = [h for h in range(len(there)) if load.fits(n, h)]
        if not fitting:
            return None
        assignment.append(dice.choice(fitting))
        load.put(n, assignment[-1])
    return site, assignment


@pytest.mark.parametrize("after_loss", ["strict", "relaxed"])
def test_the_verdict_on_a_loss_equals_enumeration(after_loss: Rule) -> None:
    verdicts = []
    for seed in range(250):
        made = random_site(seed, after_loss)
        if made is None:
            continue
        site, assignment = made
        for lost in recovery.losses(site, assignment, 1):
            repair = recovery.find_moves(site, assignment, lost, steps=recovery.THOROUGH_STEPS)
            possible = bool(all_repairs(site, assignment, lost, apart=after_loss == "strict"))
            assert (repair.verdict is recovery.Verdict.YES) == possible, f"seed {seed}, loss of {lost}"
            assert repair.verdict is not recovery.Verdict.OPEN
            if possible:
                apart = bool(all_repairs(site, assignment, lost, apart=True))
                moved = tuple(repair.moves[n] for n in sorted(repair.moves))
                assert moved in all_repairs(site, assignment, lost, apart=apart), "apart wherever that is possible"
            solved = cp.solve_repair(site, assignment, lost, cp.Budget(10), apart=after_loss == "strict")
            assert (solved.verdict is recovery.Verdict.YES) == possible
            verdicts.append(possible)
    assert min(verdicts.count(True), verdicts.count(False)) > 50, "both answers were tested"


def all_repairs(
    site: sites.Site, assignment: list[int], lost: tuple[int, ...], *, apart: bool
) -> list[tuple[int, ...]]:
    gone = [n for n, h in enumerate(assignment) if h in lost]
    left = [h for h in range(len(site.hosts)) if h not in lost]
    there = [site.hosts[h] for h in left]
    found = []
    for new in itertools.product(left, repeat=len(gone)):
        at = {site.nodes[n].name: site.hosts[h].id for n, h in enumerate(assignment)}
        at |= {site.nodes[n].name: site.hosts[h].id for n, h in zip(gone, new, strict=True)}
        if legal(site.nodes, there, site.rules, at, apart=apart):
            found.append(new)
    return found


def test_the_search_goes_back_when_the_first_way_fails() -> None:
    """5 4 3 3 into 9 and 6: taking the fuller host for the 5 leaves no room for the second 3."""
    there = [host("lost", memory_gib=15), host("nine", memory_gib=9), host("six", memory_gib=6)]
    nodes = [node(f"n{i}", memory_gib=size) for i, size in enumerate([5, 4, 3, 3])]
    site = sites.compile_site("dc1", nodes, there, rules(1), {})
    repair = recovery.find_moves(site, [0, 0, 0, 0], (0,), steps=100)
    assert repair.moves == {0: 1, 1: 1, 2: 2, 3: 2}
    assert recovery.find_moves(site, [0, 0, 0, 0], (0,), steps=2).verdict is recovery.Verdict.OPEN


def test_the_reason_names_the_nodes() -> None:
    there = hosts(2, memory_gib=8)
    nodes = [node("a", "r"), node("b", "r"), node("c", memory_gib=2)]
    site = sites.compile_site("dc1", nodes, there, rules(1), {})
    assert recovery.describe_failure(site, [0, 1, 0], (0,)) == "no host left for a"
    nodes = [node("a", memory_gib=3), node("b", memory_gib=3), node("c", memory_gib=4)]
    site = sites.compile_site("dc1", nodes, there, rules(1), {})
    assert recovery.describe_failure(site, [0, 0, 1], (0,)) == "the hosts left cannot take all of a, b together"


def test_losses_are_all_sets_with_a_host_in_use() -> None:
    site = sites.compile_site("dc1", [node("a")], hosts(3), rules(2), {})
    assert list(recovery.losses(site, [1], 2)) == [(1,), (0, 1), (1, 2)]
    assert list(recovery.losses(site, [1], 0)) == []


def test_a_host_keeps_its_label_and_zone_while_a_node_of_them_stays() -> None:
    nodes = [
        node("a", key="k:1", zone="internet"),
        node("b", key="k:1"),
        node("w", "r", anywhere=True),
    ]
    there: list[model.Host] = [host("h1", chassis="A"), host("h2", chassis="A")]
    site = sites.compile_site("dc1", [*nodes, node("v", "r", anywhere=True)], there, rules(), {})
    index = {n.name: i for i, n in enumerate(site.nodes)}
    load = sites.Load.of(site, [0 if n.name != "v" else sites.ANY for n in site.nodes])
    before = load.copy()
    load.take(index["a"], 0, {index["b"], index["w"]})
    assert (load.label[0], load.zone[0], load.count[0]) == (site.label_names.index("k:1"), 0, 2)
    assert not load.fits(index["v"], 1), "its replica is still in the chassis"
    load.take(index["w"], 0, {index["b"]})
    assert load.fits(index["v"], 1)
    load.put(index["w"], 0)
    load.put(index["a"], 0)
    assert all(getattr(load, name) == getattr(before, name) for name in sites.Load.__slots__ if name != "site")


def test_hosts_of_two_chassis_do_not_look_alike() -> None:
    """x fits a1 and b1 equally, but only b1 leaves a place for y, whose one open host stands in the chassis of a1."""
    there = [
        host("a1", chassis="A", memory_gib=4, vcpus=1),
        host("a2", chassis="A", memory_gib=3, storage_gib=20),
        host("b1", chassis="B", memory_gib=4, vcpus=1),
        host("c1", chassis="C", memory_gib=3, storage_gib=90),
        host("lost1"),
        host("lost2"),
    ]
    nodes = [
        node("x", "s", memory_gib=4),
        node("y", "s", memory_gib=3, vcpus=2),
        node("z", memory_gib=3, vcpus=3, storage_gib=50),
    ]
    site = sites.compile_site("dc1", nodes, there, rules(2), {})
    repair = recovery.find_moves(site, [4, 5, 5], (4, 5), steps=100)
    assert {site.nodes[n].name: site.hosts[h].id for n, h in repair.moves.items()} == {"x": "b1", "y": "a2", "z": "c1"}

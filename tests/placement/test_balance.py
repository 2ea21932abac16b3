from __future__ import annotations

from infra.placement import balance, model, recovery
from infra.placement import site as sites
from tests.placement.build import hosts, node, rules


def balanced(
    nodes: list[model.Node],
    there: list[model.Host],
    rule: model.Rules,
    at: list[int],
    fixed: dict[str, str] | None = None,
) -> list[int]:
    return list(balance.plan_balanced(sites.compile_site("dc1", nodes, there, rule, fixed or {}), at))


def test_the_fullest_host_hands_over() -> None:
    nodes = [node(f"n{i}", memory_gib=8) for i in range(4)]
    assert sorted(balanced(nodes, hosts(2), rules(), [0, 0, 0, 1])) == [0, 0, 1, 1]


def test_hosts_swap_where_a_move_is_too_much() -> None:
    nodes = [node("a", memory_gib=20), node("b", memory_gib=12), node("c", memory_gib=14), node("d", memory_gib=2)]
    at = balanced(nodes, hosts(2), rules(), [0, 0, 1, 1])
    loads = [sum(n.memory_mib for n, h in zip(nodes, at, strict=True) if h == side) // 1024 for side in (0, 1)]
    assert sorted(loads) == [22, 26], "20 + 2 and 12 + 14 by one swap; a move alone would only turn 32 and 16 around"


def test_nodes_of_the_lock_are_not_moved() -> None:
    nodes = [node(f"n{i}", memory_gib=8) for i in range(4)]
    fixed = {"n0": "h01", "n1": "h01", "n2": "h01"}
    assert balanced(nodes, hosts(2), rules(), [0, 0, 0, 1], fixed) == [0, 0, 0, 1]


def test_no_empty_host_is_opened() -> None:
    nodes = [node(f"n{i}", memory_gib=8) for i in range(4)]
    assert balanced(nodes, hosts(3), rules(), [0, 0, 0, 0]) == [0, 0, 0, 0]


def test_rules_are_kept_by_every_step() -> None:
    nodes = [
        node("a", "r", memory_gib=20, zone="mynumber"),
        node("b", "r", memory_gib=2, zone="lgwan"),
        node("c", memory_gib=4, zone="internet"),
        node("d", memory_gib=9, zone="mynumber"),
    ]
    assert balanced(nodes, hosts(2), rules(), [0, 1, 1, 0]) == [0, 1, 1, 0], "a replica there, the other zone there"


def test_steps_that_cost_a_repair_are_taken_back() -> None:
    """After any step towards balance there is no host left with room for the node of 7 GiB."""
    nodes = [node("n7", memory_gib=7), node("n2", memory_gib=2), node("n3", memory_gib=3), node("n5", memory_gib=5)]
    start, there = [0, 0, 1, 2], hosts(3, memory_gib=10)
    names = [n.name for n in sorted(nodes, key=lambda n: n.name)]
    at = [start[[n.name for n in nodes].index(name)] for name in names]
    assert recovery.find_unsurvived(sites.compile_site("dc1", nodes, there, rules(1), {}), at, steps=100) is None
    assert balanced(nodes, there, rules(0), at) != at, "otherwise this test proves nothing"
    assert balanced(nodes, there, rules(1), at) == at

from __future__ import annotations

from infra.placement import bounds, cp, firstfit, model, patterns, planner
from infra.placement import site as sites
from tests.placement.build import fewest_hosts, host, hosts, node, rules, town


def compiled(nodes: list[model.Node], there: list[model.Host], fixed: dict[str, str] | None = None) -> sites.Site:
    return sites.compile_site("dc1", nodes, there, rules(), fixed or {})


def test_patterns_are_all_full_fillings_and_no_others() -> None:
    """Two sizes on a host of 10 GiB, by hand: 4+4, 4+3+3, 3+3+3."""
    nodes = [node(f"a{i}", memory_gib=4) for i in range(5)] + [node(f"b{i}", memory_gib=3) for i in range(5)]
    cutting = patterns.cut(compiled(nodes, hosts(3, memory_gib=10)))
    assert cutting is not None
    assert [kind.size[1] // 1024 for kind in cutting.kinds] == [4, 3]
    assert list(cutting.patterns.values()) == [((0, 3), (1, 2), (2, 0))]


def test_patterns_keep_keys_and_zones_apart() -> None:
    nodes = [
        node("m", zone="mynumber"),
        node("i", zone="internet"),
        node("l", zone="lgwan"),
        node("k", key="member:a"),
        node("w", anywhere=True),
    ]
    cutting = patterns.cut(compiled(nodes, hosts(3)))
    assert cutting is not None
    name = {i: cutting.nodes[i][0] for i in range(len(cutting.kinds))}
    (found,) = cutting.patterns.values()
    site = compiled(nodes, hosts(3))
    fillings = {"".join(sorted(site.nodes[name[i]].name for i, c in enumerate(p) if c)) for p in found}
    assert fillings == {"lmw", "ilw", "kw"}


def test_a_pattern_has_one_node_of_a_replica_set() -> None:
    nodes = [node(f"r{i}", "r") for i in range(4)] + [node("a", "p"), node("b", "p")]
    cutting = patterns.cut(compiled(nodes, hosts(5)))
    assert cutting is not None
    assert list(cutting.patterns.values()) == [((2,),)], "six nodes of one kind, but one of each set"


def test_hosts_with_nodes_of_the_lock_have_the_room_that_is_left() -> None:
    nodes = [node("old", memory_gib=40, key="member:a"), *(node(f"n{i}", memory_gib=20) for i in range(2))]
    cutting = patterns.cut(compiled(nodes, hosts(2), {"old": "h01"}))
    assert cutting is not None
    by_use = {room.in_use: found for room, found in cutting.patterns.items()}
    assert by_use == {True: ((0,),), False: ((2,),)}, "the key closes the first host, the second takes both"


def test_too_many_patterns_are_given_up() -> None:
    nodes = [node(f"n{i}", vcpus=1, memory_gib=1 + i % 23) for i in range(230)]
    assert patterns.cut(compiled(nodes, [host("h1", vcpus=200, memory_gib=900)])) is None


def test_the_cover_proves_more_than_counting() -> None:
    """Either resource alone would fit on two hosts of 16 vCPUs and 64 GiB; by enumeration both together do not."""
    sizes = [(11, 13), (5, 44), (2, 24), (10, 14), (1, 30)]
    nodes = [node(f"n{i}", vcpus=vcpus, memory_gib=memory) for i, (vcpus, memory) in enumerate(sizes)]
    site = compiled(nodes, hosts(4))
    assert bounds.lower_bound(site) == 2
    assert fewest_hosts(nodes, hosts(4), rules(), {}) == 3
    cutting = patterns.cut(site)
    assert cutting is not None
    bound, cover = cp.solve_cover(cutting, 4, cp.Budget(5))
    assert bound == 3
    assert cover is not None
    assert len(cover) == 3


def test_a_site_that_first_fit_leaves_open_is_proved_by_its_patterns() -> None:
    nodes, there = town(3, 120), hosts(40)
    site = sites.compile_site("dc1", nodes, there, rules(1), {})
    quick = firstfit.plan_first_fit(site)
    assert quick is not None
    assert len(set(quick)) > bounds.lower_bound(site), "otherwise this test proves nothing"
    placement = planner.plan_placement(nodes, there, rules(1), {})
    assert (placement.hosts_used, placement.optimal) == (23, True)
    assert placement.method is model.Method.SOLVER

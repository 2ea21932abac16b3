from __future__ import annotations

import random
import subprocess
import sys

import pytest

from infra.placement import check, model, planner
from tests.placement.build import demo, host, hosts, node, rules, town


def test_the_demo_meets_its_bound_and_survives_without_a_solver() -> None:
    nodes, there = demo()
    rule = rules(1, after_loss="relaxed")
    placement = planner.plan_placement(nodes, there, rule, {})
    assert (placement.hosts_used, placement.lower_bound, placement.optimal) == (3, 3, True)
    assert placement.method is model.Method.FIRST_FIT
    assert list(placement.assignment) == sorted(n.name for n in nodes)
    assert [s.lost for s in placement.survives] == [("kvm01",), ("kvm02",), ("kvm03",)]
    assert all(s.possible and s.reason is None for s in placement.survives)
    moved = [name for s in placement.survives for name in s.moves]
    assert sorted(moved) == sorted(placement.assignment), "each node is lost once and has a place to go"


def test_small_problems_do_not_import_the_solver() -> None:
    script = (
        "import sys\n"
        "from infra.placement import planner, model\n"
        "from tests.placement.build import demo, rules\n"
        "nodes, hosts = demo()\n"
        "planner.plan_placement(nodes, hosts, rules(1, after_loss='relaxed'), {})\n"
        "try:\n"
        "    planner.plan_placement(nodes, hosts, rules(1), {})\n"
        "except model.PlacementError:\n"
        "    print('refused', 'ortools' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "refused False\n"


def test_an_optimum_above_the_bound_is_proved_by_the_solver() -> None:
    """3 × 20 and 3 × 23 GiB weigh 129 GiB on hosts of 43: exactly three hosts by sum, and only in the right pairs."""
    nodes = [node(f"a{i}", memory_gib=20) for i in range(3)] + [node(f"b{i}", memory_gib=23) for i in range(3)]
    perfect = planner.plan_placement(nodes, hosts(6, memory_gib=43), rules(), {})
    assert (perfect.hosts_used, perfect.optimal) == (3, True)
    # One pair may not meet: the sum still says three, the truth is four, and only a search can know.
    nodes = [node(f"a{i}", "x", memory_gib=20) for i in range(3)] + [
        node(f"b{i}", "x" if i == 0 else f"y{i}", memory_gib=23) for i in range(3)
    ]
    placement = planner.plan_placement(nodes, hosts(6, memory_gib=43), rules(), {})
    assert (placement.hosts_used, placement.lower_bound, placement.optimal) == (4, 4, True)


def test_what_first_fit_misses_the_solver_finds() -> None:
    """Two bins of 10, sizes 6 4 | 5 3 2 with the 6 and the 5 first: every greedy order here needs a third bin."""
    sizes = [4, 4, 4, 3, 3, 2, 2, 2]  # 24 on 2 × 12
    nodes = [node(f"n{i}", memory_gib=size, vcpus=v) for i, (size, v) in enumerate(zip(sizes, VCPUS, strict=True))]
    there = [host(f"h{i}", vcpus=12, memory_gib=12) for i in range(4)]
    placement = planner.plan_placement(nodes, there, rules(), {})
    assert (placement.hosts_used, placement.optimal) == (2, True)


VCPUS = [2, 3, 4, 1, 5, 3, 4, 2]


def test_one_key_a_host_and_none_beside_keyless_nodes() -> None:
    nodes = [
        node("a-1", key="member:a"),
        node("a-2", key="member:a"),
        node("juki-1", key="business:juki"),
        node("gw"),
        node("spare", anywhere=True),
    ]
    placement = planner.plan_placement(nodes, hosts(4), rules(1), {})
    at = placement.assignment
    assert placement.hosts_used == 3
    assert at["a-1"] == at["a-2"]
    assert len({at["a-1"], at["juki-1"], at["gw"]}) == 3
    assert {s.moves[name] for s in placement.survives for name in s.moves if name != "spare"} == {"h04"}, (
        "the free host is spare for every key"
    )


def test_mynumber_and_internet_share_a_host_only_when_declared() -> None:
    nodes = [node("a", zone="mynumber"), node("b", zone="internet"), node("c", zone="lgwan")]
    assert planner.plan_placement(nodes, hosts(3), rules(), {}).hosts_used == 2
    assert planner.plan_placement(nodes, hosts(3), rules(zone_hosts="shared"), {}).hosts_used == 1


def test_replicas_use_different_chassis_where_chassis_are_named() -> None:
    there = [host("h1", chassis="A"), host("h2", chassis="A"), host("h3", chassis="B")]
    at = planner.plan_placement([node("a", "r"), node("b", "r")], there, rules(), {}).assignment
    assert "h3" in at.values()


def test_after_the_loss_of_a_host_a_chassis_still_counts() -> None:
    """Two hosts in A, one in B: losing h3 leaves one chassis for two replicas."""
    there = [host("h1", chassis="A"), host("h2", chassis="A"), host("h3", chassis="B")]
    pair = [node("a", "r"), node("b", "r")]
    with pytest.raises(model.PlacementError, match="1 after the loss of 1"):
        planner.plan_placement(pair, there, rules(1), {})
    assert planner.plan_placement(pair, there, rules(1, after_loss="relaxed"), {}).hosts_used == 2
    assert planner.plan_placement(pair, [*there, host("h4", chassis="B")], rules(1), {}).hosts_used == 2


def test_one_spare_host_keeps_the_room_for_any_loss() -> None:
    nodes = [node(f"n{i}", memory_gib=16) for i in range(4)]
    assert planner.plan_placement(nodes, hosts(2, memory_gib=64), rules(1), {}).hosts_used == 1
    with pytest.raises(model.PlacementError):
        planner.plan_placement(nodes, hosts(2, memory_gib=48), rules(1), {})
    assert planner.plan_placement(nodes, hosts(2, memory_gib=48), rules(0), {}).hosts_used == 2


def test_two_spare_hosts_repair_every_pair() -> None:
    nodes = [node("a", "r"), node("b", "r")]
    with pytest.raises(model.PlacementError):
        planner.plan_placement(nodes, hosts(3), rules(2), {})
    placement = planner.plan_placement(nodes, hosts(4), rules(2), {})
    lost = [s.lost for s in placement.survives]
    assert len(lost) == len(set(lost)) == 2 + 5, "two hosts in use, and the pairs that hold one of them"
    assert all(s.possible for s in placement.survives)


def test_without_spare_hosts_each_loss_is_reported_as_it_is() -> None:
    nodes = [node("a", "r"), node("b", "r"), node("big", memory_gib=50)]
    placement = planner.plan_placement(nodes, hosts(2), rules(0), {})
    assert [s.possible for s in placement.survives] == [False, False]
    assert {s.reason for s in placement.survives} >= {"no host left for b"} or {
        s.reason for s in placement.survives
    } >= {"no host left for a"}


def test_what_survives_relaxed_keeps_replicas_apart_where_it_can() -> None:
    """Three hosts, one voter each, and a pair: the pair finds the third host, only the voters must share."""
    nodes = [node("a", "pair"), node("b", "pair")]
    placement = planner.plan_placement(nodes, hosts(3), rules(1, after_loss="relaxed"), {})
    assert check.check_survives(nodes, hosts(3), rules(1), placement.assignment, placement.survives) == []


def test_nodes_of_the_lock_stay_and_new_ones_fit_in() -> None:
    nodes, there = demo()
    rule = rules(1, after_loss="relaxed")
    first = planner.plan_placement(nodes, there, rule, {}).assignment
    more = [*nodes, node("zaimu-kawaminami-1", memory_gib=1, zone="lgwan")]
    second = planner.plan_placement(more, there, rule, first).assignment
    assert {name: second[name] for name in first} == first
    assert planner.plan_placement(more, there, rule, second).assignment == second


def test_the_lock_is_obeyed_even_where_fewer_hosts_would_do() -> None:
    nodes = [node("a"), node("b")]
    placement = planner.plan_placement(nodes, hosts(3), rules(), {"a": "h01", "b": "h03", "gone": "h02"})
    assert placement.assignment == {"a": "h01", "b": "h03"}
    assert (placement.hosts_used, placement.lower_bound, placement.optimal) == (2, 2, True)


def test_sites_are_placed_by_themselves() -> None:
    nodes = [node("a"), node("b", site="dc2"), node("c", site="dc2", key="member:c")]
    there = [host("h1"), host("o1", site="dc2"), host("o2", site="dc2")]
    placement = planner.plan_placement(nodes, there, rules(), {})
    assert placement.assignment["a"] == "h1"
    assert {placement.assignment["b"], placement.assignment["c"]} == {"o1", "o2"}
    assert (placement.hosts_used, placement.lower_bound) == (3, 3)


def test_nothing_to_place_is_a_placement() -> None:
    placement = planner.plan_placement([], hosts(2), rules(1), {})
    assert (placement.assignment, placement.hosts_used, placement.survives) == ({}, 0, ())
    assert placement.optimal


@pytest.mark.parametrize("count", [8, 40])
def test_order_of_arguments_makes_no_difference(count: int) -> None:
    nodes, there = town(1, count), hosts(12)
    expected = planner.plan_placement(nodes, there, rules(1), {})
    dice = random.Random(5)  # noqa: S311 - test data
    for _ in range(3):
        dice.shuffle(nodes)
        dice.shuffle(there)
        assert planner.plan_placement(nodes, there, rules(1), {}) == expected


def test_the_solver_gives_the_same_answer_twice() -> None:
    dice = random.Random(0)  # noqa: S311 - test data
    nodes = [
        node(f"n{i:02}", f"s{i // 2}", vcpus=dice.randint(1, 4), memory_gib=dice.randint(15, 32)) for i in range(20)
    ]
    there = hosts(12)
    first = planner.plan_placement(nodes, there, rules(1), {})
    assert first.method is model.Method.SOLVER, "otherwise this test proves nothing"
    dice.shuffle(nodes)
    assert planner.plan_placement(nodes, there, rules(1), {}) == first


def test_the_load_is_spread_over_the_hosts_in_use() -> None:
    nodes = [node(f"r{i}", "r", memory_gib=2) for i in range(3)] + [node(f"n{i}", memory_gib=6) for i in range(6)]
    at = planner.plan_placement(nodes, hosts(4), rules(1, after_loss="relaxed"), {}).assignment
    loads = [sum(n.memory_mib for n in nodes if at[n.name] == h) // 1024 for h in sorted(set(at.values()))]
    assert loads == [14, 14, 14]


def test_forty_and_three_hundred_nodes_are_proved_optimal() -> None:
    for count, there in ((40, 8), (300, 40)):
        placement = planner.plan_placement(town(1, count), hosts(there, memory_gib=256, vcpus=128), rules(1), {})
        assert len(placement.assignment) == count
        assert placement.optimal
        assert all(s.possible for s in placement.survives)


def test_a_name_twice_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="node named twice: a"):
        planner.plan_placement([node("a"), node("a")], hosts(1), rules(), {})
    with pytest.raises(ValueError, match="host named twice: h01"):
        planner.plan_placement([node("a")], [*hosts(1), *hosts(1)], rules(), {})


def test_the_loss_of_given_hosts_is_answered_for_a_running_placement() -> None:
    nodes, there = demo()
    rule = rules(1, after_loss="relaxed")
    placement = planner.plan_placement(nodes, there, rule, {})
    one = planner.plan_survival(nodes, there, rule, placement.assignment, ["kvm02"])
    assert one == placement.survives[1]
    two = planner.plan_survival(nodes, there, rule, placement.assignment, ["kvm01", "kvm02"])
    assert (two.possible, two.reason is None) == (False, False)
    with pytest.raises(ValueError, match="kvm09"):
        planner.plan_survival(nodes, there, rule, placement.assignment, ["kvm09"])


def test_a_node_cannot_ask_for_a_key_and_for_none() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        model.Node(
            name="a", site="dc1", vcpus=1, memory_mib=1, storage_gib=1, key="member:a", keyless_host=True,
            zone=None, replica_sets=(), stateful=False,
        )  # fmt: skip


def test_a_negative_number_of_spare_hosts_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        rules(-1)

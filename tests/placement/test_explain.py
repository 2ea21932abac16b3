"""Every refusal names the rule and the nodes, and each cure it prints is tried here by applying it."""

from __future__ import annotations

import random

import pytest

from infra.placement import exact, explain, model, planner
from infra.placement import site as sites
from tests.placement.build import demo, host, hosts, node, rules


def refuse(
    nodes: list[model.Node], there: list[model.Host], rule: model.Rules, fixed: dict[str, str] | None = None
) -> model.PlacementError:
    with pytest.raises(model.PlacementError) as caught:
        planner.plan_placement(nodes, there, rule, fixed or {})
    assert caught.value.exit_code == 2
    return caught.value


def test_the_demo_with_strict_rules_says_all_there_is_to_say() -> None:
    nodes, there = demo()
    assert str(refuse(nodes, there, rules(1))) == (
        "site dc1: no placement of 8 nodes on 3 hosts obeys the rules"
        " (spare_hosts 1, after_loss strict, hosts of zones separate)\n"
        "  because: replica set juki-voters has 3 nodes for 3 separate hosts,"
        " 2 after the loss of 1 (spare_hosts, after_loss: strict)\n"
        "  nodes: juki-ap-1, juki-db-1, juki-db-2\n"
        "  cure: one more host of at least 1 GiB memory, 1 vCPU, 31 GiB storage at site dc1\n"
        "  cure: after_loss: relaxed (replicas may share a host until the repair)\n"
        "  cure: spare_hosts: 0 (the loss of a host is then not sure to be repaired)\n"
        "  cure: fewer nodes in replica set juki-voters (juki-ap-1, juki-db-1, juki-db-2)"
    )
    # The first cure, applied:
    cured = [*there, host("kvm04", vcpus=1, memory_gib=1, storage_gib=31)]
    assert planner.plan_placement(nodes, cured, rules(1), {}).optimal


def test_host_keys_are_named_with_the_need_of_each() -> None:
    nodes = [node("a", key="member:a"), node("b", key="member:b"), node("gw")]
    error = refuse(nodes, hosts(2), rules())
    assert error.causes == (
        (
            "at least 3 hosts are needed, 2 there; no key: 1 (at least one node);"
            " key member:a: 1 (at least one node); key member:b: 1 (at least one node)"
        ),
    )
    assert len(error.nodes) == 1
    assert error.cures == (
        "one more host of at least 4 GiB memory, 1 vCPU, 125 GiB storage at site dc1",
        "another pattern: the host keys are what is in the way",
    )


def test_a_node_larger_than_every_host_is_named_with_its_size() -> None:
    error = refuse([node("big", memory_gib=96), node("small")], hosts(3), rules(1))
    assert error.nodes == ("big",)
    assert error.causes == (
        (
            "node big (1 vCPU, 96 GiB memory, 10 GiB storage) fits on 0 of 3 hosts even when they are empty;"
            " spare_hosts 1 asks for 2"
        ),
    )
    assert error.cures[0] == "2 more hosts of at least 96 GiB memory, 1 vCPU, 125 GiB storage at site dc1"
    assert error.cures[1:] == ("more memory in the hosts there are",)


def test_lack_of_memory_after_a_loss_names_the_loss() -> None:
    nodes = [node(f"n{i}", memory_gib=16) for i in range(4)]
    error = refuse(nodes, hosts(2, memory_gib=48), rules(1))
    assert error.causes == (
        (
            "at least 2 hosts are needed, 1 there after the loss of h01 (spare_hosts 1);"
            " all nodes: 2 (memory: 64 GiB on hosts of up to 48 GiB)"
        ),
    )
    assert error.cures[0].startswith("one more host of at least 16 GiB memory")
    assert "spare_hosts: 0 (the loss of a host is then not sure to be repaired)" in error.cures
    assert "more memory in the hosts there are" in error.cures
    assert not any("vCPU" in cure for cure in error.cures[1:]), "what does not cure is not offered"


def test_zones_on_one_host_offer_the_declared_exception() -> None:
    error = refuse([node("a", zone="mynumber"), node("b", zone="internet")], hosts(1), rules())
    assert "zones apart: mynumber 1, internet 1" in error.causes[0]
    assert "zone_separation hosts: shared (needs reason and approved_by)" in error.cures


def test_a_chassis_is_named_as_the_place_that_lacks() -> None:
    there = [host("h1", chassis="A"), host("h2", chassis="A")]
    error = refuse([node("a", "r"), node("b", "r")], there, rules())
    assert error.causes == ("replica set r has 2 nodes for 1 separate hosts or chassis",)
    assert error.nodes == ("a", "b")
    assert error.cures[0].endswith("at site dc1, outside the chassis there are")


def test_a_conflict_that_counting_misses_is_explained_by_trying() -> None:
    """36 GiB on two hosts of 18: the sum fits, three pieces of 12 GiB do not."""
    nodes = [node(f"n{i}", memory_gib=4) for i in range(3)]
    there = [host("h1", memory_gib=6), host("h2", memory_gib=7)]
    error = refuse(nodes, there, rules())
    assert len(error.nodes) == 1
    assert "one more host of at least 4 GiB memory, 1 vCPU, 31 GiB storage at site dc1" in error.cures


def test_the_lock_on_a_host_that_is_gone() -> None:
    error = refuse([node("a"), node("b")], hosts(2), rules(), {"a": "kvm09"})
    assert error.nodes == ("a",)
    assert error.causes == ("node a is locked to host kvm09, which the declaration does not have",)
    assert error.cures[0] == "declare the host again"


def test_the_lock_that_breaks_a_rule_names_the_rule() -> None:
    error = refuse([node("a", "r"), node("b", "r")], hosts(2), rules(), {"a": "h01", "b": "h01"})
    assert error.causes == ("replica set r: a and b share host h01",)


def test_the_lock_is_named_when_it_alone_is_in_the_way() -> None:
    """Two nodes of 40 GiB could share two hosts with one of 24, had the small ones not been spread."""
    nodes = [node("s1", memory_gib=30), node("s2", memory_gib=30), node("big", memory_gib=40)]
    there = hosts(2)
    error = refuse(nodes, there, rules(), {"s1": "h01", "s2": "h02"})
    assert error.nodes == ("big",)
    assert any(cure.startswith("take the host of these nodes out of the lock") for cure in error.cures)
    assert planner.plan_placement(nodes, there, rules(), {}).hosts_used == 2


def test_a_search_that_ends_too_early_says_so() -> None:
    nodes, there = demo()
    site = sites.compile_site("dc1", nodes, there, rules(1, after_loss="relaxed"), {})
    error = explain.explain(site, exact.Status.UNKNOWN, planner.search)
    assert "no survivable placement of 8 nodes on 3 hosts was found within the limit" in error.problem


def test_an_answer_within_the_limit_says_that_it_is_not_proved() -> None:
    dice = random.Random(0)  # noqa: S311 - test data
    nodes = [
        node(f"n{i:02}", f"s{i // 2}", vcpus=dice.randint(1, 4), memory_gib=dice.randint(15, 32)) for i in range(20)
    ]
    placement = planner.plan_placement(nodes, hosts(12), rules(1), {}, solver_units=0)
    assert (placement.hosts_used, placement.lower_bound, placement.optimal) == (9, 8, False)
    assert all(s.possible for s in placement.survives), "no check is left out for want of time"


def test_no_hosts_at_all() -> None:
    error = refuse([node("a")], [], rules(1))
    assert error.cures == ("2 more hosts of at least 4 GiB memory, 1 vCPU, 10 GiB storage at site dc1",)


def test_a_long_list_of_nodes_is_cut() -> None:
    error = refuse([node(f"n{i:02}", "r") for i in range(20)], hosts(3), rules())
    assert "n11 and 8 more" in str(error)


def test_hosts_that_the_service_names_are_not_enough() -> None:
    """Two nodes of 4 GiB and two hosts of 4 GiB, but the service names one of them only."""
    there = [host(name, memory_gib=4) for name in ("h1", "h2")]
    nodes = [node(name, on=("h2",)) for name in ("a", "b")]
    with pytest.raises(model.PlacementError) as caught:
        planner.plan_placement(nodes, there, rules(), {})
    assert "more hosts under `hosts:` of the service: those it names do not do" in caught.value.cures
    lonely = [node("a", on=("h2",))]
    assert planner.plan_placement(lonely, there, rules(), {}).assignment == {"a": "h2"}
    with pytest.raises(model.PlacementError, match=r"node a .* fits on 1 of the 1 declared hosts"):
        planner.plan_placement(lonely, there, rules(1), {})

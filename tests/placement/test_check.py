from __future__ import annotations

import dataclasses

import pytest

from infra.placement import check, model
from tests.placement.build import host, node, rules

HOSTS = [host("h1", chassis="A"), host("h2", chassis="A"), host("h3", chassis="B"), host("h4"), host("o1", site="dc2")]

BROKEN = {
    "not placed": ([node("a")], {}, "node a: on no declared host (None)"),
    "unknown host": ([node("a")], {"a": "h9"}, "node a: on no declared host (h9)"),
    "other site": ([node("a")], {"a": "o1"}, "node a: belongs to site dc1, host o1 stands at dc2"),
    "vcpus": ([node("a", vcpus=17)], {"a": "h1"}, "host h1: 17 vCPUs of 16"),
    "memory": (
        [node("a", memory_gib=60), node("b", memory_gib=5)],
        {"a": "h1", "b": "h1"},
        "host h1: 66560 MiB of memory of 65536",
    ),
    "storage": ([node("a", storage_gib=1001)], {"a": "h1"}, "host h1: 1001 GiB of storage of 1000"),
    "two keys": (
        [node("a", key="member:tsuno"), node("b", key="business:juki")],
        {"a": "h1", "b": "h1"},
        "host h1: carries the keys business:juki, member:tsuno",
    ),
    "key beside keyless": (
        [node("a", key="member:tsuno"), node("b")],
        {"a": "h1", "b": "h1"},
        "host h1: key member:tsuno beside nodes that need a host without a key",
    ),
    "zones": (
        [node("a", zone="mynumber"), node("b", zone="internet")],
        {"a": "h1", "b": "h1"},
        "host h1: carries mynumber and internet together",
    ),
    "replicas on a host": (
        [node("a", "r"), node("b", "r")],
        {"a": "h4", "b": "h4"},
        "replica set r: a and b share host h4",
    ),
    "replicas in a chassis": (
        [node("a", "r"), node("b", "r")],
        {"a": "h1", "b": "h2"},
        "replica set r: a and b share chassis A",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_broken_rule_is_found_and_nothing_else(case: str) -> None:
    nodes, at, finding = BROKEN[case]
    assert check.check(nodes, HOSTS, rules(), at) == [finding]


def test_what_the_rules_allow_is_not_found() -> None:
    nodes = [
        node("a", "r", zone="mynumber"),
        node("b", "r", zone="lgwan"),
        node("c", key="member:tsuno", zone="internet"),
        node("d", anywhere=True),
    ]
    at = {"a": "h1", "b": "h3", "c": "h4", "d": "h4"}
    assert check.check(nodes, HOSTS, rules(), at) == []


def test_shared_zones_are_allowed_when_declared() -> None:
    nodes, at, _ = BROKEN["zones"]
    assert check.check(nodes, HOSTS, rules(zone_hosts="shared"), at) == []


def test_chassis_of_two_sites_with_one_name_are_two() -> None:
    there = [host("h1", chassis="A"), host("o1", chassis="A", site="dc2")]
    nodes = [node("a", "r"), node("b", "r", site="dc2")]
    assert check.check(nodes, there, rules(), {"a": "h1", "b": "o1"}) == []


PAIR = [node("a", "r"), node("b", "r")]
THREE = [host("h1"), host("h2"), host("h3")]
AT = {"a": "h1", "b": "h2"}
GOOD = (
    model.Survival(lost=("h1",), possible=True, moves={"a": "h3"}, reason=None),
    model.Survival(lost=("h2",), possible=True, moves={"b": "h3"}, reason=None),
)


def test_a_repair_for_every_loss_is_accepted() -> None:
    assert check.check_survives(PAIR, THREE, rules(1), AT, GOOD) == []


@pytest.mark.parametrize(
    ("repair", "finding"),
    [
        (None, "loss of h2: no repair"),
        (dataclasses.replace(GOOD[1], possible=False), "loss of h2: no repair"),
        (dataclasses.replace(GOOD[1], moves={}), "loss of h2: moves [], lost are ['b']"),
        (dataclasses.replace(GOOD[1], moves={"b": "h2"}), "loss of h2: node b: on no declared host (h2)"),
        (dataclasses.replace(GOOD[1], moves={"b": "h1"}), "loss of h2: replica set r: a and b share host h1"),
        (
            dataclasses.replace(GOOD[1], moves={"b": "h3", "a": "h3"}),
            "loss of h2: moves ['a', 'b'], lost are ['b']",
        ),
    ],
)
def test_a_repair_that_does_not_repair_is_found(repair: model.Survival | None, finding: str) -> None:
    survives = [GOOD[0], *([] if repair is None else [repair])]
    assert finding in check.check_survives(PAIR, THREE, rules(1), AT, survives)


def test_a_relaxed_repair_may_share_a_host_but_not_overfill_it() -> None:
    shared = dataclasses.replace(GOOD[1], moves={"b": "h1"})
    relaxed = rules(1, after_loss="relaxed")
    assert check.check_survives(PAIR, THREE, relaxed, AT, [GOOD[0], shared]) == []
    small = [host("h1", memory_gib=7), *THREE[1:]]
    findings = check.check_survives(PAIR, small, relaxed, AT, [GOOD[0], shared])
    assert findings == ["loss of h2: host h1: 8192 MiB of memory of 7168"]


def test_two_spare_hosts_ask_for_every_pair_too() -> None:
    findings = check.check_survives(PAIR, THREE, rules(2), AT, GOOD)
    assert findings == [f"loss of {pair}: no repair" for pair in ("h1, h2", "h1, h3", "h2, h3")]

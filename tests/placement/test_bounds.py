from __future__ import annotations

import pytest

from infra.placement import bounds, model
from infra.placement import site as sites
from tests.placement.build import host, hosts, node, rules


def bound(nodes: list[model.Node], there: list[model.Host], fixed: dict[str, str] | None = None) -> int:
    return bounds.lower_bound(sites.compile_site("dc1", nodes, there, rules(), fixed or {}))


def many(count: int, **size: int) -> list[model.Node]:
    return [node(f"n{i}", **size) for i in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nodes", "there", "expected"),
    [
        pytest.param([], hosts(3), 0, id="no nodes"),
        pytest.param(many(1), hosts(3), 1, id="one node"),
        pytest.param(many(17), hosts(3), 2, id="17 × 4 GiB on 64 GiB"),
        pytest.param(many(17, vcpus=2), hosts(3), 3, id="34 vCPUs on 16"),
        pytest.param(many(3, storage_gib=1600), hosts(3), 2, id="storage"),
        pytest.param(many(3, memory_gib=33), hosts(5), 3, id="no two fit together, though 99 GiB fit on two"),
        pytest.param([*many(2, memory_gib=40), node("x", memory_gib=30)], hosts(5), 3, id="30 beside 40 is too much"),
        pytest.param(many(16), [host("a", memory_gib=48), host("b", memory_gib=16)], 2, id="largest hosts first"),
        pytest.param([node(f"r{i}", "r") for i in range(3)], hosts(5), 3, id="replica set"),
        pytest.param([node("a", zone="mynumber"), node("b", zone="internet")], hosts(5), 2, id="zones"),
        pytest.param([node("a", key="k:1"), node("b", key="k:2"), node("c")], hosts(5), 3, id="keys add up"),
        pytest.param([node("a", key="k:1"), node("b", anywhere=True)], hosts(5), 1, id="anywhere fills a gap"),
    ],
)
def test_lower_bound(nodes: list[model.Node], there: list[model.Host], expected: int) -> None:
    assert bound(nodes, there) == expected


def test_nodes_of_the_lock_count_where_they_are() -> None:
    nodes = [*many(2), node("k", key="k:1")]
    assert bound(nodes, hosts(5)) == 2
    assert bound(nodes, hosts(5), {"n0": "h01", "n1": "h02"}) == 3


def test_minimum_hosts_per_key_says_why() -> None:
    nodes = [
        *(node(f"j{i}", key="business:juki", memory_gib=32) for i in range(3)),
        node("v1", "votes", key="member:tsuno"),
        node("v2", "votes", key="member:tsuno"),
        node("gw"),
    ]
    minima = bounds.minimum_hosts_per_key(nodes, hosts(6), rules())
    assert [(m.site, m.key, m.hosts, m.reason) for m in minima] == [
        ("dc1", None, 1, "at least one node"),
        ("dc1", "business:juki", 2, "memory: 96 GiB on hosts of up to 64 GiB"),
        ("dc1", "member:tsuno", 2, "replica set votes of 2 nodes"),
    ]


def test_minimum_hosts_per_key_keeps_sites_apart() -> None:
    nodes = [node("a", key="member:a"), node("b", key="member:a", site="dc2")]
    minima = bounds.minimum_hosts_per_key(nodes, [host("h1"), host("o1", site="dc2")], rules())
    assert [(m.site, m.key, m.hosts) for m in minima] == [("dc1", "member:a", 1), ("dc2", "member:a", 1)]


def test_the_worst_loss_is_one_loss_not_the_worst_of_each_kind() -> None:
    """Losing the host with the memory and losing the one with the vCPUs are two losses: their counts must not mix."""
    there = [
        host("cpu", vcpus=32, memory_gib=16),
        host("mem", vcpus=4, memory_gib=128),
        host("x", vcpus=16, memory_gib=64),
        host("y", vcpus=16, memory_gib=64),
    ]
    nodes = [
        node("a", key="k:1", vcpus=16, memory_gib=4),
        node("b", key="k:2", vcpus=2, memory_gib=60),
    ]
    assert bounds.find_shortages(sites.compile_site("dc1", nodes, there, rules(1), {})) == []

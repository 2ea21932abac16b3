"""What may be taken out together, and what stops then."""

from __future__ import annotations

import pytest

from infra.maintenance import groups
from network.errors import InputError
from tests.configure import replicated
from tests.maintenance.world import PLAN


def test_no_group_holds_two_of_a_set() -> None:
    for plan in (PLAN, replicated.PLAN):
        found = groups.rolling(plan, [node.name for node in plan.nodes])
        assert sorted(node for group in found for node in group) == sorted(node.name for node in plan.nodes)
        for group in found:
            sets = [name for node in group for name in plan.node_by_name[node].replica_sets]
            assert len(sets) == len(set(sets)), group


def test_the_first_group_is_one_machine_and_the_others_keep_the_order_given() -> None:
    nodes = ["juki-ap2", "dc1-gw1a", "juki-db1", "dc1-gw1b", "juki-db2", "kouhou-ap1"]
    assert groups.rolling(PLAN, nodes) == (
        ("juki-ap2",), ("dc1-gw1a", "juki-db1", "kouhou-ap1"), ("dc1-gw1b", "juki-db2"),
    )  # fmt: skip
    assert groups.rolling(PLAN, []) == ()


def test_two_voters_are_never_out_together() -> None:
    (voters,) = (cluster.voters for cluster in PLAN.network.clusters)
    assert groups.rolling(PLAN, ["kouhou-ap1", *voters]) == (("kouhou-ap1",), *((voter,) for voter in voters))


def test_partners_are_the_others_of_all_sets() -> None:
    assert groups.partners(PLAN, ["juki-ap1"]) == ("juki-ap2", "juki-db1", "juki-db2")
    assert groups.partners(PLAN, ["dc1-gw1b", "juki-ap2"]) == ("dc1-gw1a", "juki-ap1")
    assert groups.partners(PLAN, ["kouhou-ap1"]) == ()


def test_what_stands_alone_stops() -> None:
    assert groups.stopping(PLAN, groups.nodes_of(PLAN, "kvm02"), "kvm02") == ()
    assert groups.stopping(PLAN, groups.nodes_of(PLAN, "kvm01"), "kvm01") == (
        "kouhou for 第1町: no application is left: kouhou-ap1 lost",
        "kouhou for 第2町: no application is left: kouhou-ap1 lost",
    )
    assert groups.stopping(PLAN, ["dc1-gw1a", "juki-db1"]) == ()
    assert len(groups.stopping(PLAN, ["dc1-gw1a", "kouhou-ap1"])) == 2


def test_a_misspelt_host_and_an_empty_one_are_refused() -> None:
    with pytest.raises(InputError, match="kvm9: no such host in test; hosts: kvm01, kvm02, kvm03, kvm04"):
        groups.nodes_of(PLAN, "kvm9")
    with pytest.raises(InputError, match="kvm04: the plan puts no machine of test on it"):
        groups.nodes_of(PLAN, "kvm04")

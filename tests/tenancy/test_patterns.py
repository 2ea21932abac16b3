"""What each of the four patterns makes of a service (requirements 1.3 of the tenancy patterns)."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from infra import tenancy
from infra.tenancy.groups import NodeWish
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
PAIR = {
    "application": {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 1},
    "database": {"count": 2, "vcpus": 2, "memory_gib": 2, "disk_gib": 10},
}


def wishes(pattern: str, **more: Any) -> list[NodeWish]:
    declared = factory.declaration(members=3, services=[factory.service("juki", pattern, **more)])
    return [
        wish
        for instance in tenancy.expand(declared, DAY)
        for wish in tenancy.node_wishes(instance, declared.services[0])
    ]


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("same_business", ["service:juki"] * 3),
        ("per_municipality", ["member:m1", "member:m2", "member:m3"]),
        ("mixed", [None] * 3),
    ],
)
def test_patterns_1_to_3_give_each_member_its_own_node(pattern: str, keys: list[str | None]) -> None:
    found = wishes(pattern)
    assert [wish.name for wish in found] == ["juki-m1-ap1", "juki-m2-ap1", "juki-m3-ap1"]
    assert [wish.members for wish in found] == [("m1",), ("m2",), ("m3",)]
    assert [wish.key for wish in found] == keys


def test_pattern_4_gives_all_members_one_set() -> None:
    (found,) = wishes("multi_tenant", hosts=["kvm01"])
    assert (found.name, found.members, found.key) == ("juki-ap1", ("m1", "m2", "m3"), None)
    assert found.allowed_hosts == ("kvm01",)


def test_the_voters_are_both_databases_and_one_application_node() -> None:
    sets = {wish.name: wish.replica_sets for wish in wishes("multi_tenant", nodes=PAIR)}
    assert sets == {
        "juki-ap1": ("juki/application", "juki/voters"),
        "juki-ap2": ("juki/application",),
        "juki-db1": ("juki/database", "juki/voters"),
        "juki-db2": ("juki/database", "juki/voters"),
    }


def test_a_declared_witness_is_the_third_voter() -> None:
    nodes = {**PAIR, "witness": {"count": 1, "vcpus": 1, "memory_gib": 0.5}}
    voters = {w.name for w in wishes("multi_tenant", nodes=nodes) if "juki/voters" in w.replica_sets}
    assert voters == {"juki-db1", "juki-db2", "juki-wt1"}


def test_a_single_database_has_no_voters() -> None:
    nodes = {**PAIR, "database": {"count": 1, "vcpus": 1, "memory_gib": 1, "disk_gib": 1}}
    assert not [wish for wish in wishes("multi_tenant", nodes=nodes) if "juki/voters" in wish.replica_sets]


def test_only_participants_of_the_day_have_nodes() -> None:
    declared = factory.declaration(
        members=3,
        services=[
            factory.service(
                "zaimu",
                participants=["m1", {"member": "m2", "from": "2026-04-08"}, {"member": "m3", "until": "2026-04-01"}],
            )
        ],
    )
    on = {day: [i.name for i in tenancy.expand(declared, datetime.date(2026, 4, day))] for day in (1, 7, 8)}
    assert on == {1: ["zaimu-m1"], 7: ["zaimu-m1"], 8: ["zaimu-m1", "zaimu-m2"]}


def test_a_business_on_another_ones_nodes_has_none_of_its_own() -> None:
    declared = factory.declaration(
        services=[factory.service("zaimu"), factory.service("jinji", runs_on="zaimu", nodes={}, listen=["tcp/8444"])]
    )
    by_name = {instance.name: instance for instance in tenancy.expand(declared, DAY)}
    assert by_name["jinji-m1"].runs_on == "zaimu-m1"
    assert tenancy.node_wishes(by_name["jinji-m1"], declared.services[1]) == ()

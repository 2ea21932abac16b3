"""What the routers of carriers and offices are told; the daemons themselves run in test_routing."""

from __future__ import annotations

import dataclasses

import pytest

from infra.lab import frr, routers
from infra.lab.routers import Router
from infra.plan.model import Plan
from network.model import Line
from tests.lab_unit.small import small_plan

PLAN = small_plan(bgp=True)


def router(name: str, plan: Plan = PLAN) -> Router:
    (found,) = [one for one in routers.routers(plan) if one.name == name]
    return found


def with_lines(*lines: Line) -> Plan:
    return dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=lines))


def test_a_provider_edge_talks_with_both_gateways_as_the_hand_off_says_and_with_its_office() -> None:
    edge = router("pe.nishiki-main.mynumber")
    handoff = PLAN.network.lines[0].handoffs[0]
    assert edge.asn == handoff.peer_as == 64600
    gateways = edge.neighbors[:2]
    assert tuple(one.address for one in gateways) == handoff.local
    assert {(one.remote_as, one.hold_s, one.bfd, one.source) for one in gateways} == {(65010, 9, True, None)}
    (office,) = edge.neighbors[2:]
    assert (office.remote_as, office.source) == (
        4200000001,
        router("office.nishiki.honcho.mynumber").neighbors[0].address,
    )


def test_what_passes_is_the_offices_own_and_nothing_of_them_comes_back() -> None:
    lists = dict(router("pe.nishiki-main.mynumber").prefix_lists)
    assert lists == {
        "offices": ("permit 10.1.0.0/24",),
        "data-center": ("deny 10.1.0.0/24 le 32", "permit 0.0.0.0/0 le 32"),
        "office-1": ("permit 10.1.0.0/24",),
    }


def test_offices_of_members_have_different_private_as_numbers() -> None:
    assert {router(f"office.{member}.honcho.lgwan").asn for member in PLAN.members} == {4200000001, 4200000002}
    assert all(4200000000 <= routers.office_as(PLAN, member) <= 4294967294 for member in PLAN.members), "RFC 6996"


def test_an_office_prefers_its_main_line_and_backups_in_the_order_of_their_declaration() -> None:
    main, backup = PLAN.network.lines[:2]
    third = dataclasses.replace(backup, name="nishiki-third")
    office = router("office.nishiki.honcho.mynumber", with_lines(backup, third, main))
    assert {one.description: one.preference for one in office.neighbors} == {
        "main nishiki-main": 200,
        "backup nishiki-backup": 100,
        "backup nishiki-third": 90,
    }


def test_a_static_hand_off_has_no_session_with_the_gateways_and_announces_what_lies_behind_them() -> None:
    edge = router("pe.nishiki-main.mynumber", small_plan())
    assert len(edge.neighbors) == 1
    assert [str(prefix) for prefix in edge.networks] == ["172.16.1.0/26"]
    assert router("pe.nishiki-main.mynumber").networks == ()


def test_the_carriers_values_reach_the_daemon() -> None:
    first, *rest = PLAN.network.lines
    handoff = dataclasses.replace(first.handoffs[0], hold_s=30, bfd=False, peer_as=64999)
    plan = with_lines(dataclasses.replace(first, handoffs=(handoff, *first.handoffs[1:])), *rest)
    text = routers.config(router("pe.nishiki-main.mynumber", plan))
    assert "router bgp 64999\n" in text
    for address in handoff.local:
        assert f" neighbor {address} timers 10 30\n" in text
        assert f" neighbor {address} bfd\n" not in text
    assert "neighbor 100.66.0.0 remote-as 64999" in routers.config(router("office.nishiki.honcho.mynumber", plan))


@pytest.mark.parametrize("name", ["pe.nishiki-main.mynumber/bgpd", "office.a.b.lgwan/zebra", "pe.x.all/bfdd"])
def test_routing_daemons_are_told_from_the_hosts_daemons(name: str) -> None:
    assert frr.is_router(name)
    assert not frr.is_router("kvm01/libvirtd")

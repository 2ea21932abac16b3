"""Address translation in the kernel: two members with the same LAN, and one service address on two kinds of line.

Town 1 and town 2 have the same office addresses and use one service. What the gateways make of town 2's is declared;
both lines of town 1 reach the service at an address that the closed networks gave.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan import recovery
from infra.plan.lock import Lock
from network import flows, render
from network.errors import InputError
from network.model import NetworkPlan
from network.render import frr
from tests.network.render import pair, routers
from tests.network.render.kernel import ACK, SYN_ACK, Machine, Packet, Seen, machine
from tests.network.render.test_rules_in_kernel import FORGET, RULES, UNIT, needs_root
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
LAN = IPv4Network("10.1.0.0/20")
SEEN = IPv4Network("10.9.0.0/20")
"""What services see of town 2."""
TERMINAL = LAN[10]
SHOWN = IPv4Network("198.18.4.0/26")
"""Where town 1 reaches the service."""
SEGMENT = "dc1-mynumber-juki"
SYNC_A, SYNC_B = "dc1-gw1a", "dc1-gw2a"


def stack(translations: list[dict[str, str]]) -> Declaration:
    lines = [
        {**factory.line(number, role, pair.ZONES), "handoff": pair.handoff(2 * number + index, 64600 + index)}
        for number in (1, 2)
        for index, role in enumerate(("main", "backup"))
    ]
    data = factory.data(2, [factory.service("juki", "multi_tenant", "mynumber")], lines=lines)
    for member in data["members"]:
        member["offices"][0]["zones"] = {"mynumber": [str(LAN)]}
    return Declaration.model_validate({**data, "translations": translations})


def translation(network: str, member: str, inside: object, outside: object, direction: str) -> dict[str, str]:
    return {
        "closed_network": network,
        "member": member,
        "inside": str(inside),
        "outside": str(outside),
        "direction": direction,
    }


SOURCES = [translation(network, "m2", LAN, SEEN, "source") for network in ("lgwan", "vpn")]


def planned(translations: list[dict[str, str]], lock: Lock | None = None) -> builder.Built:
    return builder.build("nat", stack(translations), lock or Lock(stack="nat"), DAY, clock=lambda: 0.0)


@functools.cache
def network() -> NetworkPlan:
    """The prefix of a segment is known when it was planned: the destination translation comes with the second plan."""
    first = planned(SOURCES)
    inside = first.plan.network.segment_by_name[SEGMENT].prefix
    assert inside.prefixlen == SHOWN.prefixlen
    destinations = [translation(name, "m1", inside, SHOWN, "destination") for name in ("lgwan", "vpn")]
    second = planned([*SOURCES, *destinations], first.lock)
    assert not second.changed, "translating moves no address"
    return second.plan.network


@functools.cache
def resolution() -> flows.Resolution:
    return flows.resolve(network())


@functools.cache
def files(name: str) -> Any:
    return render.render_all(network())[name]


def vip() -> IPv4Address:
    return network().vip_by_name["service/juki"].address.ip


def shown_vip() -> IPv4Address:
    prefix = network().segment_by_name[SEGMENT].prefix
    return SHOWN[int(vip()) - int(prefix.network_address)]


def gateway_of(name: str) -> Iterator[Machine]:
    node = network().node_by_name[name]
    with machine(resolution(), node, files(name)) as found:
        found.know(vip(), node.interface(SEGMENT).name)
        for line in network().lines:
            for handoff in line.handoffs:
                if handoff.segment in node.segments:
                    found.know(handoff.peer, node.interface(handoff.segment).name)
        found.start_rules(files(name)[RULES], files(name)[UNIT])
        yield found


@pytest.fixture(scope="module")
def first() -> Iterator[Machine]:
    yield from gateway_of(SYNC_A)


@pytest.fixture(scope="module")
def second() -> Iterator[Machine]:
    yield from gateway_of(SYNC_B)


def send(gateway: Machine, where: str, packet: Packet) -> list[tuple[str, IPv4Address, IPv4Address]]:
    card = gateway.node.interface(where).name
    cards = {interface.name: interface.segment for interface in gateway.node.interfaces}
    seen: list[Seen] = [one for one in gateway.send(card, [packet]) if one.mark == packet.mark]
    return [(cards[one.card], one.source, one.target) for one in seen]


def test_members_with_the_same_lan_have_gateways_and_addresses_of_their_own() -> None:
    members = {node.name: node.members for node in network().nodes if node.role == "gateway"}
    assert (members[SYNC_A], members[SYNC_B]) == (("m1",), ("m2",))
    assert [(lan.member, lan.prefixes, lan.seen) for lan in network().offices] == [
        ("m1", (LAN,), (LAN,)),
        ("m2", (LAN,), (SEEN,)),
    ]


def test_nodes_answer_each_member_by_its_own_gateway() -> None:
    node = network().node_by_name["juki-ap1"]
    vias = {network().vip_by_name[f"dc1-gw{n}/{SEGMENT}"].address.ip: n for n in (1, 2)}
    assert {(route.prefix, vias[route.via]) for route in node.routes} == {(LAN, 1), (SEEN, 2)}
    admitted = [line for line in files("juki-ap1")[RULES].splitlines() if f". {vip()} . 443" in line]
    assert len(admitted) == 2
    assert [str(prefix) in line for line, prefix in zip(admitted, (LAN, SEEN), strict=True)] == [True, True]


@needs_root
def test_a_translated_terminal_reaches_the_service_and_hears_its_answer(second: Machine) -> None:
    line, source_port = "m2-main-mynumber", 50001
    syn = Packet(source=TERMINAL, target=vip(), source_port=source_port)
    assert send(second, line, syn) == [(SEGMENT, SEEN[10], vip())], "address by address"
    answer = Packet(source=vip(), target=SEEN[10], source_port=443, port=source_port, flags=SYN_ACK, seq=5000, ack=1001)
    assert send(second, SEGMENT, answer) == [(line, vip(), TERMINAL)]
    ack = dataclasses.replace(syn, flags=ACK, seq=1001, ack=5001, mark=60001)
    assert send(second, "m2-backup-mynumber", ack) == [(SEGMENT, SEEN[10], vip())], "after a change of the line"


@needs_root
def test_the_card_and_the_own_address_are_judged_and_not_the_translated_one(second: Machine) -> None:
    for where, source in (
        ("m2-main-mynumber", SEEN[10]),  # what only services may see
        (SEGMENT, TERMINAL),
        ("dc1-gw2-sync", TERMINAL),
        ("m2-main-mynumber", IPv4Address("10.2.0.10")),
    ):
        assert send(second, where, Packet(source=source, target=vip(), source_port=50002)) == []
    assert send(second, SEGMENT, Packet(source=vip(), target=SEEN[10], source_port=50003, port=443)) == []


@needs_root
def test_both_lines_reach_the_service_at_one_address(first: Machine) -> None:
    syn = Packet(source=TERMINAL, target=shown_vip(), source_port=50004)
    assert send(first, "m1-main-mynumber", syn) == [(SEGMENT, TERMINAL, vip())]
    answer = Packet(source=vip(), target=TERMINAL, source_port=443, port=50004, flags=SYN_ACK, seq=5000, ack=1001)
    assert send(first, SEGMENT, answer) == [("m1-main-mynumber", shown_vip(), TERMINAL)]
    ack = dataclasses.replace(syn, flags=ACK, seq=1001, ack=5001, mark=60002)
    assert send(first, "m1-backup-mynumber", ack) == [(SEGMENT, TERMINAL, vip())], "the session goes on"
    other = Packet(source=TERMINAL, target=shown_vip() + 1, source_port=50005)
    assert send(first, "m1-main-mynumber", other) == [], "an address that nothing is opened at"
    assert send(first, "m1-main-mynumber", dataclasses.replace(syn, port=22, source_port=50006, mark=60003)) == []


@needs_root
def test_translated_connections_are_judged_at_their_own_addresses(first: Machine, second: Machine) -> None:
    """The program that ends what is no longer allowed leaves them alone, and ends them when their flow is closed."""
    for gateway, member, target in ((first, "m1", shown_vip()), (second, "m2", vip())):
        gateway.sh("conntrack", "-F")
        assert send(gateway, f"{member}-main-mynumber", Packet(source=TERMINAL, target=target, source_port=50007))
        assert gateway.sh(sys.executable, str(FORGET)).startswith("0 of 1 connections")
        gateway.sh("nft", "flush", "set", "inet", "kumiai", "passed_tcp")
        assert gateway.sh(sys.executable, str(FORGET)).startswith("1 of 1 connections")
        gateway.start_rules(files(gateway.node.name)[RULES], files(gateway.node.name)[UNIT])


def test_carriers_bring_the_offices_own_addresses_and_hear_what_they_may_show() -> None:
    plan = network()
    for name, announced, blackholed in ((SYNC_A, SHOWN, True), (SYNC_B, plan.segment_by_name[SEGMENT].prefix, False)):
        found = frr.neighbors(plan, plan.node_by_name[name])
        assert {(n.accepted, n.announced) for n in found} == {((LAN,), (announced,))}
        config = files(name)[frr.CONFIG].splitlines()
        assert f"  network {announced}" in config
        assert (f"ip route {announced} blackhole" in config) is blackholed, "what is announced has a route"
        assert ("staticd" in frr.daemons(resolution(), plan.node_by_name[name])) is blackholed


def test_a_gateway_without_translations_has_no_such_chain() -> None:
    assert "type nat" in files(SYNC_A)[RULES]
    assert all("type nat" not in texts[RULES] for texts in pair.FILES.values())


def test_a_part_of_a_segment_cannot_be_translated() -> None:
    first_plan = planned(SOURCES)
    prefix = first_plan.plan.network.segment_by_name[SEGMENT].prefix
    half = next(prefix.subnets())
    cut = translation("lgwan", "m1", half, "198.18.4.0/27", "destination")
    told = (
        rf"nat: the destination translation of {half} on lgwan covers a part of the segment {SEGMENT} \({prefix}\) only"
    )
    with pytest.raises(InputError, match=told):
        planned([*SOURCES, cut], first_plan.lock)


def test_lines_that_show_different_addresses_end_the_sessions_and_the_plan_says_so() -> None:
    first_plan = planned(SOURCES)
    prefix = first_plan.plan.network.segment_by_name[SEGMENT].prefix
    one = translation("lgwan", "m1", prefix, SHOWN, "destination")
    for more, ended in (([], ""), ([one], "; open sessions of m1 end, for its lines show different addresses")):
        found = planned([*SOURCES, *more], first_plan.lock).plan
        assert [r.fault for r in found.recovery if r.layer == "line"] == [f"main line cut, noticed by BFD{ended}"]
    assert not any("open sessions" in r.fault for r in recovery.compute(network(), None))


@pytest.mark.skipif(routers.missing(), reason="needs root and FRR")
def test_frr_announces_what_is_no_network_of_its_own(tmp_path: pathlib.Path) -> None:
    node = network().node_by_name[SYNC_A]
    with (
        machine(resolution(), node, files(SYNC_A), learned=False) as made,
        routers.router(made.inside, tmp_path / "frr") as found,
    ):
        found.install(files(SYNC_A))
        found.start_frr(*frr.daemons(resolution(), node))

        def valid() -> bool:
            said = json.loads(found.vtysh(f"show bgp ipv4 unicast {SHOWN} json"))
            return any(path.get("valid") and path.get("bestpath", {}).get("overall") for path in said.get("paths", ()))

        routers.until(valid, what="for a valid path")
        assert f"blackhole {SHOWN}" in found.ip("route show type blackhole")

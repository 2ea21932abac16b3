"""Flows that begin or end in an office or outside the stack, in the kernel: each member by its own lines."""

from __future__ import annotations

import datetime
import functools
import pathlib
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network import flows, outside, render, zones
from network.model import NetworkPlan
from network.render import frr, networkd
from tests.network.render import routers
from tests.network.render.kernel import SYN_ACK, Machine, Packet, machine
from tests.network.render.test_rules_in_kernel import FORGET, RULES, UNIT, needs_root
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
GATEWAY = "dc1-gw1a"
LGWAN = IPv4Network("198.18.0.0/20")
JUKI_NET = IPv4Network("203.0.113.0/28")
SERVICES = [
    factory.service("zaimu"),
    factory.service("juki", "multi_tenant", "mynumber"),
    factory.service("koho", zone="internet"),
]
INTERNET_GATEWAY = "dc1-igw1a"


def flow(source: str, target: str, kind: str, port: str = "tcp/443", **more: str) -> dict[str, Any]:
    said = {"reason": "試験", "approved_by": "情報政策課", "expires": "2030-03-31"}
    return {"from": source, "to": target, "allow": [port], "kind": kind, **said, **more}


FLOWS = [
    flow("service:zaimu", "network:lgwan", "lgwan_ce"),
    flow("network:lgwan", "service:zaimu", "lgwan_ce", "tcp/8443"),
    flow("service:zaimu@m1", "office:m1/lgwan", "specific", "tcp/9100"),
    flow("service:juki@each_member", "external:juki-net", "national_backend", system="住基ネット"),
    flow("service:juki@m1", "external:nowhere", "national_backend", system="住所のない相手"),
    flow("office:m1/lgwan", "network:lgwan", "lgwan_ce"),
    flow("service:koho", "external:internet", "via_security_cloud", via="県のセキュリティクラウド"),
]


@functools.cache
def plan() -> Plan:
    networks = [
        {"id": "lgwan", "kind": "lgwan", "assigned_prefix": str(LGWAN)},
        {"id": "vpn", "kind": "ip_vpn", "reaches": {"juki-net": [str(JUKI_NET)]}},
    ]
    data = factory.data(2, SERVICES, closed_networks=networks, flows=FLOWS)
    data["members"] = [factory.member(number, zones.ZONES) for number in (1, 2)]
    data["lines"] += [
        {**factory.line(number, "backup", ("internet",)), "id": f"m{number}-net", "role": "main"} for number in (1, 2)
    ]
    declared = Declaration.model_validate(data)
    return builder.build("out", declared, Lock(stack="out"), DAY, clock=lambda: 0.0).plan


def network() -> NetworkPlan:
    return plan().network


@functools.cache
def resolution() -> flows.Resolution:
    return flows.resolve(network())


@functools.cache
def files() -> Any:
    return render.render_all(network())


def running(name: str) -> Iterator[Machine]:
    """A gateway that knows its neighbours."""
    node = network().node_by_name[name]
    with machine(resolution(), node, files()[name]) as found:
        for where in node.segments:
            for line in network().lines:
                for handoff in line.handoffs:
                    if handoff.segment == where:
                        found.know(handoff.peer, node.interface(where).name)
            for other in network().nodes:
                if other.role != "gateway" and where in other.segments[1:]:
                    found.know(other.interface(where).address.ip, node.interface(where).name)
            for endpoint in network().endpoints:
                if endpoint.segment == where:
                    found.know(vip(endpoint.name), node.interface(where).name)
        found.start_rules(files()[name][RULES], files()[name][UNIT])
        yield found


@pytest.fixture(scope="module")
def gateway() -> Iterator[Machine]:
    yield from running(GATEWAY)


@pytest.fixture(scope="module")
def internet_gateway() -> Iterator[Machine]:
    yield from running(INTERNET_GATEWAY)


def own(node: str) -> IPv4Address:
    return network().node_by_name[node].interfaces[1].address.ip


def vip(endpoint: str) -> IPv4Address:
    return network().vip_by_name[f"service/{endpoint}"].address.ip


def out(gateway: Machine, where: str, packet: Packet) -> list[str]:
    """Send a packet into the card of ``where``; return the segments it comes out on."""
    segments = {interface.name: interface.segment for interface in gateway.node.interfaces}
    seen = gateway.send(gateway.node.interface(where).name, [packet])
    return [segments[one.card] for one in seen if one.mark == packet.mark]


@needs_root
def test_each_member_goes_outside_by_its_own_line(gateway: Machine) -> None:
    """The same prefix for both: the table is chosen by the source."""
    for member in ("m1", "m2"):
        packet = Packet(source=own(f"zaimu-{member}-ap1"), target=LGWAN[77])
        assert out(gateway, f"dc1-{member}-lgwan", packet) == [f"{member}-main-lgwan"]
        wrong = Packet(source=own(f"zaimu-{member}-ap1"), target=LGWAN[77], port=80, source_port=2)
        assert out(gateway, f"dc1-{member}-lgwan", wrong) == []


@needs_root
def test_what_comes_from_outside_is_answered_where_it_came_in(gateway: Machine) -> None:
    asked = Packet(source=LGWAN[78], target=vip("zaimu-m2"), port=8443, source_port=5000)
    assert out(gateway, "m2-main-lgwan", asked) == ["dc1-m2-lgwan"]
    back = Packet(source=vip("zaimu-m2"), target=LGWAN[78], port=5000, source_port=8443, flags=SYN_ACK)
    assert out(gateway, "dc1-m2-lgwan", back) == ["m2-main-lgwan"]
    for where in ("m1-main-lgwan", "m2-main-mynumber", "m2-backup-lgwan"):
        spoofed = Packet(source=LGWAN[78], target=vip("zaimu-m2"), port=8443, source_port=5001)
        assert out(gateway, where, spoofed) == [], f"{where} is not where this comes in"


@needs_root
def test_an_answer_from_outside_comes_by_the_members_own_line(gateway: Machine) -> None:
    """Every member's line leads to the same addresses: the card and the other side together say whose answer it is."""
    asked = Packet(source=own("zaimu-m2-ap1"), target=LGWAN[80], source_port=5011)
    assert out(gateway, "dc1-m2-lgwan", asked) == ["m2-main-lgwan"]
    answer = Packet(source=LGWAN[80], target=own("zaimu-m2-ap1"), port=5011, source_port=443, flags=SYN_ACK)
    assert out(gateway, "m1-main-lgwan", answer) == []
    assert out(gateway, "m2-main-lgwan", answer) == ["dc1-m2-lgwan"]


@needs_root
def test_a_service_prints_in_its_members_office_and_in_no_other(gateway: Machine) -> None:
    printers = {lan.member: lan.prefixes[0][9] for lan in network().offices if lan.zone == "lgwan"}
    job = Packet(source=own("zaimu-m1-ap1"), target=printers["m1"], port=9100, source_port=5002)
    assert out(gateway, "dc1-m1-lgwan", job) == ["m1-main-lgwan"]
    for target, port in ((printers["m2"], 9100), (printers["m1"], 9101)):
        other = Packet(source=own("zaimu-m1-ap1"), target=target, port=port, source_port=5003)
        assert out(gateway, "dc1-m1-lgwan", other) == []
    theirs = Packet(source=own("zaimu-m2-ap1"), target=printers["m2"], port=9100, source_port=5004)
    assert out(gateway, "dc1-m2-lgwan", theirs) == []


@needs_root
def test_machines_of_several_members_go_by_the_first_ones_line(gateway: Machine) -> None:
    packet = Packet(source=own("juki-ap1"), target=JUKI_NET[5], source_port=5005)
    assert out(gateway, "dc1-mynumber-juki", packet) == ["m1-backup-mynumber"], "the vpn reaches it, by m1's line of it"


@needs_root
def test_the_internet_is_behind_each_members_own_line_and_offices_are_nearer(internet_gateway: Machine) -> None:
    somewhere = IPv4Address("9.9.9.9")
    offices = {lan.member: lan.prefixes[0][9] for lan in network().offices if lan.zone == "internet"}
    for member in ("m1", "m2"):
        inside, line = f"dc1-{member}-internet", f"{member}-net-internet"
        asked = Packet(source=own(f"koho-{member}-ap1"), target=somewhere, source_port=5006)
        assert out(internet_gateway, inside, asked) == [line]
        assert out(internet_gateway, inside, Packet(source=somewhere, target=somewhere + 1)) == []
        visit = Packet(source=offices[member], target=vip(f"koho-{member}"), source_port=5007)
        assert out(internet_gateway, line, visit) == [inside]
        back = Packet(source=vip(f"koho-{member}"), target=offices[member], source_port=443, port=5007, flags=SYN_ACK)
        assert out(internet_gateway, inside, back) == [line]
    for known in (offices["m1"], JUKI_NET[5], LGWAN[79]):
        named = Packet(source=own("koho-m1-ap1"), target=known, source_port=5011)
        assert out(internet_gateway, "dc1-m1-internet", named) == [], "who has a name is no part of the Internet"
    crossed = Packet(source=own("koho-m1-ap1"), target=offices["m2"], source_port=5008)
    assert out(internet_gateway, "dc1-m1-internet", crossed) == [], "another member's office is no part of the Internet"


@needs_root
def test_connections_outside_are_known_to_the_program_that_ends_closed_ones(gateway: Machine) -> None:
    gateway.sh("conntrack", "-F")
    for where, packet in (
        ("dc1-m1-lgwan", Packet(source=own("zaimu-m1-ap1"), target=LGWAN[79], source_port=5009)),
        ("m2-main-lgwan", Packet(source=LGWAN[79], target=vip("zaimu-m2"), port=8443, source_port=5010)),
    ):
        assert out(gateway, where, packet)
    assert gateway.sh(sys.executable, str(FORGET)).startswith("0 of 2 connections")
    gateway.sh("nft", "flush", "set", "inet", "kumiai", "passed_tcp")
    assert gateway.sh(sys.executable, str(FORGET)).startswith("2 of 2 connections")
    gateway.start_rules(files()[GATEWAY][RULES], files()[GATEWAY][UNIT])


@needs_root
def test_a_connection_to_somebody_who_got_a_name_is_ended(internet_gateway: Machine) -> None:
    somewhere = IPv4Address("9.9.9.9")
    internet_gateway.sh("conntrack", "-F")
    asked = Packet(source=own("koho-m1-ap1"), target=somewhere, source_port=5012)
    assert out(internet_gateway, "dc1-m1-internet", asked)
    assert internet_gateway.sh(sys.executable, str(FORGET)).startswith("0 of 1 connections")
    card = internet_gateway.node.interface("m1-net-internet").name
    internet_gateway.sh("nft", "add", "element", "inet", "kumiai", "named_targets", f'{{ "{card}" . {somewhere} }}')
    assert internet_gateway.sh(sys.executable, str(FORGET)).startswith("1 of 1 connections")
    internet_gateway.start_rules(files()[INTERNET_GATEWAY][RULES], files()[INTERNET_GATEWAY][UNIT])


def test_hosts_let_in_what_comes_from_outside_and_know_the_way_back() -> None:
    rules = files()["zaimu-m2-ap1"][RULES]
    assert f". {LGWAN} . {vip('zaimu-m2')} . 8443" in rules
    routes = {node.name: {r.prefix for r in node.routes} for node in network().nodes}
    assert LGWAN in routes["zaimu-m2-ap1"]
    assert JUKI_NET in routes["juki-ap1"]
    assert JUKI_NET not in routes["zaimu-m2-ap1"]
    assert LGWAN not in routes["juki-ap1"]


def test_gateways_have_a_table_for_each_member_in_both_programs() -> None:
    node = network().node_by_name[GATEWAY]
    tables = {(way.segment, way.prefix): way.table for way in outside.ways(resolution(), node)}
    assert set(tables) == {("dc1-m1-lgwan", LGWAN), ("dc1-m2-lgwan", LGWAN), ("dc1-mynumber-juki", JUKI_NET)}
    assert len(set(tables.values())) == 3
    for card in networkd.cards(resolution(), node):
        text = files()[GATEWAY][f"{networkd.FOLDER}/20-kumiai-{card.name}.network"]
        said = [(card.segment, prefix) for prefix in (LGWAN, JUKI_NET) if f"\nTo={prefix}\nTable=" in text]
        assert said == [key for key in tables if key[0] == card.segment]
    config = files()[GATEWAY][frr.CONFIG]
    peer = next(h.peer for line in network().lines for h in line.handoffs if h.segment == "m2-main-lgwan")
    assert f"ip route {LGWAN} {peer} table {tables['dc1-m2-lgwan', LGWAN]}\n" in config


def test_the_plan_names_the_flows_that_nothing_is_opened_for() -> None:
    nowhere, office = plan().unopened
    assert nowhere == (
        "flows[4]: flow service:juki@m1 -> external:nowhere: no closed network says at which addresses it `reaches` "
        "external:nowhere"
    )
    assert office == (
        "flows[5]: flow office:m1/lgwan -> network:lgwan: no end of it is a service, so it passes no gateway of the "
        "data center"
    )


@pytest.mark.skipif(routers.missing(), reason="needs root and FRR")
def test_frr_puts_the_routes_into_their_tables(tmp_path: pathlib.Path) -> None:
    node = network().node_by_name[GATEWAY]
    with (
        machine(resolution(), node, files()[GATEWAY], learned=False) as made,
        routers.router(made.inside, tmp_path / "frr") as found,
    ):
        found.install(files()[GATEWAY])
        for way in outside.ways(resolution(), node):
            found.ip(f"route del {way.prefix} table {way.table}")
        found.start_frr(*frr.daemons(resolution(), node))
        for way in outside.ways(resolution(), node):
            wanted = f"{way.prefix} nhid", f"via {way.hands[0].handoff.peer}"

            def known(table: int = way.table, wanted: tuple[str, str] = wanted) -> bool:
                listed = found.try_sh("ip", "route", "show", "table", str(table)).stdout
                return all(part in listed for part in wanted)

            routers.until(known, what=f"for the way to {way.prefix}")
        assert str(LGWAN) not in found.ip("route show"), "the main table knows no way outside"

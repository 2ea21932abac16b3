"""Flows that begin or end in an office or outside the stack, in the kernel: each member by its own lines."""

from __future__ import annotations

import datetime
import functools
import pathlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network import flows, outside, render
from network.model import NetworkPlan
from network.render import frr, networkd
from tests.network.render import routers
from tests.network.render.kernel import SYN_ACK, Machine, Packet, machine
from tests.network.render.test_rules_in_kernel import RULES, UNIT, needs_root
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
GATEWAY = "dc1-gw1a"
LGWAN = IPv4Network("198.18.0.0/20")
JUKI_NET = IPv4Network("203.0.113.0/28")
SERVICES = [factory.service("zaimu"), factory.service("juki", "multi_tenant", "mynumber")]


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
]


@functools.cache
def plan() -> Plan:
    networks = [
        {"id": "lgwan", "kind": "lgwan", "assigned_prefix": str(LGWAN)},
        {"id": "vpn", "kind": "ip_vpn", "reaches": {"juki-net": [str(JUKI_NET)]}},
    ]
    declared = Declaration.model_validate(factory.data(2, SERVICES, closed_networks=networks, flows=FLOWS))
    return builder.build("out", declared, Lock(stack="out"), DAY, clock=lambda: 0.0).plan


def network() -> NetworkPlan:
    return plan().network


@functools.cache
def resolution() -> flows.Resolution:
    return flows.resolve(network())


@functools.cache
def files() -> Any:
    return render.render_all(network())


@pytest.fixture(scope="module")
def gateway() -> Iterator[Machine]:
    node = network().node_by_name[GATEWAY]
    with machine(resolution(), node, files()[GATEWAY]) as found:
        for line in network().lines:
            for handoff in line.handoffs:
                found.know(handoff.peer, node.interface(handoff.segment).name)
        for name in ("zaimu-m1-ap1", "zaimu-m2-ap1", "juki-ap1"):
            found.know(own(name), node.interface(network().node_by_name[name].segments[1]).name)
        found.know(vip("zaimu-m2"), node.interface("dc1-m2-lgwan").name)
        found.start_rules(files()[GATEWAY][RULES], files()[GATEWAY][UNIT])
        yield found


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

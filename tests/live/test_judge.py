"""Where machines of the demo stack differ from its plan."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.live import judge
from infra.live.fetch import parse
from infra.live.model import Live, LiveRoute, Socket
from network.errors import OperationError
from network.model import NetworkNode
from tests.network.render import demo

NETWORK = demo.network()
GATEWAY, NODE = "dc1-gw1a", "juki-ap1"


def said(node: NetworkNode, *, holds: bool) -> dict[str, Any]:
    """Return what the program on a machine says when all is as planned, in iproute2's own words."""
    cards = []
    for card in node.interfaces:
        own = [
            {"family": "inet", "scope": "global", "local": str(a.ip), "prefixlen": a.network.prefixlen}
            for a in card.addresses
        ]
        moving = [
            {"family": "inet", "scope": "global", "local": str(vip.address.ip), "prefixlen": 32}
            for vip in NETWORK.vips
            if vip.segment == card.segment and node.name in vip.nodes and (holds or len(vip.nodes) == 1)
        ]
        link = [{"family": "inet6", "scope": "link", "local": "fe80::1", "prefixlen": 64}]
        cards.append({"ifname": card.name, "addr_info": own + moving + link})
    routes: list[dict[str, Any]] = [
        {"dst": str(card.address.network), "dev": card.name, "protocol": "kernel", "scope": "link"}
        for card in node.interfaces
    ]
    routes += [{"dst": str(r.prefix), "gateway": str(r.via), "dev": "x", "protocol": "static"} for r in node.routes]
    routes.append({"type": "local", "dst": "127.0.0.1", "dev": "lo", "table": "local"})
    if node.role == "gateway":
        for line in NETWORK.lines:
            for hand in line.handoffs:
                routes += [
                    {"dst": str(prefix), "gateway": str(hand.peer), "dev": "y", "protocol": "bgp"}
                    for lan in NETWORK.offices
                    if (lan.member, lan.zone, line.role) == (line.member, hand.zone, "main")
                    for prefix in lan.prefixes
                ]
    return {
        "rules": "{}",
        "terse": "table inet kumiai {\n\tset a {\n\t}\n}\n",
        "addresses": [{"ifname": "lo", "addr_info": []}, *cards],
        "routes": routes,
        "policies": [
            {"priority": 0, "src": "all", "table": "local"},
            {"priority": 32766, "src": "all", "table": "main"},
            {"priority": 32767, "src": "all", "table": "default"},
        ],
        "listening": [["tcp", "*", 22, "sshd"], ["udp", "127.0.0.1", 323, "chronyd"]],
        "forwards": node.role == "gateway",
        "units": {"nftables.service": "active"},
    }


def all_live() -> dict[str, Live | OperationError]:
    return {n.name: parse(n.name, said(n, holds=n.name in {GATEWAY, NODE})) for n in NETWORK.nodes}


def words(name: str, **changes: Any) -> list[str]:
    """Return the findings when one machine is otherwise."""
    live = all_live()
    one = live[name]
    assert isinstance(one, Live)
    return [str(finding) for finding in judge.judge(NETWORK, {**live, name: dataclasses.replace(one, **changes)})]


def live_of(name: str) -> Live:
    one = all_live()[name]
    assert isinstance(one, Live)
    return one


def test_machines_as_planned_have_no_finding() -> None:
    assert judge.judge(NETWORK, all_live()) == ()


def test_a_table_that_sleeps_is_known() -> None:
    words = {**said(NETWORK.node_by_name[NODE], holds=True), "terse": "table inet kumiai {\n\tflags dormant\n}\n"}
    assert parse(NODE, words).dormant == ("inet kumiai",)
    assert live_of(NODE).dormant == ()


def test_a_machine_that_could_not_be_read_is_a_finding() -> None:
    live = {**all_live(), NODE: OperationError("juki-ap1 on host kvm02: no answer")}
    (finding,) = judge.judge(NETWORK, live)
    assert (finding.kind, str(finding)) == ("silent", "juki-ap1: could not be read: juki-ap1 on host kvm02: no answer")
    del live[NODE]
    (finding,) = judge.judge(NETWORK, live)
    assert str(finding) == "juki-ap1: was not read"


@pytest.mark.parametrize("table", ["main", "77"])
def test_a_route_added_by_hand_is_found(table: str) -> None:
    added = LiveRoute(
        table=table, prefix=IPv4Network("10.9.0.0/16"), vias=(IPv4Address("172.16.0.65"),), card="seg3", kind="unicast"
    )
    (finding,) = words(NODE, routes=(*live_of(NODE).routes, added))
    where = "" if table == "main" else " in table 77"
    assert finding == f"juki-ap1: a route that is not planned{where}: unicast 10.9.0.0/16 via 172.16.0.65 on seg3"


def test_an_office_by_the_line_of_another_member_is_found() -> None:
    tsuno = next(line for line in NETWORK.lines if line.name == "tsuno-main")
    peer = next(hand.peer for hand in tsuno.handoffs if hand.zone == "mynumber")
    wrong = LiveRoute(table="main", prefix=IPv4Network("10.1.0.0/24"), vias=(peer,), card="seg9", kind="unicast")
    (finding,) = words(GATEWAY, routes=(*live_of(GATEWAY).routes, wrong))
    assert finding == f"dc1-gw1a: a route that is not planned: unicast 10.1.0.0/24 via {peer} on seg9"


def test_a_planned_route_that_is_gone_is_found() -> None:
    node = NETWORK.node_by_name[NODE]
    gone = node.routes[0]
    left = tuple(route for route in live_of(NODE).routes if route.prefix != gone.prefix)
    assert words(NODE, routes=left) == [f"juki-ap1: its route to {gone.prefix} via {gone.via} is missing"]


def test_a_policy_rule_is_found() -> None:
    assert words(GATEWAY, policies=("from 10.1.0.0/24 lookup 77",)) == [
        "dc1-gw1a: a policy rule that is not planned: from 10.1.0.0/24 lookup 77"
    ]


def test_an_address_more_or_less_is_found() -> None:
    node = NETWORK.node_by_name[NODE]
    card = node.interfaces[1]
    there = live_of(NODE).addresses
    more = {**there, card.name: there[card.name] | {"172.16.0.99/26"}}
    assert words(NODE, addresses=more) == [f"juki-ap1: {card.name} has an address that is not planned: 172.16.0.99/26"]
    less = {**there, card.name: there[card.name] - {str(card.address)}}
    assert f"juki-ap1: {card.name} has not its address {card.address}" in words(NODE, addresses=less)
    assert words(NODE, addresses={**there, "tun9": frozenset({"2001:db8::1/64"})}) == [
        "juki-ap1: tun9 has an address that is not planned: 2001:db8::1/64"
    ]


def test_a_socket_that_no_flow_leads_to_is_found() -> None:
    planned = Socket(protocol="tcp", address="172.16.0.68", port=443, program="haproxy")
    assert words(NODE, sockets=(planned,)) == []
    foreign = Socket(protocol="tcp", address="*", port=8000, program="python3")
    assert words(NODE, sockets=(planned, foreign)) == ["juki-ap1: python3 takes tcp/8000 on *, and no flow leads there"]


def test_what_a_machine_keeps_for_itself_alone_is_planned_where_it_runs_that() -> None:
    """zaimu has no database machine: its application asks the database beside it."""
    database = Socket(protocol="tcp", address="172.16.0.133", port=5432, program="postgres")
    application = Socket(protocol="tcp", address="172.16.0.133", port=8080, program="python3")
    assert words("zaimu-nishiki-ap1", sockets=(database, application)) == []
    assert words(NODE, sockets=(database,)) == [
        "juki-ap1: postgres takes tcp/5432 on 172.16.0.133, and no flow leads there"
    ]


def test_what_a_gateway_sends_from_is_no_open_socket_and_the_same_elsewhere_is() -> None:
    bfd = Socket(protocol="udp", address="192.0.2.2", port=49168, program="bfdd")
    sync = Socket(protocol="udp", address="0.0.0.0", port=33852, program="conntrackd")  # noqa: S104 - as ss tells it
    low = Socket(protocol="udp", address="0.0.0.0", port=4000, program="conntrackd")  # noqa: S104
    assert words(GATEWAY, sockets=(bfd, sync)) == []
    assert words(GATEWAY, sockets=(low,)) == ["dc1-gw1a: conntrackd takes udp/4000 on 0.0.0.0, and no flow leads there"]
    assert words(NODE, sockets=(bfd,)) == ["juki-ap1: bfdd takes udp/49168 on 192.0.2.2, and no flow leads there"]


def test_forwarding_and_stopped_services_are_found() -> None:
    assert words(NODE, forwards=True) == ["juki-ap1: forwards packets, and is no gateway"]
    assert words(GATEWAY, forwards=False) == ["dc1-gw1a: is a gateway and does not forward"]
    assert words(GATEWAY, units={"nftables.service": "inactive"}) == ["dc1-gw1a: nftables.service is inactive"]

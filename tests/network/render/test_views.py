"""What renderers decide: cards and routes, virtual addresses, entry ports, names."""

from __future__ import annotations

import dataclasses
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from infra.process import run
from network import flows, render
from network.model import NetworkNode, NetworkPlan, Route, ServiceEndpoint
from network.render import frr, haproxy, keepalived, networkd, nftables
from tests.network.render import small


def changed(network: NetworkPlan, name: str, **more: Any) -> NetworkPlan:
    nodes = tuple(dataclasses.replace(n, **more) if n.name == name else n for n in network.nodes)
    return dataclasses.replace(network, nodes=nodes)


def get(network: NetworkPlan, name: str) -> tuple[flows.Resolution, NetworkNode]:
    return flows.resolve(network), network.node_by_name[name]


def test_an_address_held_alone_stands_on_the_card_and_a_shared_one_does_not() -> None:
    (alone,) = networkd.cards(*get(small.network(), "own-east-ap1"))
    assert [str(a) for a in alone.addresses] == ["10.0.2.11/24", "10.0.2.10/32"]
    assert not alone.floating
    (shared,) = networkd.cards(*get(small.network(), "shared-ap1"))
    assert [str(a) for a in shared.addresses] == ["10.0.1.11/24"]
    assert shared.floating


def test_a_route_stands_on_the_card_that_reaches_its_next_hop() -> None:
    route = Route(prefix=IPv4Network("10.9.0.0/24"), via=IPv4Address("192.0.2.9"))
    cards = networkd.cards(*get(changed(small.network(), "gw", routes=(route,)), "gw"))
    assert {card.name: card.routes for card in cards if card.routes} == {"west-line": (route,)}


@pytest.mark.parametrize("via", ["10.99.0.1", "10.0.0.1"])
def test_a_next_hop_that_no_card_or_only_management_reaches_is_an_error(via: str) -> None:
    route = Route(prefix=IPv4Network("10.9.0.0/24"), via=IPv4Address(via))
    with pytest.raises(flows.RenderError, match=r"gw: no card but management reaches the next hop of .*10\.9\.0\.0/24"):
        networkd.cards(*get(changed(small.network(), "gw", routes=(route,)), "gw"))


def test_holders_of_an_address_know_each_other_and_differ_in_priority() -> None:
    network = small.network()
    first, second = (keepalived.instances(*get(network, name))[0] for name in ("shared-ap1", "shared-ap2"))
    assert (first.vrid, first.address) == (second.vrid, second.address)
    assert first.priority > second.priority
    assert (first.own, first.peers) == (IPv4Address("10.0.1.11"), (IPv4Address("10.0.1.12"),))
    assert (second.own, second.peers) == (IPv4Address("10.0.1.12"), (IPv4Address("10.0.1.11"),))
    assert keepalived.files(*get(network, "own-east-ap1")) == {}


def test_gateways_that_share_an_address_are_refused() -> None:
    network = small.network()
    pair = small.vip("gw/east", "east", "10.0.2.1/24", "gw", "own-east-ap1")
    with pytest.raises(flows.RenderError, match="gw/east: gw, own-east-ap1 share it"):
        render.render_node(dataclasses.replace(network, vips=(*network.vips, pair)), "gw")


def entry(network: NetworkPlan, name: str) -> haproxy.Entry:
    def named(endpoint: ServiceEndpoint) -> bool:
        return endpoint.name == name

    return haproxy.entry(flows.resolve(network), next(filter(named, network.endpoints)))


def test_an_entry_listens_where_the_service_and_its_flows_say() -> None:
    asked = small.flow("service:shared@each_member", "service:own@west", "tcp/8440-8445", "tcp/9000", "udp/53")
    west = entry(small.network(asked), "own-west")
    assert west.tls_ports == (443, 8443)
    assert west.plain == ("8440-8442", "8444-8445", "9000")
    east = entry(small.network(asked), "own-east")
    assert (east.tls_ports, east.plain) == ((443,), ())


def test_a_service_behind_another_entry_has_no_haproxy() -> None:
    network = small.network(
        endpoints=(small.endpoint("shared", None, "common", ("shared-ap1",), load_balancer=("shared-ap2",)),),
        vips=(small.vip("service/shared", "common", "10.0.1.10/24", "shared-ap2"),),
    )
    assert haproxy.PATH not in render.render_node(network, "shared-ap1")
    assert "server shared-ap1 10.0.1.11:8080 check" in render.render_node(network, "shared-ap2")[haproxy.PATH]


def elements(network: NetworkPlan, name: str) -> list[str]:
    lines = render.render_node(network, name)[nftables.RULES].splitlines()
    return [line.strip().partition(" comment ")[0] for line in lines if line.startswith('\t\t\t"')]


def test_two_lines_of_one_member_give_one_element_on_the_host() -> None:
    """The kernel refuses an element twice, and the same office arrives by main and backup line."""
    flow = small.flow("office:east/lgwan", "service:shared")
    backup = dataclasses.replace(small.line("west", 1), member="east", name="east-backup")
    found = elements(small.network(flow, lines=(small.line("east", 0), backup)), "shared-ap1")
    assert found.count('"common" . 10.1.0.0/24 . 10.0.1.10 . 443') == 1
    through = elements(small.network(flow, lines=(small.line("east", 0), backup)), "gw")
    assert '"east-line" . 10.1.0.0/24 . "common" . 10.0.1.10 . 443' in through
    assert '"west-line" . 10.1.0.0/24 . "common" . 10.0.1.10 . 443' in through


def test_overlapping_flows_load() -> None:
    network = small.network(
        small.flow("office:east/lgwan", "service:shared", "tcp/443", "tcp/440-450", "icmp", "udp/53"),
        small.flow("office:east/lgwan", "service:shared", "tcp/445-460"),
    )
    for name in ("gw", "shared-ap1"):
        rules = render.render_node(network, name)[nftables.RULES]
        listed = run("unshare", "-rn", "sh", "-c", "nft -f - && nft list ruleset", stdin=rules)
        assert "10.0.1.10 . 440-460" in listed
        assert "10.0.1.10 . 53" in listed
        assert '. 10.0.1.10 counter packets 0 bytes 0 comment "office:east/lgwan -> service:shared"' in listed


def test_a_long_comment_is_cut_where_nftables_would_refuse_it() -> None:
    names = [f"{letter * 31}" for letter in "abcdef"]
    offices = tuple(
        dataclasses.replace(lan, prefixes=(IPv4Network("10.1.0.0/24"),), member="east")
        for lan in small.network().offices
    )
    endpoints = tuple(small.endpoint(name, None, "common", ("shared-ap1",)) for name in names)
    vips = tuple(small.vip(f"service/{name}", "common", "10.0.1.10/24", "shared-ap1") for name in names)
    network = small.network(
        *(small.flow("office:east/lgwan", f"service:{name}") for name in names),
        endpoints=endpoints, vips=vips, offices=offices,
    )  # fmt: skip
    run("unshare", "-rn", "nft", "-c", "-f", "-", stdin=render.render_node(network, "gw")[nftables.RULES])


def test_names_lead_to_neighbours_and_to_what_flows_reach() -> None:
    network = small.network(small.flow("service:shared@west", "service:own"))
    hosts = render.render_node(network, "shared-ap1")["/etc/hosts"]
    assert [line for line in hosts.splitlines() if not line.startswith("#")] == [
        "127.0.0.1 localhost",
        "10.0.1.10 shared",
        "10.0.1.11 shared-ap1",
        "10.0.1.12 shared-ap2",
        "10.0.3.10 own-west",
    ]


def pair(**handoff: object) -> NetworkPlan:
    """Return the small network with a second gateway, and ``east``'s hand-off changed by the keywords."""
    network = small.network(small.flow("office:east/lgwan", "service:shared"))
    first = network.node_by_name["gw"]
    cards = {i.segment: str(i.address) for i in first.interfaces} | {"sync": "10.0.9.1/29"}
    other = {where: str(IPv4Interface(a).ip + 1) + "/" + a.partition("/")[2] for where, a in cards.items()}
    shared = [
        small.vip(f"gw/{where}", where, str(IPv4Interface(a).ip + 2) + "/" + a.partition("/")[2], "gwa", "gwb")
        for where, a in cards.items()
        if where not in {"management", "sync"}
    ]
    east, west = network.lines
    value = {"routing": "bgp", "peer_as": 64600, "local_as": 65010, "hold_s": 9, "bfd": True, **handoff}
    east = dataclasses.replace(east, handoffs=(dataclasses.replace(east.handoffs[0], **value),))  # type: ignore[arg-type]
    return dataclasses.replace(
        network,
        segments=(*network.segments, small.segment("sync", "10.0.9.0/29", "sync")),
        nodes=(small.node("gwa", "gateway", cards), small.node("gwb", "gateway", other), *network.nodes[1:]),
        vips=(*network.vips, *shared),
        lines=(east, west),
    )


def test_a_pair_has_one_instance_with_all_addresses_and_the_second_asks_for_an_opinion() -> None:
    network = pair()
    first, second = (keepalived.pair(*get(network, name)) for name in ("gwa", "gwb"))
    assert first is not None
    assert second is not None
    assert (
        (first.own, first.partner) == (second.partner, second.own) == (IPv4Address("10.0.9.1"), IPv4Address("10.0.9.2"))
    )
    assert (first.opinion, second.opinion) == (False, True)
    assert first.priority > second.priority
    assert first.addresses == second.addresses
    assert {card for _, card in first.addresses} == {"east-line", "west-line", "common", "east", "west"}
    assert {heard.card for heard in second.others} == {"common", "east", "west"}, "no carrier is asked"
    files = render.render_node(network, "gwb")
    assert keepalived.OPINION in files
    assert keepalived.OPINION not in render.render_node(network, "gwa")
    assert len(re.findall(r"(?m)^vrrp_instance ", files[keepalived.PATH])) == 1


def test_addresses_that_could_not_move_together_are_refused() -> None:
    network = pair()
    turned = tuple(
        dataclasses.replace(vip, nodes=("gwb", "gwa")) if vip.name == "gw/west" else vip for vip in network.vips
    )
    with pytest.raises(flows.RenderError, match="gw/west: has another order of gateways or router id than gw/common"):
        render.render_node(dataclasses.replace(network, vips=turned), "gwa")


def test_a_session_takes_in_the_offices_and_tells_of_the_members_segments() -> None:
    network = pair()
    (one,) = frr.neighbors(network, network.node_by_name["gwb"])
    assert (one.own, one.peer, one.vip) == tuple(IPv4Address(f"192.0.2.{n}") for n in (3, 1, 4))
    assert [str(p) for p in one.accepted] == ["10.1.0.0/24"]
    assert [str(p) for p in one.announced] == ["10.0.1.0/24", "10.0.2.0/24"], "the shared segment and its own"
    assert (one.keepalive_s, one.hold_s, one.preference, one.prepended) == (3, 9, 200, 0)
    rules = render.render_node(network, "gwb")[nftables.RULES]
    for element in (
        '"east-line" . 192.0.2.1 . 192.0.2.3 . 179 comment "routing of east-main"',
        '"east-line" . 192.0.2.1 . 179 comment "routing of east-main"',
        '"sync" . 10.0.9.1 . 10.0.9.2 . 3780 comment "open connections of gwa"',
        '"sync" . 10.0.9.1 . 3780 comment "open connections of gwb"',
    ):
        assert element in rules
    assert frr.bfd_peers(network, network.node_by_name["gwb"]) == (("east-line", "192.0.2.1"),)
    assert rules.count(" . 179 ") == 2, "nobody on the other line"


def test_a_backup_line_is_told_of_as_the_worse_way() -> None:
    network = pair()
    backup = dataclasses.replace(network, lines=(dataclasses.replace(network.lines[0], role="backup"),))
    (one,) = frr.neighbors(backup, backup.node_by_name["gwa"])
    assert (one.preference, one.metric, one.prepended) == (100, 200, 3)
    config = render.render_node(backup, "gwa")[frr.CONFIG]
    assert " set as-path prepend 65010 65010 65010\n" in config


def test_sessions_under_different_numbers_say_so_themselves() -> None:
    network = pair()
    second = dataclasses.replace(network.lines[1].handoffs[0], routing="bgp", peer_as=64700, local_as=65020)
    both = dataclasses.replace(
        network, lines=(network.lines[0], dataclasses.replace(network.lines[1], handoffs=(second,)))
    )
    config = render.render_node(both, "gwa")[frr.CONFIG]
    assert "router bgp 65010\n" in config
    assert " neighbor 192.0.2.9 local-as 65020 no-prepend replace-as\n" in config
    assert " neighbor 192.0.2.9 timers 30 90\n" in config, "90 s where the carrier names no hold time"
    assert "neighbor 192.0.2.1 local-as" not in config


@pytest.mark.parametrize(
    ("handoff", "message"),
    [
        ({"peer_as": None}, "line east-main: a BGP session needs the AS numbers of both sides"),
        ({"peer_as": 65010}, "line east-main: carrier and gateways have the same AS number 65010"),
    ],
)
def test_routing_that_cannot_be_rendered_is_refused(handoff: dict[str, object], message: str) -> None:
    network = dataclasses.replace(pair(**handoff), flows=())
    with pytest.raises(flows.RenderError, match=re.escape(message)):
        render.render_node(network, "gwa")


def test_static_routes_of_frr_wait_behind_the_main_line_and_are_watched_by_bfd() -> None:
    network = pair(routing="static", peer_as=None, local_as=None)
    gateway = network.node_by_name["gwa"]
    (watched,) = frr.static_routes(network, gateway)
    assert (str(watched.prefix), str(watched.via), watched.distance, watched.bfd) == (
        "10.1.0.0/24",
        "192.0.2.1",
        1,
        True,
    )
    assert "ip route 10.1.0.0/24 192.0.2.1 bfd profile line\n" in render.render_node(network, "gwa")[frr.CONFIG]
    backup = dataclasses.replace(network.lines[0], role="backup")
    waiting = dataclasses.replace(network, lines=(backup, network.lines[1]))
    assert "ip route 10.1.0.0/24 192.0.2.1 200 bfd profile line\n" in render.render_node(waiting, "gwa")[frr.CONFIG]
    quiet = pair(routing="static", peer_as=None, local_as=None, bfd=False)
    assert frr.files(flows.resolve(quiet), gateway) == {}, "systemd-networkd holds what never changes"


def test_no_password_stands_in_a_rendered_file() -> None:
    files = render.render_node(pair(md5="east-carrier"), "gwa")
    assert not [
        path for path, text in files.items() if "east-carrier" in text or re.search(r"(?m)^ *neighbor .*password", text)
    ]


def test_a_card_of_a_line_sends_no_faster_than_the_line() -> None:
    files = render.render_node(pair(), "gwa")
    shaped = {path: text for path, text in files.items() if "[TokenBucketFilter]" in text}
    assert sorted(shaped) == [f"/etc/systemd/network/20-kumiai-{name}.network" for name in ("east-line", "west-line")]
    # 100 Mbit/s for 10 ms
    assert "\nParent=root\nRate=100M\nBurstBytes=125000\nLatencySec=50ms\n" in next(iter(shaped.values()))

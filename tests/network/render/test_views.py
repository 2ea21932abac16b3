"""What renderers decide: cards and routes, virtual addresses, entry ports, names."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.process import run
from network import flows, render
from network.model import NetworkNode, NetworkPlan, Route, ServiceEndpoint
from network.render import haproxy, keepalived, networkd, nftables
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

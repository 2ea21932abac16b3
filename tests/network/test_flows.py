"""Flows become exactly the accepts that they mean, and an end without addresses is an error."""

from __future__ import annotations

import dataclasses
import re
from ipaddress import IPv4Network
from typing import Any

import pytest

from network import flows, ports, service_ports
from network.model import NetworkPlan, Outside
from tests.network.render import small


def address(accept: flows.Accept) -> str:
    """The target; a single address without its length."""
    return str(accept.target).removesuffix("/32")


def crossing(network: NetworkPlan) -> set[tuple[str, str, str, str, str]]:
    """Everything that a gateway passes: segment, source, segment, target, ports."""
    return {
        (a.source_segment, str(a.source), a.target_segment, address(a), str(a.ports))
        for a in flows.resolve(network).accepts
        if a.crosses
    }


OUTSIDE_VPN = Outside(name="network:vpn", closed_network="vpn", prefixes=(IPv4Network("198.18.0.0/20"),))
EAST_OFFICE = ("east-line", "10.1.0.0/24")
WEST_OFFICE = ("west-line", "10.2.0.0/24")
SHARED_NODES = (("common", "10.0.1.11/32"), ("common", "10.0.1.12/32"))
EAST_NODE = ("east", "10.0.2.11/32")
WEST_NODE = ("west", "10.0.3.11/32")
SHARED, EAST, WEST = ("common", "10.0.1.10"), ("east", "10.0.2.10"), ("west", "10.0.3.10")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("office:east/lgwan", "service:shared", {(*EAST_OFFICE, *SHARED)}),
        ("office:east/lgwan", "service:own", {(*EAST_OFFICE, *EAST)}),
        ("office:east/lgwan", "service:own@east", {(*EAST_OFFICE, *EAST)}),
        ("office:east/lgwan", "service:own@west", {(*EAST_OFFICE, *WEST)}),
        ("service:own", "service:shared", {(*EAST_NODE, *SHARED), (*WEST_NODE, *SHARED)}),
        ("service:own@west", "service:shared", {(*WEST_NODE, *SHARED)}),
        ("service:own@west", "service:own@east", {(*WEST_NODE, *EAST)}),
        ("service:shared@west", "service:own", {(*n, *WEST) for n in SHARED_NODES}),
        ("service:shared", "service:own@west", {(*n, *WEST) for n in SHARED_NODES}),
        ("service:shared@each_member", "service:own", {(*n, *t) for n in SHARED_NODES for t in (EAST, WEST)}),
        ("service:shared", "service:own@each_member", {(*n, *t) for n in SHARED_NODES for t in (EAST, WEST)}),
        ("service:own", "service:shared@each_member", {(*EAST_NODE, *SHARED), (*WEST_NODE, *SHARED)}),
    ],
)
def test_a_flow_means_the_same_member_unless_it_names_another(
    source: str, target: str, expected: set[tuple[str, str, str, str]]
) -> None:
    assert crossing(small.network(small.flow(source, target))) == {(*path, "tcp/443") for path in expected}


def test_every_port_of_a_flow_is_allowed_and_no_other() -> None:
    found = crossing(
        small.network(small.flow("office:east/lgwan", "service:shared", "tcp/443", "udp/5000-5010", "icmp"))
    )
    assert {path[4] for path in found} == {"tcp/443", "udp/5000-5010", "icmp"}
    assert len(found) == 3


def test_nothing_crosses_without_a_flow() -> None:
    resolution = flows.resolve(small.network())
    assert len(resolution.accepts) > 0
    assert not [accept for accept in resolution.accepts if accept.crosses]


def test_a_line_that_carries_all_zones_together_lets_its_prefix_in() -> None:
    together = small.network(
        small.flow("office:east/lgwan", "service:shared"), lines=(small.line("east", 0, zone=None),)
    )
    assert crossing(together) == {(*EAST_OFFICE, *SHARED, "tcp/443")}


@pytest.mark.parametrize(
    ("source", "target", "parts", "message"),
    [
        ("office:east/lgwan", "service:shared", {"lines": ()}, "no line of east carries the zone lgwan into dc1"),
        (
            "office:east/lgwan",
            "service:shared",
            {"lines": (small.line("east", 0, zone="mynumber"),)},
            "no line of east carries the zone lgwan into dc1",
        ),
        ("network:lgwan", "service:shared", {}, "at which addresses it `reaches` network:lgwan"),
        ("service:own", "external:national", {}, "at which addresses it `reaches` external:national"),
        ("office:east/lgwan", "office:west/lgwan", {}, "no end of it is a service"),
        (
            "service:own",
            "network:vpn",
            {"outsides": (OUTSIDE_VPN,)},
            "no line of east carries the zone lgwan from dc1 to network:vpn",
        ),
    ],
)
def test_a_declared_flow_without_a_path_opens_nothing_and_says_why(
    source: str, target: str, parts: dict[str, Any], message: str
) -> None:
    network = small.network(small.flow(source, target), **parts)
    bare = small.network(**parts)
    resolved = flows.resolve(network)
    assert message in resolved.unopened[source, target]
    assert resolved.accepts == flows.resolve(bare).accepts
    if source.startswith("office:") and target.startswith("service:"):
        implied = dataclasses.replace(network, flows=(small.flow(source, target, kind="office_access"),))
        with pytest.raises(flows.RenderError, match=re.escape(message)):
            flows.resolve(implied)


@pytest.mark.parametrize(
    ("source", "target", "parts", "message"),
    [
        ("office:east/mynumber", "service:shared", {}, "office:east/mynumber has no LAN"),
        ("office:north/lgwan", "service:shared", {}, "office:north/lgwan has no LAN"),
        ("office:east/lgwan", "service:other", {}, "nothing of the plan is service:other"),
        ("service:own@north", "service:shared", {}, "nothing of the plan is service:own@north"),
        ("service:shared", "service:own", {}, "name one with @MEMBER or @each_member"),
        (
            "service:own@west",
            "service:shared",
            {"endpoints": (small.endpoint("shared", None, "common", ()), small.endpoint("own", "west", "west", ()))},
            "own-west: the service has no application node",
        ),
        (
            "office:east/lgwan",
            "service:shared",
            {"endpoints": (small.endpoint("shared", None, "common", ("shared-ap1",), participants=("west",)),)},
            "the two ends have no member in common",
        ),
    ],
)
def test_an_empty_side_is_an_error_and_never_any(source: str, target: str, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(flows.RenderError, match=re.escape(message)):
        flows.resolve(small.network(small.flow(source, target), **parts))


def test_a_flow_without_ports_is_an_error() -> None:
    empty = dataclasses.replace(small.flow("office:east/lgwan", "service:shared"), allow=())
    with pytest.raises(flows.RenderError, match="allows no port"):
        flows.resolve(small.network(empty))


def test_segments_without_a_common_gateway_have_no_path() -> None:
    network = small.network(small.flow("office:east/lgwan", "service:own@west"))
    cut = tuple(n if n.name != "gw" else dataclasses.replace(n, interfaces=n.interfaces[:5]) for n in network.nodes)
    (reason,) = flows.resolve(dataclasses.replace(network, nodes=cut)).unopened.values()
    assert "no gateway has cards on both east-line and west" in reason


def inside(network: NetworkPlan) -> set[tuple[str, str, str]]:
    accepts = flows.resolve(network).accepts
    return {(str(a.source), address(a), str(a.ports)) for a in accepts if a.target_segment == "common"}


def test_without_database_nodes_the_first_application_node_carries_the_database() -> None:
    assert inside(small.network()) == {
        ("10.0.1.12/32", "10.0.1.11", "tcp/5432"),
        ("10.0.1.12/32", "10.0.1.11", "tcp/8080"),
        ("10.0.1.11/32", "10.0.1.12", "tcp/8080"),
    }


def test_with_a_load_balancer_only_it_speaks_to_the_application() -> None:
    network = small.network(
        endpoints=(
            small.endpoint(
                "shared", None, "common", ("shared-ap1",), database=("shared-db1",), load_balancer=("shared-lb1",)
            ),
        ),
        nodes=tuple(
            small.node(name, role, {"management": f"10.0.0.{n}/24", "common": f"10.0.1.{n}/24"})
            for n, (name, role) in enumerate(
                (("shared-ap1", "application"), ("shared-db1", "database"), ("shared-lb1", "load_balancer")), 11
            )
        ),
    )
    assert inside(network) == {
        ("10.0.1.13/32", "10.0.1.11", "tcp/8080"),
        ("10.0.1.11/32", "10.0.1.12", "tcp/5432"),
    }


def test_the_station_reaches_every_node_by_ssh_and_nobody_else_does() -> None:
    network = small.network(small.flow("office:east/lgwan", "service:shared"))
    ssh = [a for a in flows.resolve(network).accepts if a.ports == ports.parse("tcp/22")]
    assert {address(a) for a in ssh} == {str(n.management.address.ip) for n in network.nodes}
    assert {(a.source_segment, str(a.source), a.target_segment) for a in ssh} == {
        ("management", "10.0.0.1/32", "management")
    }


def test_every_node_asks_the_station_for_the_time_and_nothing_else() -> None:
    network = small.network()
    asked = [a for a in flows.resolve(network).accepts if address(a) == "10.0.0.1"]
    assert {str(a.source.network_address) for a in asked} == {str(n.management.address.ip) for n in network.nodes}
    assert {(a.source_segment, a.target_segment, str(a.ports)) for a in asked} == {
        ("management", "management", "udp/123")
    }


def test_services_on_the_same_nodes_have_ports_of_their_own() -> None:
    network = small.network(
        endpoints=(
            small.endpoint("first", None, "common", ("shared-ap1", "shared-ap2")),
            small.endpoint("alone", "east", "east", ("own-east-ap1",)),
            small.endpoint("second", None, "common", ("shared-ap1", "shared-ap2")),
            small.endpoint("third", None, "common", ("shared-ap2",)),
        )
    )
    found = [service_ports.application_port(network, endpoint) for endpoint in network.endpoints]
    assert found == [8080, 8080, 8081, 8082]

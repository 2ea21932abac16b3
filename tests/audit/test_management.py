"""The management network: what each single mistake there makes of the proof."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface, IPv4Network

import pytest

from infra.audit import check, management
from infra.audit.management import Bridge, Tunnel
from infra.audit.model import Audit, Violation
from infra.hosts import isolation
from network.model import Interface, NetworkNode, NetworkPlan, Route
from tests.audit import listings

STACKS = ("demo", "nishiki", "same-business", "per-municipality", "mixed", "multi-tenant")
NODE = "juki-ap1"


def broken(violations: tuple[Violation, ...]) -> list[tuple[str, str]]:
    return [(one.source, one.reason) for one in violations if one.kind == "isolation"]


def declared(network: NetworkPlan) -> Audit:
    plan = dataclasses.replace(listings.plan(), network=network)
    return check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))


def with_node(change: Callable[[NetworkNode], NetworkNode]) -> NetworkPlan:
    network = listings.plan().network
    return dataclasses.replace(
        network, nodes=tuple(change(node) if node.name == NODE else node for node in network.nodes)
    )


def with_card(**changes: object) -> NetworkPlan:
    def change(node: NetworkNode) -> NetworkNode:
        card: Interface = dataclasses.replace(node.interfaces[0], **changes)  # type: ignore[arg-type]
        return dataclasses.replace(node, interfaces=(card, *node.interfaces[1:]))

    return with_node(change)


def hosts(change: Mapping[str, Mapping[str, object]]) -> list[tuple[str, str]]:
    """Return what is found when bridges of the demo are made differently: host → fields."""
    made = isolation.bridges(listings.plan())
    wrong = {host: dataclasses.replace(made[host], **fields) for host, fields in change.items()}  # type: ignore[arg-type]
    return broken(tuple(management.bridged(listings.plan().network, {**made, **wrong})))


def everywhere() -> Mapping[str, Bridge]:
    return isolation.bridges(listings.plan())


def tunnel_of(host: str) -> Tunnel:
    tunnel = everywhere()[host].tunnel
    assert tunnel is not None
    return tunnel


def hub() -> str:
    return next(host for host, bridge in everywhere().items() if bridge.station)


@pytest.mark.parametrize("stack", STACKS)
def test_no_machine_of_the_projects_stacks_reaches_another_by_management(stack: str) -> None:
    plan = listings.plan(stack)
    bridges = isolation.bridges(plan)
    assert {name for bridge in bridges.values() for name in bridge.cards} == {node.name for node in plan.nodes}
    assert tuple(management.bridged(plan.network, bridges)) == ()
    assert tuple(management.planned(plan.network)) == ()


def test_a_port_that_is_not_isolated_is_found_in_the_plan_with_a_packet() -> None:
    found = [one for one in declared(with_card(isolated=False)).violations if one.kind == "isolation"]
    assert [(one.source, one.severity) for one in found] == [(NODE, "major")]
    network = listings.plan().network
    packet = found[0].packet
    assert packet is not None
    assert packet.source == str(network.node_by_name[NODE].management.address.ip)
    assert packet.destination == str(network.node_by_name[found[0].target].management.address.ip)


def test_a_port_that_is_not_isolated_is_found_on_the_bridges_for_both_sides() -> None:
    plan = dataclasses.replace(listings.plan(), network=with_card(isolated=False))
    found = broken(tuple(management.bridged(plan.network, isolation.bridges(plan))))
    beside = {node.name for node in plan.nodes if node.host == plan.node_by_name[NODE].host}
    assert {source for source, _ in found} >= beside
    assert all(NODE in reason for source, reason in found if source != NODE)


def test_a_hub_whose_tunnel_is_not_isolated_joins_the_machines_of_all_hosts() -> None:
    """Its machines' ports are isolated, its tunnel no longer: frames of other hosts reach them (bridge(8))."""
    first = hub()
    found = hosts({first: {"tunnel": dataclasses.replace(tunnel_of(first), isolated=False)}})
    others = {node.name for node in listings.plan().nodes if node.host != first}
    assert {source for source, _ in found} >= others


def test_a_spoke_whose_tunnel_is_isolated_cuts_its_machines_off() -> None:
    spoke = next(host for host in everywhere() if host != hub())
    found = hosts({spoke: {"tunnel": dataclasses.replace(tunnel_of(spoke), isolated=True)}})
    there = {node.name for node in listings.plan().nodes if node.host == spoke}
    assert {reason for _, reason in found} == {"the bridges carry no frames between it and the station"}
    assert len(found) == len(there) > 0


@pytest.mark.parametrize(
    ("hub_isolated", "spoke_isolated", "spoke_peers", "machines", "station"),
    [
        (True, False, {"hub"}, set(), True),
        (False, False, {"hub"}, {"on-hub"}, True),
        (True, True, {"hub"}, set(), False),
        (True, False, {"hub", "other"}, {"on-other"}, True),
    ],
)
def test_what_reaches_whom_is_what_was_measured_on_real_bridges(
    hub_isolated: bool, spoke_isolated: bool, spoke_peers: set[str], machines: set[str], station: bool
) -> None:
    """Two tunnels like all others join machines; both isolated cut the station off; the hub's alone does it right."""
    spoke = Tunnel(isolated=spoke_isolated, peers=frozenset(spoke_peers))
    bridges = {
        "hub": Bridge(
            site="dc1",
            cards={"on-hub": True},
            station=True,
            tunnel=Tunnel(isolated=hub_isolated, peers=frozenset({"spoke", "other"})),
        ),
        "spoke": Bridge(site="dc1", cards={"here": True}, station=False, tunnel=spoke),
        "other": Bridge(site="dc1", cards={"on-other": True}, station=False, tunnel=dataclasses.replace(spoke)),
    }
    found = management.reached(bridges, "spoke", isolated=True)
    assert set(found) - {""} == machines
    assert ("" in found) is station


def test_a_machine_that_stands_on_no_bridge_was_not_examined() -> None:
    host = listings.plan().node_by_name[NODE].host
    cards = {name: isolated for name, isolated in everywhere()[host].cards.items() if name != NODE}
    assert hosts({host: {"cards": cards}}) == [
        (NODE, "its way to the station could not be examined: no host has its card")
    ]


def test_who_takes_the_stations_address_is_found() -> None:
    station = listings.plan().network.stations["dc1"]
    found = [one for one in declared(with_card(addresses=(station,))).violations if one.kind == "isolation"]
    assert [(one.source, one.severity) for one in found] == [(NODE, "critical")]


def test_a_way_to_a_member_by_the_management_network_is_found() -> None:
    network = listings.plan().network
    via = network.management_segment("dc1").prefix[-2]
    office = network.offices[0].prefixes[0]
    ways = with_node(lambda node: dataclasses.replace(node, routes=(*node.routes, Route(prefix=office, via=via))))
    assert (NODE, f"it sends packets for {office} by the management network") in broken(declared(ways).violations)


def test_a_management_network_that_overlaps_a_members_is_found() -> None:
    network = listings.plan().network
    office = network.offices[0]
    prefix = IPv4Network(network.management_segment("dc1").prefix)
    lans = (dataclasses.replace(office, prefixes=(prefix,)), *network.offices[1:])
    found = broken(declared(dataclasses.replace(network, offices=lans)).violations)
    assert any(f"{prefix} and {prefix} overlap" == reason for _, reason in found)


def test_a_shared_address_or_a_service_on_the_management_network_is_found() -> None:
    network = listings.plan().network
    there = network.management_segment("dc1").name
    vips = (dataclasses.replace(network.vips[0], segment=there, address=IPv4Interface("172.16.0.9/26")),)
    services = (dataclasses.replace(network.endpoints[0], segment=there),)
    found = broken(tuple(management.planned(dataclasses.replace(network, vips=vips, endpoints=services))))
    assert len([one for one in found if "management network" in one[1]]) == 2


# filters of machines


@pytest.mark.skipif(not listings.SANDBOX, reason="rules cannot be loaded here")
@pytest.mark.parametrize(
    ("machine", "added", "into"),
    [
        ("juki-ap1", 'iifname "mgmt" ip saddr {other} tcp dport 22 accept', "input"),
        ("dc1-gw1a", 'iifname "mgmt" ip saddr {other} tcp dport 22 accept', "input"),
        ("dc1-gw1a", 'iifname "mgmt" oifname "{card}" accept', "forward"),
        ("dc1-gw1a", 'iifname "{card}" oifname "mgmt" accept', "forward"),
    ],
)
def test_rules_that_open_management_to_others_are_found(machine: str, added: str, into: str) -> None:
    plan = listings.plan()
    network = plan.network
    card = network.node_by_name[machine].interfaces[1].name
    rule = added.format(other=network.node_by_name["juki-ap2"].management.address.ip, card=card)
    hook = f"type filter hook {into} priority filter; policy drop;"
    loaded = listings.listings_of(network, (machine, hook, f"{hook}\n{rule}"))
    found = check.audit_rules(plan, loaded)
    here = [one for one in found.violations if any(machine in step for step in one.path)]
    assert found.verdict == "fail"
    assert {one.kind for one in here} & {"not_declared", "spoofable"}, found.violations

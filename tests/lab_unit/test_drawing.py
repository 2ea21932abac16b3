"""The drawn lab: which namespaces there are, and which ways lead where. Nothing is made."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network

import pytest

from infra.lab import carriers, drawing, offices, operate, places, routers, underlay
from infra.lab.drawing import EVERYWHERE, Drawing, Namespace, Port, Way
from infra.plan.model import Plan
from network.errors import InputError
from tests.lab_unit.small import ZONES, small_plan, with_host

PLAN = small_plan()


def whole(plan: Plan = PLAN) -> Drawing:
    return drawing.joined((underlay.draw(plan), carriers.draw(plan), offices.draw(plan)))


def namespace(drawn: Drawing, name: str) -> Namespace:
    (found,) = [n for n in drawn.namespaces if n.name == name]
    return found


def ports(drawn: Drawing, name: str) -> list[Port]:
    return [port for cable in drawn.cables for port in cable.ends if port.namespace == name]


def test_who_is_there() -> None:
    assert sorted(whole().names) == [
        "kl.small.carrier.lgwan",
        "kl.small.carrier.vpn-a.nishiki",
        "kl.small.carrier.vpn-a.tsuno",
        "kl.small.edge.dc1",
        "kl.small.host.kvm01",
        "kl.small.host.kvm02",
        "kl.small.host.kvm03",
        "kl.small.office.nishiki.honcho.lgwan",
        "kl.small.office.nishiki.honcho.mynumber",
        "kl.small.office.tsuno.honcho.lgwan",
        "kl.small.office.tsuno.honcho.mynumber",
        *(
            f"kl.small.pe.{member}-{role}.{zone}"
            for member in ("nishiki", "tsuno")
            for role in ("backup", "main")
            for zone in ("lgwan", "mynumber")
        ),
        "kl.small.terminal.nishiki.honcho.lgwan",
        "kl.small.terminal.nishiki.honcho.mynumber",
        "kl.small.terminal.tsuno.honcho.lgwan",
        "kl.small.terminal.tsuno.honcho.mynumber",
        "kl.small.underlay",
    ]


def test_names_of_two_stacks_never_meet() -> None:
    one, other = small_plan("demo"), small_plan("demo-host")
    assert not whole(one).names & whole(other).names
    assert not [name for name in whole(other).names if name.startswith(places.prefix("demo"))]


def test_interfaces_are_unique_and_short() -> None:
    drawn = whole()
    ends = [(port.namespace, port.name) for cable in drawn.cables for port in cable.ends]
    names = [*ends, *((bridge.namespace, bridge.name) for bridge in drawn.bridges)]
    assert len(names) == 69, "32 cables and 5 bridges"
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 15


def test_addresses_are_given_once_each() -> None:
    links = [port.addresses[0] for cable in carriers.draw(PLAN).cables for port in cable.ends if port.addresses]
    assert len(links) == 40, "8 hand-offs, 8 trunks and 8 access links with an address at one or both ends"
    assert len(set(links)) == len(links)


def test_a_line_declared_in_between_renames_no_interface() -> None:
    lines = PLAN.network.lines
    without = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=lines[1:]))
    names = {(p.namespace, p.name) for cable in carriers.draw(without).cables for p in cable.ends}
    assert names
    assert names < {(p.namespace, p.name) for cable in carriers.draw(PLAN).cables for p in cable.ends}


def carrier_tables(line: str, zone: str) -> tuple[Namespace, set[Way]]:
    """Return the core of a line, and the routes for what comes from the hand-off of its zone."""
    (edge,) = [e for e in carriers.edges(PLAN) if (e.line.name, e.handoff.zone) == (line, zone)]
    core = namespace(whole(), edge.core.namespace)
    (table,) = [s.table for s in core.selections if s.interface == edge.core.name]
    return core, {way for way in core.ways if way.table == table}


@pytest.mark.parametrize("line", [line.name for line in PLAN.network.lines])
@pytest.mark.parametrize("zone", ["mynumber", "lgwan"])
def test_every_hand_off_leads_to_the_offices_of_its_member_and_zone_only(line: str, zone: str) -> None:
    _, ways = carrier_tables(line, zone)
    (lan,) = [lan for lan in PLAN.network.offices if (lan.member, lan.zone) == (line.partition("-")[0], zone)]
    leading = {way.prefix for way in ways if way.via is not None}
    assert {prefix for prefix in leading if prefix.prefixlen < 32} == set(lan.prefixes)
    assert len(leading) == 2, "and the office router's own address, for its session"
    assert [way.prefix for way in ways if way.via is None] == [EVERYWHERE], "nothing falls through to the main table"


def test_the_shared_core_forwards_between_a_hand_off_and_its_own_offices_only() -> None:
    shared = namespace(whole(), "kl.small.carrier.lgwan")
    assert len(shared.forwards) == 4
    inputs = {selection.interface for selection in shared.selections}
    assert {port.name for port in ports(whole(), shared.name)} == inputs, "no interface uses the main table"
    assert len({pair[0] for pair in shared.forwards}) == len({pair[1] for pair in shared.forwards}) == 4


def test_a_provider_edge_is_told_the_routes_of_a_static_hand_off_only() -> None:
    edge = namespace(whole(), "kl.small.pe.nishiki-main.mynumber")
    to_gateways = Way(prefix=IPv4Network("172.16.1.0/26"), via=PLAN.network.lines[0].handoffs[0].vip)
    assert to_gateways in edge.ways
    learned = namespace(whole(small_plan(bgp=True)), "kl.small.pe.nishiki-main.mynumber")
    assert set(edge.ways) - set(learned.ways) == {to_gateways}
    assert len(edge.forwards) == 1, "and never from the hand-off back to the hand-off"


def test_a_line_is_limited_to_what_was_contracted() -> None:
    rates = {cable.about: cable.rate_mbps for cable in carriers.draw(PLAN).cables if cable.rate_mbps is not None}
    assert len(rates) == 8
    assert set(rates.values()) == {100}


def test_a_hand_off_for_all_zones_leads_to_all_lans_of_the_member() -> None:
    line = PLAN.network.lines[0]
    one = dataclasses.replace(line, handoffs=(dataclasses.replace(line.handoffs[0], zone=None),))
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=(one,)))
    drawn = namespace(carriers.draw(plan), "kl.small.carrier.lgwan")
    lans = {str(way.prefix) for way in drawn.ways if way.via and 0 < way.prefix.prefixlen < 32}
    assert lans == {"10.1.0.0/24", "10.1.64.0/24"}
    (edge,) = routers.routers(plan)[:1]
    assert edge.name == "pe.nishiki-main.all"
    assert len(edge.neighbors) == 2, "the offices' router of each zone"


def test_an_office_has_a_router_per_zone_on_the_lines_of_its_zone() -> None:
    for zone in ("mynumber", "lgwan"):
        office = namespace(whole(), f"kl.small.office.nishiki.honcho.{zone}")
        assert sorted(port.name[0] for port in ports(whole(), office.name)) == ["b", "m", "t"]
        assert {pair[0] for pair in office.forwards} == {f"lan-{zone}"}


def test_what_an_office_knows_no_route_for_leaves_by_the_main_line_even_when_it_is_declared_last() -> None:
    turned = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=PLAN.network.lines[::-1]))
    office = namespace(offices.draw(turned), "kl.small.office.nishiki.honcho.mynumber")
    (way,) = [way for way in office.ways if way.table == drawing.DEFAULT]
    (main,) = [a for a in carriers.access_links(turned) if a.line.role == "main" and a.office.namespace == office.name]
    assert way == Way(prefix=EVERYWHERE, via=main.core.addresses[0].ip, table=drawing.DEFAULT)


def test_the_underlay_carries_full_frames_inside_its_own() -> None:
    assert {cable.mtu for cable in underlay.draw(PLAN).cables} == {1550}
    assert {bridge.mtu for bridge in underlay.draw(PLAN).bridges} == {1550}


def test_a_zone_without_a_main_line_reaches_nothing() -> None:
    lines = tuple(dataclasses.replace(line, zones=("mynumber",)) for line in PLAN.network.lines)
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=lines))
    routes = {zone: namespace(offices.draw(plan), f"kl.small.office.nishiki.honcho.{zone}").ways for zone in ZONES}
    assert routes["lgwan"] == ()
    assert len(routes["mynumber"]) == 3, "both lines' provider edges, and everything else by the main line"


@pytest.mark.parametrize(
    ("prefix", "router", "terminal"),
    [
        ("10.1.0.0/18", "10.1.0.1/18", "10.1.0.10/18"),
        ("10.1.0.0/28", "10.1.0.1/28", "10.1.0.10/28"),
        ("10.1.0.0/29", "10.1.0.1/29", "10.1.0.2/29"),
        ("10.1.0.0/30", "10.1.0.1/30", "10.1.0.2/30"),
        ("10.1.0.0/31", "10.1.0.0/31", "10.1.0.1/31"),
    ],
)
def test_addresses_in_an_office(prefix: str, router: str, terminal: str) -> None:
    assert str(offices.router_address(IPv4Network(prefix))) == router
    assert str(offices.terminal_address(IPv4Network(prefix))) == terminal


def test_a_lan_of_one_address_is_refused() -> None:
    with pytest.raises(InputError, match=r"office LAN 10.1.0.0/32: one address leaves no room"):
        offices.router_address(IPv4Network("10.1.0.0/32"))


def test_a_stack_without_simulated_hosts_is_refused() -> None:
    plan = small_plan(hosts=("kvm01",))
    with pytest.raises(InputError, match="no host is declared with `libvirt: lab`"):
        operate.up(with_host(plan, "kvm01", libvirt="qemu:///system"))


def test_a_name_too_long_for_a_socket_is_refused() -> None:
    places.host_socket("a" * 31, "b" * 31)
    with pytest.raises(InputError, match="longer than the 107 bytes of a socket path"):
        places.host_socket("a" * 60, "b" * 31)

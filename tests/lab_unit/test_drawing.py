"""The drawn lab: which namespaces there are, and which ways lead where. Nothing is made."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network

import pytest

from infra.lab import carriers, drawing, offices, operate, places, underlay
from infra.lab.drawing import EVERYWHERE, Drawing, Namespace, Port, Way
from infra.plan.model import Plan
from network.errors import InputError
from tests.lab_unit.small import small_plan, with_host

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
        "kl.small.office.nishiki.honcho",
        "kl.small.office.tsuno.honcho",
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
    assert len(names) == 53, "24 cables and 5 bridges"
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 15


def test_addresses_are_given_once_each() -> None:
    links = [port.addresses[0] for cable in carriers.draw(PLAN).cables for port in cable.ends if port.addresses]
    assert len(links) == 24
    assert len(set(links)) == len(links)


def test_a_line_declared_in_between_renames_no_interface() -> None:
    lines = PLAN.network.lines
    without = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=lines[1:]))
    names = {(p.namespace, p.name) for cable in carriers.draw(without).cables for p in cable.ends}
    assert names
    assert names < {(p.namespace, p.name) for cable in carriers.draw(PLAN).cables for p in cable.ends}


def test_every_hand_off_leads_to_the_offices_of_its_member_and_zone_only() -> None:
    shared = namespace(whole(), "kl.small.carrier.lgwan")
    for line in PLAN.network.lines:
        if line.closed_network != "lgwan":
            continue
        for handoff in line.handoffs:
            entry = places.interface("h", handoff.segment)
            (table,) = [s.table for s in shared.selections if s.interface == entry]
            lans = {
                lan.prefixes[0] for lan in PLAN.network.offices if (lan.member, lan.zone) == (line.member, handoff.zone)
            }
            assert len(lans) == 1
            ways = {way for way in shared.ways if way.table == table}
            assert {way.prefix for way in ways if way.via is not None} == lans
            assert Way(prefix=EVERYWHERE, via=None, table=table) in ways, "and nothing falls through to the main table"


def test_the_shared_network_forwards_between_a_hand_off_and_its_own_offices_only() -> None:
    shared = namespace(whole(), "kl.small.carrier.lgwan")
    assert len(shared.forwards) == 4
    inputs = {selection.interface for selection in shared.selections}
    assert {port.name for port in ports(whole(), shared.name)} == inputs, "no interface uses the main table"
    assert len({pair[0] for pair in shared.forwards}) == len({pair[1] for pair in shared.forwards}) == 4


def test_a_hand_off_for_all_zones_leads_to_all_lans_of_the_member() -> None:
    line = PLAN.network.lines[0]
    one = dataclasses.replace(line, handoffs=(dataclasses.replace(line.handoffs[0], zone=None),))
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=(one,)))
    drawn = namespace(carriers.draw(plan), "kl.small.carrier.lgwan")
    assert sorted(str(way.prefix) for way in drawn.ways if way.via and way.prefix != EVERYWHERE) == [
        "10.1.0.0/24",
        "10.1.64.0/24",
    ]


def test_offices_leave_by_the_main_line_and_are_plugged_into_the_backup() -> None:
    office = namespace(whole(), "kl.small.office.nishiki.honcho")
    interfaces = {port.name[0] for port in ports(whole(), office.name)}
    assert interfaces == {"m", "b", "t"}
    main = {a.office.addresses[0].ip for a in carriers.access_links(PLAN) if a.line.name == "nishiki-main"}
    assert {way.via for way in office.ways} == {address - 1 for address in main}
    assert len(office.forwards) == 4, "the backup is forwarded, though not routed"


def test_the_backup_carries_nothing_even_when_it_is_declared_first() -> None:
    turned = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=PLAN.network.lines[::-1]))
    backup = {a.carrier.addresses[0].ip for a in carriers.access_links(turned) if a.line.role == "backup"}
    office = namespace(offices.draw(turned), "kl.small.office.nishiki.honcho")
    assert len(backup) == 4
    assert not backup & {way.via for way in office.ways}


def test_the_underlay_carries_full_frames_inside_its_own() -> None:
    assert {cable.mtu for cable in underlay.draw(PLAN).cables} == {1550}
    assert {bridge.mtu for bridge in underlay.draw(PLAN).bridges} == {1550}


def test_a_zone_without_a_main_line_reaches_nothing() -> None:
    lines = tuple(dataclasses.replace(line, zones=("mynumber",)) for line in PLAN.network.lines)
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, lines=lines))
    office = namespace(offices.draw(plan), "kl.small.office.nishiki.honcho")
    assert [way.via is None for way in office.ways] == [False, True]


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

"""The lab without libvirt: namespaces of hosts, carriers and offices, the hypervisors' script applied in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from infra import lab, process
from infra.hosts import apply, check, views
from infra.lab import carriers, namespaces, operate, places, processes, underlay
from infra.plan.model import Plan
from tests.lab_unit.guests import CLOSED_S, guest, lab_traces, listening, needs_root, reach, reach_all
from tests.lab_unit.small import small_plan

pytestmark = needs_root
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
RECEIVE = """
import socket
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", 9000))
link.settimeout(10)
print("ready", flush=True)
print(len(link.recv(2000)))
"""
SEND_FULL_FRAME = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: do not fragment
link.connect((sys.argv[1], 9000))
link.send(bytes(1500 - 28))
"""
STACK = f"unit{os.getpid()}"
TRUNK = places.interface("e", "nishiki-main-mynumber")
"""The shared core's interface towards the provider edge of a hand-off."""


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    """The small plan, drawn up once for all tests."""
    plan = small_plan(STACK)
    try:
        lab.up_network(plan)
        apply.require_success(apply.apply(plan, views.plan_views(plan, {})))
        yield plan
    finally:
        lab.down(STACK)
    assert lab_traces(STACK) == []


def test_a_second_run_changes_nothing(plan: Plan) -> None:
    assert operate.draw_up(plan) == []
    again = apply.apply(plan, views.plan_views(plan, {}))
    assert [one.changes for one in again] == [(), (), ()]


def test_the_hosts_are_as_planned(plan: Plan) -> None:
    reports = check.check(plan, views.plan_views(plan, {}))
    assert [str(d) for report in reports for d in report.deviations] == []
    assert [(report.host, report.bridges, report.tunnels) for report in reports] == [
        (host, 10, 10) for host in ("kvm01", "kvm02", "kvm03")
    ]
    assert all(report.entries > 30 for report in reports)


def test_a_segment_spans_hosts_and_carries_full_frames(plan: Plan) -> None:
    with guest(plan, "ap1", "juki") as ap1, guest(plan, "ap2", "juki") as ap2, listening(ap2):
        assert plan.node_by_name["ap1"].host != plan.node_by_name["ap2"].host
        assert reach(ap1, "172.16.1.4") == "172.16.1.3"
        argv = ["ip", "netns", "exec", ap2, sys.executable, "-c", RECEIVE]
        with subprocess.Popen(argv, **PIPES) as receiver:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == b"ready\n"
            process.run("ip", "netns", "exec", ap1, sys.executable, "-c", SEND_FULL_FRAME, "172.16.1.4")
            assert receiver.stdout.readline() == b"1472\n"


def test_management_joins_the_station_with_every_node_and_no_node_with_another(plan: Plan) -> None:
    management = "management-dc1"
    hub = underlay.namespace_of(STACK, "kvm01")
    with (
        guest(plan, "gw", management) as gw,  # on the hub
        guest(plan, "ap1", management) as ap1,  # on a spoke
        guest(plan, "ap2", management) as ap2,  # on another spoke
        listening(gw),
        listening(ap1),
        listening(ap2),
    ):
        nodes = (gw, ap1, ap2)
        addresses = {gw: "172.16.0.2", ap1: "172.16.0.3", ap2: "172.16.0.4"}
        assert {node: reach(hub, address) for node, address in addresses.items()} == dict.fromkeys(
            addresses, "172.16.0.1"
        )
        tried = reach_all(
            {(source, target): (source, addresses[target]) for source in nodes for target in nodes if source != target}
        )
        assert len(tried) == 6
        assert set(tried.values()) == {None}


def test_nodes_on_one_spoke_do_not_reach_each_other_over_management() -> None:
    plan = small_plan(f"{STACK}-two", hosts=("kvm01", "kvm02"))  # gw and ap2 share kvm01, ap1 is on kvm02
    management = "management-dc1"
    try:
        operate.draw_up(plan)
        apply.require_success(apply.apply(plan, views.plan_views(plan, {}, lost=())))
        with guest(plan, "gw", management) as gw, guest(plan, "ap2", management) as ap2, listening(ap2):
            assert reach(underlay.namespace_of(plan.stack, "kvm01"), "172.16.0.4") == "172.16.0.1"
            assert reach(gw, "172.16.0.4", timeout_s=CLOSED_S) is None
    finally:
        namespaces.remove(places.existing(plan.stack))


def gateway_routes(name: str) -> None:
    """Route like a gateway: office prefixes to the carrier's address of the main line."""
    for prefix, via in (
        ("10.1.0.0/24", "198.51.100.1"),
        ("10.1.64.0/24", "198.51.100.9"),
        ("10.2.0.0/24", "198.51.101.1"),
        ("10.2.64.0/24", "198.51.101.9"),
    ):
        process.run("ip", "-n", name, "route", "add", prefix, "via", via)


MAIN = ("nishiki-main-mynumber", "nishiki-main-lgwan", "tsuno-main-mynumber", "tsuno-main-lgwan")


@pytest.fixture(scope="module")
def gateway(plan: Plan) -> Iterator[str]:
    """A namespace in the place of the gateway: on all main lines, with their virtual addresses."""
    with guest(plan, "gw", *MAIN) as name:
        for number, vip in enumerate(("198.51.100.4", "198.51.100.12", "198.51.101.4", "198.51.101.12")):
            process.run("ip", "-n", name, "addr", "add", f"{vip}/29", "dev", f"eth{number}")
        gateway_routes(name)
        process.run("ip", "-n", name, "addr", "add", "172.16.9.9/32", "dev", "lo")
        for what in ("all", "default", *(f"eth{n}" for n in range(4))):
            path = f"/proc/sys/net/ipv4/conf/{what}/rp_filter"
            process.run("ip", "netns", "exec", name, "sh", "-c", f"echo 0 >{path}")
        with listening(name):
            yield name


@pytest.mark.parametrize(
    ("member", "zone", "source"),
    [
        ("nishiki", "mynumber", "10.1.0.10"),
        ("nishiki", "lgwan", "10.1.64.10"),
        ("tsuno", "mynumber", "10.2.0.10"),
        ("tsuno", "lgwan", "10.2.64.10"),
    ],
)
def test_a_terminal_reaches_the_gateway_at_the_hand_off_of_its_own_zone(
    plan: Plan, gateway: str, member: str, zone: str, source: str
) -> None:
    terminal = lab.office_exec(STACK, member, "honcho", zone)[-1]
    before = received(gateway)
    assert reach(terminal, "172.16.9.9") == source
    after = received(gateway)
    used = [MAIN[n] for n in range(4) if after[n] - before[n] >= 3]  # a stray ARP packet makes no connection
    assert used == [f"{member}-main-{zone}"]


def received(gateway: str) -> list[int]:
    """Return the packets received per line."""
    read = "cat /sys/class/net/eth{0,1,2,3}/statistics/rx_packets"
    return [int(n) for n in process.run("ip", "netns", "exec", gateway, "bash", "-c", read).split()]


def test_offices_and_zones_are_no_way_to_each_other(plan: Plan, gateway: str) -> None:
    lans = {
        ("nishiki", "mynumber"): "10.1.0.10",
        ("nishiki", "lgwan"): "10.1.64.10",
        ("tsuno", "mynumber"): "10.2.0.10",
        ("tsuno", "lgwan"): "10.2.64.10",
    }
    process.run("ip", "netns", "exec", gateway, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    tried: dict[tuple[tuple[str, str], tuple[str, str]], str | None] = {}
    for target, address in lans.items():
        with listening(lab.office_exec(STACK, target[0], "honcho", target[1])[-1]):
            terminals = {source: lab.office_exec(STACK, source[0], "honcho", source[1])[-1] for source in lans}
            assert reach(terminals[target], address), "the listener is there"
            tried |= reach_all(
                {(source, target): (terminal, address) for source, terminal in terminals.items() if source != target}
            )
    assert len(tried) == 12
    assert set(tried.values()) == {None}


def test_a_hand_off_leads_to_no_other_members_office(plan: Plan, gateway: str) -> None:
    terminal = lab.office_exec(STACK, "tsuno", "honcho", "mynumber")[-1]
    with listening(terminal):
        assert reach(gateway, "10.2.0.10") is not None
        process.run("ip", "-n", gateway, "route", "replace", "10.2.0.0/24", "via", "198.51.100.1")  # 錦町's line
        try:
            assert reach(gateway, "10.2.0.10", timeout_s=CLOSED_S) is None
        finally:
            process.run("ip", "-n", gateway, "route", "replace", "10.2.0.0/24", "via", "198.51.101.1")


def test_a_wrong_route_in_the_shared_network_still_joins_no_two_members(plan: Plan, gateway: str) -> None:
    carrier = places.namespace(STACK, "carrier", "lgwan")
    links = {
        (link.line.member, link.lan.zone): link for link in carriers.access_links(plan) if link.line.role == "main"
    }
    there, back = links["tsuno", "mynumber"], links["nishiki", "mynumber"]
    wrong = {"10.2.0.0/24": there.office.addresses[0].ip, "10.1.0.0/24": back.office.addresses[0].ip}
    for prefix, via in wrong.items():
        process.run("ip", "-n", carrier, "route", "add", prefix, "via", str(via), "table", "77")
    process.run("ip", "-n", carrier, "rule", "add", "pref", "77", "lookup", "77")
    try:
        terminal = lab.office_exec(STACK, "nishiki", "honcho", "mynumber")[-1]
        with listening(lab.office_exec(STACK, "tsuno", "honcho", "mynumber")[-1]):
            assert reach(terminal, "10.2.0.10", timeout_s=CLOSED_S) is None
            process.run("ip", "netns", "exec", carrier, "nft", "flush", "ruleset")
            assert reach(terminal, "10.2.0.10") == "10.1.0.10", "only the forwarding rules stood in between"
    finally:
        process.run("ip", "-n", carrier, "rule", "del", "pref", "77")
        process.run("ip", "-n", carrier, "route", "flush", "table", "77")
        operate.draw_up(plan)


@pytest.mark.parametrize(
    "damage",
    [
        ("ip", "netns", "del", f"kl.{STACK}.office.tsuno.honcho.mynumber"),
        ("ip", "-n", f"kl.{STACK}.carrier.lgwan", "rule", "del", "pref", "1000"),
        ("ip", "-n", f"kl.{STACK}.carrier.lgwan", "route", "flush", "table", "1000"),
        ("ip", "-n", f"kl.{STACK}.office.nishiki.honcho.lgwan", "link", "set", "lan-lgwan", "down"),
        ("ip", "-n", f"kl.{STACK}.terminal.nishiki.honcho.lgwan", "addr", "flush", "dev", "eth0"),
        ("ip", "netns", "exec", f"kl.{STACK}.carrier.lgwan", "nft", "flush", "ruleset"),
        ("ip", "-n", f"kl.{STACK}.underlay", "link", "del", "underlay"),
        ("ip", "-n", f"kl.{STACK}.pe.nishiki-main.mynumber", "route", "flush", "table", "default"),
        ("tc", "-n", f"kl.{STACK}.carrier.lgwan", "qdisc", "del", "dev", TRUNK, "root"),
    ],
    ids=lambda argv: " ".join(argv[2:]).replace(STACK, "stack"),  # the same on every worker
)
def test_up_repairs(plan: Plan, damage: tuple[str, ...]) -> None:
    process.run(*damage)
    assert operate.draw_up(plan) != []
    assert operate.draw_up(plan) == []


def test_what_is_no_longer_declared_goes(plan: Plan) -> None:
    fewer = small_plan(STACK, members=("nishiki",))
    try:
        lab.up_network(fewer)
        assert not [name for name in places.existing(STACK) if "tsuno" in name]
        assert len(list(places.routers_folder(STACK).iterdir())) == 6, "4 provider edges and 2 offices"
        assert lab.up_network(fewer) == ()
    finally:
        lab.up_network(plan)
        apply.require_success(apply.apply(plan, views.plan_views(plan, {})))
    assert operate.draw_up(plan) == []


def test_the_machines_own_network_is_not_touched(plan: Plan) -> None:
    def own() -> list[str]:
        settings = "grep -rsH . /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge /proc/sys/net/ipv6/conf || true"
        return [process.run("ip", what) for what in ("addr", "route", "rule")] + [process.run("sh", "-c", settings)]

    before = own()
    other = small_plan(f"{STACK}-own")
    try:
        operate.draw_up(other)
        apply.require_success(apply.apply(other, views.plan_views(other, {})))
    finally:
        namespaces.remove(places.existing(other.stack))
    assert own() == before


def test_removal_ends_what_runs_inside() -> None:
    name = places.namespace(f"{STACK}-busy", "host", "kvm01")
    process.run("ip", "netns", "add", name)
    argv = ["ip", "netns", "exec", name, "sh", "-c", "echo ready; exec cat"]
    with subprocess.Popen(argv, **PIPES) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        assert processes.inside([name]) == (stubborn.pid,)
        namespaces.remove([name])
        assert stubborn.wait() == -signal.SIGTERM
    assert places.existing(f"{STACK}-busy") == ()

"""A pair of gateways as it runs: their rendered rules, FRR, keepalived and conntrackd, carriers with FRR, a server.

Two members; one has a main and a backup line. The carriers' edges also announce what they should not. All daemons are
real and read the rendered files as they are; the segments are bridges in a namespace, whose ports the tests cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from infra.process import run
from network import timers
from network.model import Line
from tests.network.render.kernel import machine
from tests.network.render.pair import FILES, NETWORK, RESOLUTION
from tests.network.render.routers import Router, missing, namespace, router, until

pytestmark = pytest.mark.skipif(missing(), reason="needs root, FRR, keepalived, conntrackd, nft")

EMULATION_S = 4.0
"""What a busy machine may add to a computed time."""
FOREIGN = IPv4Network("10.99.0.0/24")
"""A prefix of nobody that every carrier announces."""


NAMES = ("dc1-gw1a", "dc1-gw1b")
SYNC = "dc1-gw1-sync"
VIP = NETWORK.vip_by_name["service/juki"]
OFFICE = IPv4Address("10.1.0.10")
TAKEOVER_S = timers.gateway_takeover_s(NETWORK.timers)
LINE_S = timers.line_recovery_s(NETWORK.timers, bfd=True, hold_s=9)


def line(name: str) -> Line:
    return next(one for one in NETWORK.lines if one.name == name)


def office(member: str) -> IPv4Network:
    (lan,) = (lan for lan in NETWORK.offices if (lan.member, lan.zone) == (member, "mynumber"))
    return lan.prefixes[0]


def prefix(segment: str) -> IPv4Network:
    return NETWORK.segment_by_name[segment].prefix


@dataclasses.dataclass
class Place:
    """Everything that runs."""

    fabric: str
    gateways: dict[str, Router]
    edges: dict[str, Router]
    server: str

    def port(self, node: str, segment: str) -> str:
        """Name of a gateway's port on the bridge of ``segment``."""
        return f"{node[-1]}-{NETWORK.node_by_name[node].interface(segment).name}"

    def set_port(self, port: str, state: str) -> None:
        run("ip", "-n", self.fabric, "link", "set", port, state)

    def holders(self) -> set[str]:
        """Gateways with the addresses of the pair: all of them, or the test fails."""
        found = set()
        for name, gateway in self.gateways.items():
            held = {a for a in _vips() if f"{a}/32" in gateway.ip("-br -4 address")}
            if held:
                found.add(name)
        return found

    def holder(self) -> str | None:
        found = self.holders()
        return next(iter(found)) if len(found) == 1 else None

    def other(self, name: str) -> str:
        return next(one for one in NAMES if one != name)

    def make_holder(self, name: str) -> None:
        """Have ``name`` hold the addresses, and both gateways ready."""
        if until(self.holder) != name:
            self.gateways[self.other(name)].end("keepalived")
            until(lambda: self.holder() == name)
            self.gateways[self.other(name)].start_keepalived()
        until(lambda: {state(self.gateways[name]), state(self.gateways[self.other(name)])} == {"MASTER", "BACKUP"})


def _vips() -> set[IPv4Address]:
    return {vip.address.ip for vip in NETWORK.vips if set(vip.nodes) == set(NAMES)}


def state(gateway: Router) -> str:
    """The last state that keepalived logged."""
    words = {"MASTER STATE": "MASTER", "BACKUP STATE": "BACKUP", "FAULT STATE": "FAULT"}
    log = (gateway.folder / "keepalived.log").read_text()
    at = {log.rfind(said): name for said, name in words.items()}
    return at[max(at)] if max(at) >= 0 else ""


def routes(gateway: Router) -> dict[str, str]:
    """Prefix → next hop of the routes that BGP gave to the kernel."""
    return {r["dst"]: r["gateway"] for r in json.loads(gateway.ip("-j route show proto bgp"))}


def is_settled(gateway: Router) -> bool:
    sessions = gateway.vtysh("show bfd peers brief").splitlines()
    if len([line for line in sessions if line.split()[-1:] == ["up"]]) < len(NETWORK.lines):
        return False
    return set(routes(gateway)) == {str(office("m1")), str(office("m2"))}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = f"kumiai-test-{os.getpid()}"
    folder = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        fabric = stack.enter_context(namespace(f"{base}-fabric"))
        for segment in NETWORK.segments:
            run("ip", "-n", fabric, "link", "add", segment.bridge, "type", "bridge", "forward_delay", "0")
            run("ip", "-n", fabric, "link", "set", segment.bridge, "up")
        found = Place(fabric=fabric, gateways={}, edges={}, server="")
        for name in NAMES:
            found.gateways[name] = _gateway(stack, found, name, folder / name)
        for one in NETWORK.lines:
            found.edges[one.name] = _edge(stack, found, one, f"{base}-{one.name}", folder / one.name)
        found.server = _server(stack, found, f"{base}-server")
        for gateway in found.gateways.values():
            until(functools.partial(is_settled, gateway), what="for routes and BFD")
        until(found.holder, what="for a gateway with the addresses")
        yield found


def _gateway(stack: contextlib.ExitStack, place: Place, name: str, folder: pathlib.Path) -> Router:
    files, node = FILES[name], NETWORK.node_by_name[name]
    made = stack.enter_context(machine(RESOLUTION, node, files, learned=False))
    for card in node.interfaces:
        port = f"{name[-1]}-{card.name}"
        run("ip", "-n", made.outside, "link", "set", card.name, "netns", place.fabric, "name", port)
        bridge = NETWORK.segment_by_name[card.segment].bridge
        run("ip", "-n", place.fabric, "link", "set", port, "master", bridge, "up")
    made.start_rules(files["/etc/nftables.conf"], files["/etc/systemd/system/nftables.service.d/50-kumiai.conf"])
    found = stack.enter_context(router(made.inside, folder))
    found.install(files)
    found.start_frr("zebra", "bgpd", "bfdd")
    found.start_conntrackd()
    found.start_keepalived()
    return found


def _edge(stack: contextlib.ExitStack, place: Place, one: Line, name: str, folder: pathlib.Path) -> Router:
    """The carrier's edge with the office behind it; it announces everybody's offices and a foreign prefix."""
    stack.enter_context(namespace(name))
    (hand,) = one.handoffs
    length = prefix(hand.segment).prefixlen
    _plug(place, name, hand.segment, IPv4Interface(f"{hand.peer}/{length}"))
    run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "-n", name, "address", "add", f"{office(one.member)[10]}/32", "dev", "lo")
    said = "\n".join(
        f" neighbor {local} remote-as {hand.local_as}\n neighbor {local} bfd profile line\n"
        f" neighbor {local} timers 3 9\n neighbor {local} timers connect 1"
        for local in hand.local
    )
    announced = "\n".join(f"  network {p}" for p in (office("m1"), office("m2"), FOREIGN))
    config = (
        f"bfd\n profile line\n  receive-interval 300\n  transmit-interval 300\n exit\nexit\n"
        f"router bgp {hand.peer_as}\n no bgp ebgp-requires-policy\n no bgp network import-check\n{said}\n"
        f" address-family ipv4 unicast\n{announced}\n exit-address-family\nexit\nend\n"
    )
    found = stack.enter_context(router(name, folder))
    found.install({"/etc/frr/frr.conf": config, "/etc/frr/vtysh.conf": "service integrated-vtysh-config\n"})
    found.start_frr("zebra", "bgpd", "bfdd")
    return found


def _plug(place: Place, name: str, segment: str, address: IPv4Interface) -> None:
    port = f"p{len(json.loads(run('ip', '-n', place.fabric, '-j', 'link')))}"
    run("ip", "-n", place.fabric, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "-n", place.fabric, "link", "set", port, "master", NETWORK.segment_by_name[segment].bridge, "up")
    run("ip", "-n", name, "address", "add", str(address), "dev", "eth0")
    run("ip", "-n", name, "link", "set", "eth0", "up")


def _server(stack: contextlib.ExitStack, place: Place, name: str) -> str:
    stack.enter_context(namespace(name))
    _plug(place, name, VIP.segment, VIP.address)
    for route in NETWORK.node_by_name["juki-ap1"].routes:
        run("ip", "-n", name, "route", "add", str(route.prefix), "via", str(route.via))
    return name


@pytest.fixture(autouse=True)
def ready(place: Place) -> None:
    """Every test begins with the first gateway as holder and all lines up."""
    place.make_holder(NAMES[0])
    until(lambda: {routes(g).get(str(office("m1"))) for g in place.gateways.values()} == {str(peer("m1-main"))})
    for gateway in place.gateways.values():
        until(functools.partial(is_settled, gateway), what="for routes and BFD")


def peer(name: str) -> IPv4Address:
    return line(name).handoffs[0].peer


def announced_to(place: Place, name: str) -> dict[str, set[tuple[str, str]]]:
    """Prefix → (who said so, next hop), as the edge of line ``name`` has it from the gateways."""
    table = json.loads(place.edges[name].vtysh("show bgp ipv4 unicast json"))["routes"]
    return {
        where: {(path["peerId"], path["nexthops"][0]["ip"]) for path in paths if path["peerId"] != "(unspec)"}
        for where, paths in table.items()
        if any(path["peerId"] != "(unspec)" for path in paths)
    }


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("m1-main", {"dc1-mynumber-juki", "dc1-m1-mynumber"}),
        ("m1-backup", {"dc1-mynumber-juki", "dc1-m1-mynumber"}),
        ("m2-main", {"dc1-mynumber-juki", "dc1-m2-mynumber"}),
    ],
)
def test_a_carrier_hears_what_its_member_may_reach_by_the_virtual_address(
    place: Place, name: str, segments: set[str]
) -> None:
    """No other member's segment, and nothing that another carrier said: there is no transit."""
    hand = line(name).handoffs[0]
    both = {(str(local), str(hand.vip)) for local in hand.local}
    wanted = {str(prefix(segment)): both for segment in segments}
    assert until(lambda: announced_to(place, name) == wanted or None)


def test_the_roles_program_sees_when_all_sessions_are_back(place: Place) -> None:
    program = pathlib.Path(__file__).parents[3] / "roles/gateway/files/await-sessions.py"
    gateway = place.gateways[NAMES[1]]
    assert gateway.sh(sys.executable, str(program), "30") == "all sessions are established\n"
    gateway.vtysh(f"configure\nrouter bgp\nneighbor {peer('m2-main')} shutdown")
    try:
        assert gateway.sh(sys.executable, str(program), "0.1") == f"no session with {peer('m2-main')}\n"
    finally:
        gateway.vtysh(f"configure\nrouter bgp\nno neighbor {peer('m2-main')} shutdown")
    assert gateway.sh(sys.executable, str(program), "30") == "all sessions are established\n"


def test_gateways_take_in_the_members_own_offices_only(place: Place) -> None:
    for gateway in place.gateways.values():
        wanted = {str(office("m1")): str(peer("m1-main")), str(office("m2")): str(peer("m2-main"))}
        until(functools.partial(is_settled, gateway))
        assert routes(gateway) == wanted
        table = json.loads(gateway.vtysh("show bgp ipv4 unicast json"))["routes"]
        learned = {
            (where, path["peerId"]) for where, paths in table.items() for path in paths if path["peerId"] != "(unspec)"
        }
        assert learned == {
            (str(office("m1")), str(peer("m1-main"))),
            (str(office("m1")), str(peer("m1-backup"))),
            (str(office("m2")), str(peer("m2-main"))),
        }


SERVER = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], 443))
while True:
    connection, _ = listener.accept()
    try:
        while True:
            connection.sendall(b".")
            time.sleep(0.05)
    except OSError:
        connection.close()
"""
CLIENT = """
import socket, sys, time
connection = socket.create_connection((sys.argv[2], 443), timeout=30, source_address=(sys.argv[1], 0))
while True:
    data = connection.recv(4096)
    if not data:
        break
    print(time.monotonic(), flush=True)
"""


@contextlib.contextmanager
def listening(place: Place, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """An office that listens to the server over one connection and says nothing; the file has a line a packet.

    What the server sends passes only where the connection is known: had the new gateway not been told of it, the
    server's packets would be dropped, and the silent office could not make them pass.
    """
    heard = folder / "heard"
    with contextlib.ExitStack() as stack:
        for where, code, argv, out in (
            (place.server, SERVER, [str(VIP.address.ip)], None),
            (place.edges["m1-main"].namespace, CLIENT, [str(OFFICE), str(VIP.address.ip)], heard),
        ):
            if out is not None:
                until(lambda: ":443" in run("ip", "netns", "exec", place.server, "ss", "-ltn"))
            file = stack.enter_context((out or folder / "server.log").open("wb"))
            process = subprocess.Popen(
                ["/usr/bin/env", "ip", "netns", "exec", where, sys.executable, "-c", code, *argv], stdout=file
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        until(lambda: len(arrivals(heard)) > 10, what="from the server")
        yield heard


def arrivals(heard: pathlib.Path) -> list[float]:
    return [float(word) for word in heard.read_text().splitlines()]


def longest_gap(heard: pathlib.Path, since: float) -> float:
    """Wait until the connection speaks again after ``since``; return its longest silence."""
    until(lambda: arrivals(heard)[-1] > since + TAKEOVER_S + 0.5)
    times = [at for at in arrivals(heard) if at > since - 0.5]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


@contextlib.contextmanager
def watched_routes(router: Router, path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every change of the kernel's routes, as ``ip monitor`` tells."""
    with path.open("wb") as file:
        process = subprocess.Popen(["/usr/bin/env", "ip", "-n", router.namespace, "monitor", "route"], stdout=file)
        try:
            yield path
        finally:
            process.kill()
            process.wait(10)


def test_a_lost_gateway_is_replaced_while_the_carriers_route_stays_and_a_connection_lives(
    place: Place, tmp_path: pathlib.Path, record_property: Callable[[str, object], None]
) -> None:
    old, new = NAMES
    ports = [place.port(old, segment) for segment in NETWORK.node_by_name[old].segments]
    with listening(place, tmp_path) as heard, watched_routes(place.edges["m1-main"], tmp_path / "routes") as moved:
        until(lambda: "ESTABLISHED" in place.gateways[new].sh("conntrackd", "-e"), what="at the other gateway")
        cut = time.monotonic()
        try:
            for port in ports:
                place.set_port(port, "down")
            gap = longest_gap(heard, cut)
            assert until(lambda: new in place.holders())
            # The session with the lost gateway is gone by now, and the route is still what it was.
            lost = str(line("m1-main").handoffs[0].local[0])
            until(lambda: lost not in str(announced_to(place, "m1-main")))
            assert moved.read_text() == ""
        finally:
            for port in ports:
                place.set_port(port, "up")
    record_property("gap_s", round(gap, 2))
    print(f"gateway lost: {gap:.2f} s, computed {TAKEOVER_S:.2f} s")
    assert gap < TAKEOVER_S + EMULATION_S
    until(place.holder, what="after the return")


def test_a_killed_keepalived_gives_the_addresses_away(
    place: Place, tmp_path: pathlib.Path, record_property: Callable[[str, object], None]
) -> None:
    old, new = NAMES
    with listening(place, tmp_path) as heard:
        cut = time.monotonic()
        place.gateways[old].end("keepalived", signal.SIGKILL)
        gap = longest_gap(heard, cut)
    assert until(place.holder) == new
    place.gateways[old].start_keepalived()
    record_property("gap_s", round(gap, 2))
    print(f"keepalived killed: {gap:.2f} s, computed {TAKEOVER_S:.2f} s")
    assert gap < TAKEOVER_S + EMULATION_S


@pytest.mark.parametrize("holder", NAMES)
def test_a_cut_of_the_sync_segment_leaves_one_holder_the_first(place: Place, holder: str) -> None:
    """Who holds the addresses is looked at all the time: there are never two."""
    place.make_holder(holder)
    port = place.port(NAMES[1], SYNC)
    bridge = NETWORK.segment_by_name[SYNC].bridge
    seen: list[set[str]] = []
    end = time.monotonic() + 3 * TAKEOVER_S + EMULATION_S
    # Somewhere between the hosts: both cards stay up.
    run("ip", "-n", place.fabric, "link", "set", port, "nomaster")
    try:
        while time.monotonic() < end:
            seen.append(place.holders())
        assert len(seen) > 20
        assert set(NAMES) not in seen
        assert seen[-1] == {NAMES[0]}
        assert state(place.gateways[NAMES[1]]) == "FAULT"
        if holder == NAMES[0]:
            assert set(map(frozenset, seen)) == {frozenset({NAMES[0]})}, "nothing moved"
    finally:
        run("ip", "-n", place.fabric, "link", "set", port, "master", bridge)
    until(lambda: state(place.gateways[NAMES[1]]) == "BACKUP")
    assert place.holder() == NAMES[0]


def test_without_its_rules_a_gateway_gives_the_addresses_away(place: Place) -> None:
    old, new = NAMES
    try:
        place.gateways[old].sh("nft", "delete", "chain", "inet", "kumiai", "forward")
        until(lambda: place.holder() == new)
        assert until(lambda: state(place.gateways[old]) == "FAULT")
    finally:
        run(*place.gateways[old].argv("nft", "-f", "-"), stdin=FILES[old]["/etc/nftables.conf"])
    until(lambda: state(place.gateways[old]) == "BACKUP")


def test_without_its_routing_a_gateway_gives_the_addresses_away(place: Place) -> None:
    old, new = NAMES
    gateway = place.gateways[old]
    gateway.end("bgpd")
    try:
        until(lambda: place.holder() == new)
        assert until(lambda: state(gateway) == "FAULT")
    finally:
        gateway.start_frr("bgpd")
    until(lambda: state(gateway) == "BACKUP")


def test_a_cut_main_line_moves_the_office_to_the_backup_and_back(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    main, where = peer("m1-main"), str(office("m1"))
    gateway = place.gateways[NAMES[0]]
    port = _port_of(place, "m1-main")
    cut = time.monotonic()
    place.set_port(port, "down")
    try:
        until(lambda: routes(gateway).get(where) == str(peer("m1-backup")))
        seconds = time.monotonic() - cut
    finally:
        place.set_port(port, "up")
    until(lambda: routes(gateway).get(where) == str(main))
    record_property("line_s", round(seconds, 2))
    print(f"line cut: {seconds:.2f} s, computed {LINE_S:.2f} s")
    assert seconds < LINE_S + EMULATION_S


def _port_of(place: Place, name: str) -> str:
    """The fabric's port of a carrier's edge."""
    (index,) = {link["link_index"] for link in json.loads(place.edges[name].ip("-j link show eth0"))}
    links = json.loads(run("ip", "-n", place.fabric, "-j", "link"))
    return next(str(link["ifname"]) for link in links if link["ifindex"] == index)

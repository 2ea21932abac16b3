"""The rendered rules of the demo in the kernel: what the declaration allows passes, everything else does not.

What should pass is written down here by hand, so that a mistake in resolving flows shows as well.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from network.model import NetworkNode
from network.render import networkd
from tests.network.render import demo
from tests.network.render.kernel import (
    ACK,
    ICMP,
    RST,
    SYN_ACK,
    TCP,
    UDP,
    VRRP,
    Machine,
    Packet,
    Seen,
    machine,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and raw sockets need root")
pytestmark = needs_root

GATEWAY = "dc1-gw1a"
RULES = "/etc/nftables.conf"
UNIT = "/etc/systemd/system/nftables.service.d/50-kumiai.conf"
OPEN = "flush ruleset"
FORGET = pathlib.Path(__file__).parents[3] / "roles/gateway/files/forget.py"
PORTS = (22, 443, 5432, 8080, 8443)

Path = tuple[str, IPv4Address, str, IPv4Address, int]
"""Segment in, source, segment out, destination, TCP port."""


def office(member: str, zone: str) -> IPv4Address:
    """A terminal in the member's office."""
    (lan,) = (lan for lan in demo.network().offices if (lan.member, lan.zone) == (member, zone))
    return lan.prefixes[0][10]


def vip(endpoint: str) -> IPv4Address:
    return demo.network().vip_by_name[f"service/{endpoint}"].address.ip


def segment(endpoint: str) -> str:
    return demo.network().vip_by_name[f"service/{endpoint}"].segment


def own(node: str) -> IPv4Address:
    return demo.network().node_by_name[node].interfaces[1].address.ip


def declared() -> set[Path]:
    """What stacks/demo.yaml says, line by line."""
    paths: set[Path] = set()
    for member, line in itertools.product(("nishiki", "tsuno"), ("main", "backup")):
        paths.add((f"{member}-{line}-mynumber", office(member, "mynumber"), segment("juki"), vip("juki"), 443))
        zaimu = f"zaimu-{member}"
        paths.add((f"{member}-{line}-lgwan", office(member, "lgwan"), segment(zaimu), vip(zaimu), 443))
    for member, node in itertools.product(("nishiki", "tsuno"), ("juki-ap1", "juki-ap2")):
        zaimu = f"zaimu-{member}"
        paths.add((segment("juki"), own(node), segment(zaimu), vip(zaimu), 8443))
    return paths


def places() -> dict[IPv4Address, str]:
    """Everybody who could be sender or receiver, with the segment on which the gateway finds them."""
    found = {
        office(member, zone): f"{member}-main-{zone}"
        for member, zone in itertools.product(("nishiki", "tsuno"), ("mynumber", "lgwan"))
    }
    for node in demo.network().nodes:
        if node.name != GATEWAY:
            found[node.interfaces[1].address.ip] = node.interfaces[1].segment
            found[node.management.address.ip] = node.management.segment
    for endpoint in demo.network().endpoints:
        found[vip(endpoint.name)] = endpoint.segment
    station = demo.network().stations["dc1"].ip
    found[station] = demo.network().management_segment("dc1").name
    return found


def node_of(name: str) -> NetworkNode:
    return demo.network().node_by_name[name]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Machine]:
    node = node_of(GATEWAY)
    with machine(demo.resolution(), node, demo.files()[GATEWAY]) as found:
        for address, where in places().items():
            if address in node.interface(where).address.network:
                found.know(address, node.interface(where).name)
        for line in demo.network().lines:
            for handoff in line.handoffs:
                found.know(handoff.peer, node.interface(handoff.segment).name)
        yield found


@pytest.fixture
def ruled(gateway: Machine) -> Machine:
    """The gateway with its rules, counters at zero."""
    gateway.start_rules(demo.files()[GATEWAY][RULES], demo.files()[GATEWAY][UNIT])
    return gateway


def send(gateway: Machine, where: str, *packets: Packet) -> list[Seen]:
    return gateway.send(gateway.node.interface(where).name, packets)


def every_path() -> Iterator[Path]:
    """Every sender's address on every card to every receiver: the right ones, and all that are spoofed."""
    node = node_of(GATEWAY)
    for where, source, (target, behind), port in itertools.product(node.segments, places(), places().items(), PORTS):
        if source != target and where != behind:
            yield where, source, behind, target, port


def passed(gateway: Machine, paths: set[Path]) -> set[Path]:
    """Send the first packet of a connection along every path; return those that came out."""
    by_mark: dict[int, Path] = {}
    found: set[Path] = set()
    assert paths
    for where, group in itertools.groupby(sorted(paths, key=str), key=lambda path: path[0]):
        packets = []
        for path in group:
            packet = Packet(source=path[1], target=path[3], port=path[4], source_port=next(_source_ports))
            by_mark[packet.mark] = path
            packets.append(packet)
        for seen in send(gateway, where, *packets):
            path = by_mark[seen.mark]
            assert seen.card == gateway.node.interface(path[2]).name
            assert (seen.source, seen.target, seen.port) == (path[1], path[3], path[4])
            found.add(path)
    return found


_source_ports = itertools.cycle(range(20000, 60000))


def test_exactly_the_declared_paths_pass(ruled: Machine) -> None:
    paths = set(every_path())
    assert declared() <= paths
    assert len(paths) > 5000
    assert passed(ruled, paths) == declared()


def test_without_its_rules_it_would_pass_far_more(ruled: Machine) -> None:
    """The other tests can see a packet that gets through."""
    paths = set(every_path())
    ruled.load(OPEN)
    through = passed(ruled, paths)
    assert declared() <= through
    assert len(through) > len(paths) * 0.9


@pytest.mark.parametrize("index", range(12))
def test_each_rule_is_needed_for_its_path(ruled: Machine, index: int) -> None:
    path = sorted(declared(), key=str)[index]
    here, there = ruled.node.interface(path[0]).name, ruled.node.interface(path[2]).name
    source = next((p for lan in demo.network().offices for p in lan.prefixes if path[1] in p), IPv4Network(path[1]))
    element = f"{here} . {source if source.prefixlen < 32 else path[1]} . {there} . {path[3]} . {path[4]}"
    ruled.sh("nft", "delete", "element", "inet", "kumiai", "passed_tcp", f"{{ {element} }}")
    assert passed(ruled, declared()) == declared() - {path}


def test_udp_and_echo_requests_do_not_pass(ruled: Machine) -> None:
    for protocol, (where, source, _, target, port) in itertools.product((UDP, ICMP), declared()):
        assert send(ruled, where, Packet(source=source, target=target, port=port, protocol=protocol)) == []


def opened(gateway: Machine, path: Path, source_port: int) -> tuple[Packet, Packet]:
    """Open a connection along ``path``; return the next packet of each direction."""
    where, source, behind, target, port = path
    syn = Packet(source=source, target=target, port=port, source_port=source_port)
    assert [seen.mark for seen in send(gateway, where, syn)] == [syn.mark]
    back = Packet(source=target, target=source, port=source_port, source_port=port, flags=SYN_ACK, seq=5000, ack=1001)
    assert [seen.mark for seen in send(gateway, behind, back)] == [back.mark]
    ack = dataclasses.replace(syn, flags=ACK, seq=1001, ack=5001, mark=back.mark + 1)
    assert [seen.mark for seen in send(gateway, where, ack)] == [ack.mark]
    return dataclasses.replace(ack, mark=ack.mark + 1), dataclasses.replace(
        back, flags=ACK, seq=5001, mark=ack.mark + 2
    )


def juki_of_nishiki() -> Path:
    return "nishiki-main-mynumber", office("nishiki", "mynumber"), segment("juki"), vip("juki"), 443


def test_answers_of_an_open_connection_pass(ruled: Machine) -> None:
    forth, back = opened(ruled, juki_of_nishiki(), 61001)
    assert [seen.mark for seen in send(ruled, segment("juki"), back)] == [back.mark]
    assert [seen.mark for seen in send(ruled, "nishiki-main-mynumber", forth)] == [forth.mark]


@pytest.mark.parametrize("where", ["tsuno-main-mynumber", "nishiki-main-lgwan", "dc1-management", "dc1-gw1-sync"])
def test_nobody_else_can_speak_in_an_open_connection(ruled: Machine, where: str) -> None:
    forth, _ = opened(ruled, juki_of_nishiki(), 61100 + len(where))
    assert send(ruled, where, forth) == []
    assert len(send(ruled, "nishiki-main-mynumber", forth)) == 1, "from the right card the same packet passes"


def forget(found: Machine) -> str:
    """Run the program of the role, as the unit of the rules does after each load."""
    return found.sh(sys.executable, str(FORGET))


def test_closing_a_flow_ends_its_open_connections_and_no_others(ruled: Machine) -> None:
    """What the rules no longer let in is ended; without the program it would go on for ever."""
    ruled.sh("conntrack", "-F")
    closed = (segment("juki"), own("juki-ap1"), segment("zaimu-nishiki"), vip("zaimu-nishiki"), 8443)
    other = (segment("juki"), own("juki-ap1"), segment("zaimu-tsuno"), vip("zaimu-tsuno"), 8443)
    ends = {path: opened(ruled, path, 61200 + number) for number, path in enumerate((closed, other, juki_of_nishiki()))}
    assert forget(ruled) == "0 of 3 connections are no longer allowed and were ended\n"
    rules = demo.files()[GATEWAY][RULES].splitlines(keepends=True)
    without = [line for line in rules if not (f"{closed[1]} ." in line and f"{closed[3]} . 8443" in line)]
    assert len(rules) - len(without) == 1
    ruled.start_rules("".join(without), demo.files()[GATEWAY][UNIT])
    forth, back = ends[closed]
    assert [seen.mark for seen in send(ruled, closed[2], back)] == [back.mark], "the rules alone do not end it"
    assert forget(ruled) == "1 of 3 connections are no longer allowed and were ended\n"
    again = dataclasses.replace(back, mark=back.mark + 7), dataclasses.replace(forth, mark=forth.mark + 7)
    assert send(ruled, closed[2], again[0]) == []
    assert send(ruled, closed[0], again[1]) == []
    for path in (other, juki_of_nishiki()):
        forth, back = ends[path]
        assert [seen.mark for seen in send(ruled, path[2], back)] == [back.mark]
        assert [seen.mark for seen in send(ruled, path[0], forth)] == [forth.mark]


def test_the_gateways_own_connections_are_judged_too(ruled: Machine) -> None:
    ruled.sh("conntrack", "-F")
    station = demo.network().stations["dc1"].ip
    mine = ruled.node.management.address.ip
    for source, target, port in ((station, mine, 22), (mine, station, 123), (mine, station, 53), (station, mine, 23)):
        protocol = "tcp" if source == station else "udp"
        state = ["--state", "SYN_SENT"] if protocol == "tcp" else []
        ruled.sh("conntrack", "-I", "-p", protocol, "-s", str(source), "-d", str(target), "--sport", "5000",
                 "--dport", str(port), "--timeout", "60", *state)  # fmt: skip
    assert forget(ruled) == "2 of 4 connections are no longer allowed and were ended\n"
    left = ruled.sh("conntrack", "-L")
    assert "dport=22" in left
    assert "dport=123" in left


def test_unreadable_rules_are_an_error_and_end_nothing(ruled: Machine) -> None:
    opened(ruled, juki_of_nishiki(), 61301)
    ruled.load("flush ruleset")
    failed = ruled.try_sh(sys.executable, str(FORGET))
    assert not failed.ok
    assert "nft -j list table inet kumiai" in failed.stderr
    assert "dport=443" in ruled.sh("conntrack", "-L")


def test_an_answer_without_a_question_does_not_pass(ruled: Machine) -> None:
    stray = Packet(source=vip("juki"), target=office("nishiki", "mynumber"), source_port=443, port=61002, flags=SYN_ACK)
    assert send(ruled, segment("juki"), stray) == []


def test_denied_packets_are_counted(ruled: Machine) -> None:
    before = denied(ruled, "forward")
    stranger = Packet(source=office("tsuno", "mynumber"), target=vip("zaimu-nishiki"))
    assert send(ruled, "tsuno-main-mynumber", stranger, stranger, stranger) == []
    assert denied(ruled, "forward") == before + 3


def denied(found: Machine, chain: str) -> int:
    listed = json.loads(found.sh("nft", "-j", "list", "chain", "inet", "kumiai", chain))["nftables"]
    rules = [item["rule"] for item in listed if item.get("rule", {}).get("comment") == "not in the plan"]
    (counter,) = (part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)
    return int(counter)


def test_it_passes_nothing_before_its_rules_are_loaded() -> None:
    node, files = node_of(GATEWAY), demo.files()[GATEWAY]
    with machine(demo.resolution(), node, files) as booting:
        path = juki_of_nishiki()
        booting.know(vip("juki"), node.interface(segment("juki")).name)
        assert passed(booting, {path}) == set(), "kernel settings alone"
        booting.start_rules("table inet kumiai { this is no rule", files[UNIT])
        assert passed(booting, {path}) == set(), "rules that do not load"
        booting.start_rules(files[RULES], files[UNIT])
        assert passed(booting, {path}) == {path}


def test_reloading_switches_forwarding_on_too() -> None:
    """The service may run already, without the drop-in, when a machine becomes a gateway."""
    unit = demo.files()[GATEWAY][UNIT]
    on = "/bin/sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"
    assert {f"ExecStartPost={on}", f"ExecReload={on}"} <= set(unit.splitlines())
    *_, last = (line for line in unit.splitlines() if line.startswith("ExecReload="))
    assert "exec /usr/local/sbin/kumiai-forget" in last, "a reload that cannot end closed connections fails"


def test_a_broken_file_leaves_the_old_rules_in_force(ruled: Machine) -> None:
    before = ruled.sh("nft", "-s", "list", "ruleset")
    broken = demo.files()[GATEWAY][RULES].replace("policy drop", "policy perhaps", 1)
    assert not ruled.load(broken).ok
    assert ruled.sh("nft", "-s", "list", "ruleset") == before
    assert passed(ruled, declared()) == declared()


def test_only_the_station_reaches_the_gateway_itself(ruled: Machine) -> None:
    node, station = ruled.node, demo.network().stations["dc1"].ip
    ruled.know(station, "mgmt")
    ruled.know(own("juki-ap1"), node.interface(segment("juki")).name)
    knock = Packet(source=station, target=node.management.address.ip, port=22)
    (answer,) = send(ruled, "dc1-management", knock)
    assert (answer.card, answer.flags & RST, answer.target) == ("mgmt", RST, station)
    assert send(ruled, "nishiki-main-mynumber", dataclasses.replace(knock, source_port=1)) == []
    assert send(ruled, "dc1-management", dataclasses.replace(knock, port=23)) == []
    assert send(ruled, "dc1-management", dataclasses.replace(knock, source=own("juki-ap1"))) == []
    for interface in node.interfaces:
        inside = Packet(source=own("juki-ap1"), target=interface.address.ip, port=22)
        assert send(ruled, segment("juki"), inside) == []


def test_its_own_programs_cannot_go_round_the_rules(ruled: Machine) -> None:
    station = demo.network().stations["dc1"].ip
    ruled.know(station, "mgmt")
    before = denied(ruled, "output")
    for address, port in ((vip("juki"), 443), (station, 53), (own("juki-ap1"), 123)):
        ruled.try_sh("bash", "-c", f"echo > /dev/udp/{address}/{port}")
    assert [seen for seen in send(ruled, "dc1-management") if seen.protocol == UDP] == []
    assert denied(ruled, "output") == before + 3
    ruled.sh("bash", "-c", f"echo > /dev/udp/{station}/123")
    (asked,) = (seen for seen in send(ruled, "dc1-management") if seen.protocol == UDP)
    assert (asked.card, asked.target, asked.port) == ("mgmt", station, 123), "it may ask the station for the time"


HOST = "juki-ap1"


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    node, files = node_of(HOST), demo.files()[HOST]
    with machine(demo.resolution(), node, files) as found:
        # As keepalived does when this machine holds the address.
        found.sh("ip", "address", "add", f"{vip('juki')}/32", "dev", node.interfaces[1].name)
        found.start_rules(files[RULES], files[UNIT])
        for address in (*(own(n) for n in ("juki-ap2", "juki-db1")), gateway_address()):
            found.know(address, node.interfaces[1].name)
        found.know(demo.network().stations["dc1"].ip, "mgmt")
        yield found


def gateway_address() -> IPv4Address:
    return next(v.address.ip for v in demo.network().vips if v.name == f"dc1-gw1/{segment('juki')}")


def host_accepts() -> set[tuple[str, IPv4Address, IPv4Address, int]]:
    """Segment, source, own address and port of everything that the declaration wants to reach this machine."""
    node = node_of(HOST)
    return {
        ("dc1-management", demo.network().stations["dc1"].ip, node.management.address.ip, 22),
        (segment("juki"), office("nishiki", "mynumber"), vip("juki"), 443),
        (segment("juki"), office("tsuno", "mynumber"), vip("juki"), 443),
        (segment("juki"), own("juki-ap2"), own(HOST), 8080),
    }


def test_a_host_takes_in_exactly_what_the_plan_says(host: Machine) -> None:
    node = host.node
    sources = [a for a in places() if a not in {own(HOST), vip("juki"), node.management.address.ip}]
    targets = [node.management.address.ip, own(HOST), vip("juki")]
    tried = set(itertools.product(node.segments, sources, targets, PORTS))
    assert host_accepts() <= tried
    answered = set()
    for where, source, target, port in sorted(tried, key=str):
        asked = Packet(source=source, target=target, port=port, source_port=next(_source_ports))
        for seen in host.send(node.interface(where).name, [asked]):
            assert (seen.source, seen.target, seen.source_port) == (target, source, port)
            assert seen.flags & RST, "nobody listens: an admitted connection is refused"
            answered.add((where, source, target, port))
    assert answered == host_accepts()


@pytest.mark.parametrize(
    ("source", "ttl", "heard"), [("juki-ap2", 255, True), ("juki-ap2", 64, False), ("juki-db1", 255, False)]
)
def test_only_the_other_holder_can_advertise(host: Machine, source: str, ttl: int, heard: bool) -> None:
    """Nobody listens, so what is admitted is answered with "protocol unreachable"."""
    advert = Packet(source=own(source), target=own(HOST), protocol=VRRP, ttl=ttl)
    answers = host.send(host.node.interfaces[1].name, [advert])
    assert [seen.protocol for seen in answers] == ([ICMP] if heard else [])


def test_an_advertisement_from_afar_is_no_part_of_a_known_connection(host: Machine) -> None:
    card = host.node.interfaces[1].name
    near = Packet(source=own("juki-ap2"), target=own(HOST), protocol=VRRP, ttl=255)
    assert [seen.protocol for seen in host.send(card, [near])] == [ICMP]
    host.sh(sys.executable, "-c", SEND_VRRP, str(near.source))
    host.send(card, [])
    far = dataclasses.replace(near, ttl=64, mark=near.mark + 1)
    assert host.send(card, [far]) == []


def test_a_host_is_no_router(host: Machine) -> None:
    packet = Packet(source=own("juki-ap2"), target=demo.network().stations["dc1"].ip, port=22)
    assert host.send(host.node.interfaces[1].name, [packet]) == []
    assert host.sh("cat", "/proc/sys/net/ipv4/ip_forward").strip() == "0"


def test_the_database_answers_its_applications_on_its_port_and_nobody_else() -> None:
    """The database shares the segment: its host firewall alone keeps others out."""
    name = "juki-db1"
    node, files = node_of(name), demo.files()[name]
    card = node.interfaces[1].name
    with machine(demo.resolution(), node, files) as database:
        database.start_rules(files[RULES], files[UNIT])
        for other in ("juki-ap1", "juki-ap2"):
            database.know(own(other), card)
        database.know(gateway_address(), card)
        for source, port, answers in (
            (own("juki-ap1"), 5432, 1),
            (own("juki-ap2"), 5432, 1),
            (own("juki-ap1"), 22, 0),
            (office("nishiki", "mynumber"), 5432, 0),
            (vip("juki"), 5432, 0),
        ):
            asked = Packet(source=source, target=own(name), port=port, protocol=TCP)
            assert len(database.send(card, [asked])) == answers, (source, port)


def test_every_card_of_the_plan_is_there(gateway: Machine) -> None:
    listed = json.loads(gateway.sh("ip", "-j", "address"))
    found = {
        link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]}
        for link in listed
        if link["ifname"] != "lo"
    }
    wanted = {c.name: {str(a) for a in c.addresses} for c in networkd.cards(demo.resolution(), gateway.node)}
    wanted["mgmt"] = {str(gateway.node.management.address)}
    assert found == wanted


PAIR_SYNC = "dc1-gw1-sync"


def answered(found: Machine, where: str, packet: Packet) -> list[int]:
    """Protocols of what comes back: nobody listens here, so what is admitted is refused and all else is silence."""
    return [seen.protocol for seen in send(found, where, packet) if seen.target == packet.source]


def to_partner(found: Machine, where: str, **more: int) -> Packet:
    there = node_of("dc1-gw1b").interface(where).address.ip
    return Packet(source=there, target=found.node.interface(where).address.ip, **more)


def test_the_partner_speaks_vrrp_and_of_connections_on_the_sync_segment(ruled: Machine) -> None:
    ruled.sh("conntrack", "-F")
    know_partner(ruled)
    assert answered(ruled, PAIR_SYNC, to_partner(ruled, PAIR_SYNC, protocol=VRRP, ttl=255)) == [ICMP]
    assert answered(ruled, PAIR_SYNC, to_partner(ruled, PAIR_SYNC, protocol=UDP, port=3780)) == [ICMP]


@pytest.mark.parametrize(
    ("where", "more"),
    [
        (PAIR_SYNC, {"protocol": VRRP, "ttl": 254}),
        (PAIR_SYNC, {"protocol": UDP, "port": 3781}),
        (PAIR_SYNC, {"protocol": UDP, "port": 3784, "ttl": 255}),
        (PAIR_SYNC, {"protocol": ICMP}),
        (PAIR_SYNC, {"port": 22}),
        (PAIR_SYNC, {"port": 179}),
        ("dc1-mynumber-juki", {"protocol": VRRP, "ttl": 255}),
        ("dc1-mynumber-juki", {"protocol": UDP, "port": 3780}),
        ("nishiki-main-mynumber", {"protocol": VRRP, "ttl": 255}),
        ("nishiki-main-mynumber", {"port": 179}),
    ],
)
def test_the_partner_may_do_nothing_else(ruled: Machine, where: str, more: dict[str, int]) -> None:
    ruled.sh("conntrack", "-F")
    know_partner(ruled)
    assert answered(ruled, where, to_partner(ruled, where, **more)) == []


def test_vrrp_from_afar_is_no_part_of_a_known_connection(ruled: Machine) -> None:
    """Both ends of VRRP send, so that for connection tracking each packet is an answer to the other's."""
    know_partner(ruled)
    near = to_partner(ruled, PAIR_SYNC, protocol=VRRP, ttl=255)
    assert answered(ruled, PAIR_SYNC, near) == [ICMP]
    ruled.sh(sys.executable, "-c", SEND_VRRP, str(near.source))
    send(ruled, PAIR_SYNC)
    assert f"src={near.target} dst={near.source}" in ruled.sh("conntrack", "-L")
    assert answered(ruled, PAIR_SYNC, dataclasses.replace(near, ttl=64, mark=near.mark + 1)) == []
    elsewhere = dataclasses.replace(near, mark=near.mark + 2)
    assert answered(ruled, "nishiki-main-mynumber", elsewhere) == [], "the right address on another card"


SEND_VRRP = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_RAW, 112).sendto(bytes.fromhex("3101c801001e0000"), (sys.argv[1], 0))
"""


def know_partner(found: Machine) -> None:
    for where in (PAIR_SYNC, "dc1-mynumber-juki", "nishiki-main-mynumber"):
        found.know(node_of("dc1-gw1b").interface(where).address.ip, found.node.interface(where).name)

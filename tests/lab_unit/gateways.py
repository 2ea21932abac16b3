"""A pair of gateways in namespaces, as carriers see it: what the contract with them says, and nothing else.

Both hold a session per hand-off and announce the data center with the hand-off's virtual address as next hop; the first
one has all virtual addresses. A namespace behind both stands for the servers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from typing import Any

from infra import process
from infra.lab import frr, places, underlay
from infra.plan.model import Plan
from network.model import Handoff, Line, ServiceEndpoint, Vip
from network.ports import PortRange

SERVERS = {"mynumber": IPv4Interface("172.16.1.40/26"), "lgwan": IPv4Interface("172.16.2.40/26")}
"""Zone → address of its server, in a prefix that is announced at the hand-offs of this zone only."""
LOCAL_AS = 65010
ECHO = """
import socket, sys, threading
def answer(connection):
    with connection:
        while data := connection.recv(2000):
            connection.sendall(data)
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", 8080))
server = socket.create_server(("", 8080))
def accept():
    while True:
        threading.Thread(target=answer, args=server.accept()[:1], daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
print("ready", flush=True)
while True:
    data, source = link.recvfrom(2000)
    link.sendto(data, source)
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """The two gateways and the servers behind them."""

    plan: Plan
    gateways: tuple[str, str]
    """Namespaces."""
    server: str
    folders: tuple[pathlib.Path, ...]

    def routes(self, number: int) -> dict[str, set[str]]:
        """Return prefix → the carriers' addresses that a gateway has it from."""
        table = self.show(number, "show bgp ipv4 unicast json")["routes"]
        return {
            prefix: {path["peerId"] for path in paths if path.get("valid") and path["peerId"] != "(unspec)"}
            for prefix, paths in table.items()
        }

    def show(self, number: int, command: str) -> Any:
        """Return the answer of a gateway's routing daemon."""
        return json.loads(process.run("vtysh", "--vty_socket", str(self.folders[number]), "-c", command))


def handoffs(plan: Plan) -> tuple[tuple[Line, Handoff], ...]:
    """Return all hand-offs with their lines."""
    return tuple((line, handoff) for line in plan.network.lines for handoff in line.handoffs)


def config(plan: Plan, number: int) -> str:
    """Return what a gateway's bgpd is configured with."""
    lines = [f"hostname gw{number}", f"router bgp {LOCAL_AS}", f" bgp router-id 192.0.2.{number + 1}"]
    lines.append(" no bgp network import-check")
    for _, handoff in handoffs(plan):
        at = f" neighbor {handoff.peer}"
        lines += [f"{at} remote-as {handoff.peer_as}", f"{at} timers connect 1"]
        lines += [f"{at} timers {(handoff.hold_s or 9) // 3} {handoff.hold_s}", *([f"{at} bfd"] if handoff.bfd else [])]
    lines.append(" address-family ipv4 unicast")
    lines += [f"  network {address.network}" for address in SERVERS.values()]
    for line, handoff in handoffs(plan):
        lines += [f"  neighbor {handoff.peer} route-map in-{line.role} in"]
        lines += [f"  neighbor {handoff.peer} route-map out-{handoff.segment} out"]
    lines += [" exit-address-family", "exit"]
    for zone, address in SERVERS.items():
        lines.append(f"ip prefix-list {zone} permit {address.network}")
    for _, handoff in handoffs(plan):
        lines += [f"route-map out-{handoff.segment} permit 10", f" match ip address prefix-list {handoff.zone}"]
        lines += [f" set ip next-hop {handoff.vip}", "exit"]
    for role, preference in (("main", 200), ("backup", 100)):
        lines += [f"route-map in-{role} permit 10", f" set local-preference {preference}", "exit"]
    return "\n".join(lines) + "\n"


def with_services(plan: Plan) -> Plan:
    """Return ``plan`` with a service at each server's address."""
    vips = [
        Vip(name=f"service/{zone}", segment="juki", address=address, nodes=("ap1",), vrid=1)
        for zone, address in SERVERS.items()
    ]
    endpoints = [
        ServiceEndpoint(
            service=f"{zone}-service",
            member=None,
            participants=tuple(plan.members),
            zone=zone,
            site="dc1",
            segment="juki",
            vip=f"service/{zone}",
            listen=(PortRange("tcp", 8080, 8080),),
            application=("ap1",),
            database=(),
            load_balancer=(),
            witness=(),
        )
        for zone in SERVERS
    ]
    return dataclasses.replace(
        plan, network=dataclasses.replace(plan.network, vips=tuple(vips), endpoints=tuple(endpoints))
    )


@contextlib.contextmanager
def pair(plan: Plan) -> Iterator[Pair]:
    """Plug two gateways into the access switch and a server behind them; end and remove all of it afterwards."""
    names = (f"kt.{plan.stack}.gw0", f"kt.{plan.stack}.gw1")
    server = f"kt.{plan.stack}.server"
    folders: list[pathlib.Path] = []
    try:
        _make_server(server)
        for number, name in enumerate(names):
            _make_gateway(plan, number, name, server)
            folders.append(_start_daemons(plan, number, name))
        with echo(server):
            yield Pair(plan=plan, gateways=names, server=server, folders=tuple(folders))
    finally:
        for folder in folders:
            for pid_file in folder.glob("*.pid"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid_file.read_text()), signal.SIGTERM)
            shutil.rmtree(folder)
        for name in (*names, server):
            process.probe("ip", "netns", "del", name)


@contextlib.contextmanager
def echo(namespace: str) -> Iterator[None]:
    """Answer everything that comes to port 8080 with itself, over UDP and TCP."""
    argv = ["ip", "netns", "exec", namespace, sys.executable, "-c", ECHO]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def await_true(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Wait until ``condition`` holds; fail when it does not come."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"did not come within {limit_s:g} s: {what}"
        time.sleep(0.05)  # a routing daemon announces its routes to nobody outside


def _make_server(name: str) -> None:
    process.run("ip", "netns", "add", name)
    process.run("ip", "-n", name, "link", "set", "lo", "up")
    for zone, address in SERVERS.items():
        process.run("ip", "-n", name, "link", "add", "name", f"br-{zone}", "type", "bridge", "forward_delay", "0")
        process.run("ip", "-n", name, "link", "set", f"br-{zone}", "up")
        process.run("ip", "-n", name, "address", "add", str(address), "dev", f"br-{zone}")
    # Offices are behind the gateway of their zone's segment, as a server's own routes say.
    for octet, zone in ((0, "mynumber"), (64, "lgwan")):
        for member in (1, 2):
            via = SERVERS[zone].network[1]
            process.run("ip", "-n", name, "route", "add", f"10.{member}.{octet}.0/24", "via", str(via))


def _make_gateway(plan: Plan, number: int, name: str, server: str) -> None:
    process.run("ip", "netns", "add", name)
    process.run("ip", "-n", name, "link", "set", "lo", "up")
    # Like a gateway without any declared exception: nothing between two hand-offs.
    rules = 'table inet t { chain f { type filter hook forward priority 0; iifname "h*" oifname "h*" drop; }; }'
    process.run("ip", "netns", "exec", name, "nft", "-f", "-", stdin=rules)
    settings = "echo 1 >ip_forward; for what in all default; do echo 0 >conf/$what/rp_filter; done"
    process.run("ip", "netns", "exec", name, "sh", "-c", f"cd /proc/sys/net/ipv4; {settings}")
    for index, (line, handoff) in enumerate(handoffs(plan)):
        segment = plan.network.segment_by_name[handoff.segment]
        switch = underlay.namespace_of(plan.stack, underlay.edge(line.site))
        _plug(name, f"h{index}", switch, f"gw{number}h{index}", segment.bridge)
        addresses = [handoff.local[number], *([handoff.vip] if number == 0 else [])]
        for address in addresses:
            process.run("ip", "-n", name, "address", "add", f"{address}/{segment.prefix.prefixlen}", "dev", f"h{index}")
    for zone, address in SERVERS.items():
        _plug(name, f"in-{zone}", server, f"gw{number}-{zone}", f"br-{zone}")
        own = address.network[1 if number == 0 else 2]
        process.run("ip", "-n", name, "address", "add", f"{own}/{address.network.prefixlen}", "dev", f"in-{zone}")


def _plug(namespace: str, card: str, switch: str, port: str, bridge: str) -> None:
    process.run("ip", "-n", namespace, "link", "add", "name", card, "type", "veth",
                "peer", "name", port, "netns", switch)  # fmt: skip
    process.run("ip", "-n", switch, "link", "set", "dev", port, "master", bridge, "up")
    process.run("ip", "-n", namespace, "link", "set", "dev", card, "up")


def _start_daemons(plan: Plan, number: int, name: str) -> pathlib.Path:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kumiai-gw-", dir="/run"))
    texts = {"zebra": "", "bfdd": "", "bgpd": config(plan, number)}
    for daemon, text in texts.items():
        (folder / f"{daemon}.conf").write_text(text, encoding="utf-8")
    shutil.chown(folder, frr.ACCOUNT, frr.ACCOUNT)
    for daemon in frr.DAEMONS:
        control = ("--bfdctl", f"{folder}/bfdd.sock") if daemon == "bfdd" else ()
        process.run("ip", "netns", "exec", name, frr.program(daemon) or daemon, "--daemon",
                    "--pid_file", f"{folder}/{daemon}.pid", "--config_file", f"{folder}/{daemon}.conf",
                    "--socket", f"{folder}/zebra.sock", "--vty_socket", str(folder), "--vty_port", "0",
                    *control)  # fmt: skip
    return folder


def terminal(plan: Plan, member: str, zone: str) -> str:
    """Return the namespace of the terminal of a member's only office."""
    return places.namespace(plan.stack, "terminal", member, "honcho", zone)

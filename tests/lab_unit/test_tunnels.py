"""Tunnels end to end: two gateways with their rendered files, and the lab's far ends, with IPsec in user space on both.

This kernel has no ESP. Of the rendered files only the XFRM interface is replaced, by the one of ``kernel-libipsec``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping

import pytest

from infra import lab, process
from infra.lab import carriers, drawing, passwords, places, processes, tunnels, underlay
from infra.plan.model import Plan
from infra.secrets import agreed
from network import flows, render
from network.model import NetworkNode
from network.render import frr, ipsec
from tests.lab_unit.guests import lab_traces, listening, needs_root, reach, reach_all
from tests.network.render import routers
from tests.network.render.routers import Router, until
from tests.network.render.tunnels import planned

pytestmark = [
    needs_root,
    pytest.mark.skipif(routers.missing(), reason="needs FRR, keepalived and conntrack"),
    pytest.mark.skipif(
        not pathlib.Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so").exists()
        or shutil.which(tunnels.PROGRAM) is None,
        reason="needs strongSwan with kernel-libipsec",
    ),
]
STACK = f"tun{os.getpid()}"
SETTINGS = """\
include {rendered}
charon-systemd {{
    load = {plugins}
    routing_table = {table}
    routing_table_prio = {priority}
    filelog {{
        file {{
            path = {log}
            flush_line = yes
        }}
    }}
}}
"""


MD5 = "carrier-a"


def with_md5(plan: Plan) -> Plan:
    (line,) = plan.network.lines
    lines = (dataclasses.replace(line, handoffs=tuple(dataclasses.replace(h, md5=MD5) for h in line.handoffs)),)
    return dataclasses.replace(plan, network=dataclasses.replace(plan.network, lines=lines))


PLAN = with_md5(planned(STACK))
NETWORK = PLAN.network
(LINE,) = NETWORK.lines
(HANDOFF,) = LINE.handoffs
(ENDPOINT,) = NETWORK.endpoints
GATEWAYS = [node for node in NETWORK.nodes if node.role == "gateway"]
SERVICE = NETWORK.vip_by_name[ENDPOINT.vip].address
SERVER = f"kt.{STACK}.server"
TERMINAL = places.namespace(STACK, "terminal", "m1", "honcho", "lgwan")
EDGE = carriers.edge_of(STACK, LINE, HANDOFF)
PREFIX = str(NETWORK.segment_by_name[ENDPOINT.segment].prefix)


class Gateway(Router):
    """A gateway of the plan with its cards in the lab, its rules, FRR and strongSwan."""

    def __init__(self, node: NetworkNode, folder: pathlib.Path) -> None:
        super().__init__(f"kt.{STACK}.{node.name}", folder)
        self.node, self.files = node, render.render_node(NETWORK, node.name)
        (self.tunnel,) = ipsec.tunnels(NETWORK, node)

    def plug(self) -> None:
        for number, card in enumerate(self.node.interfaces):
            segment = NETWORK.segment_by_name[card.segment]
            if segment.kind in {"line", "service", "tenant"}:
                line = segment.kind == "line"
                where = underlay.namespace_of(STACK, underlay.edge("dc1")) if line else SERVER
                end = f"{self.node.name[-1]}{number}"
                process.run("ip", "-n", self.namespace, "link", "add", card.name, "type", "veth",
                            "peer", "name", end, "netns", where)  # fmt: skip
                process.run("ip", "-n", where, "link", "set", end, "up", "master", segment.bridge if line else "sw")
                self.ip(f"link set {card.name} up")
                self.ip(f"address add {card.address} dev {card.name}")
        for route in self.node.routes:
            self.ip(f"route add {route.prefix} via {route.via}")
        self.sh("sh", "-c", "for c in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 2 >$c; done")
        run = ("ip", "netns", "exec", self.namespace)
        process.run(*run, "nft", "-f", "-", stdin=self.files["/etc/nftables.conf"])
        process.run(*run, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def start_tunnel(self, key: str) -> None:
        """Start strongSwan with the rendered files and the key, and give its interface the planned name and address."""
        for path in (ipsec.CONNECTIONS, ipsec.SETTINGS, ipsec.KEYS):
            (self.folder / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        for path in (ipsec.CONNECTIONS, ipsec.SETTINGS):
            (self.folder / path.lstrip("/")).write_text(self.files[path])
        owners = f"id-own = {self.tunnel.own}\nid-far = {self.tunnel.peer}"
        keys = f'secrets {{\nike-{self.tunnel.connection} {{\n{owners}\nsecret = "{key}"\n}}\n}}\n'
        (self.folder / ipsec.KEYS.lstrip("/")).write_text(keys)
        rendered, log = self.folder / ipsec.SETTINGS.lstrip("/"), self.folder / "charon.log"
        settings = self.folder / "strongswan.conf"
        settings.write_text(
            SETTINGS.format(
                rendered=rendered,
                plugins=tunnels.PLUGINS,
                log=log,
                table=drawing.OF_DAEMONS,
                priority=tunnels.AFTER_MAIN,
            )
        )
        self.try_sh("ip", "link", "del", tunnels.CREATED)
        (self.folder / "run/charon.vici").unlink(missing_ok=True)
        self.start("charon", "env", f"STRONGSWAN_CONF={settings}", tunnels.PROGRAM)
        until((self.folder / "run/charon.vici").exists)
        network = self.files[f"/etc/systemd/network/20-kumiai-{self.tunnel.name}.network"]
        netdev = self.files[f"/etc/systemd/network/15-kumiai-{self.tunnel.name}.netdev"]
        mtu, address = re.findall(r"(?m)^MTUBytes=(.*)$|^Address=(.*)$", netdev + network)
        self.ip(f"link set {tunnels.CREATED} name {self.tunnel.name}")
        self.ip(f"link add name {tunnels.CREATED} type bridge")
        self.ip(f"link set {tunnels.CREATED} up")
        self.ip(f"address add {address[1]} dev {self.tunnel.name}")
        self.ip(f"link set {self.tunnel.name} mtu {mtu[0]} up")
        main = self.folder / "swanctl.conf"
        main.write_text(f"include {self.folder}/etc/swanctl/conf.d/*.conf\n")
        loaded = self.sh(
            "env", f"SWANCTL_DIR={self.folder}", "swanctl", "--load-all", "--noprompt", "--file", str(main)
        )
        assert "successfully loaded 1 connections" in loaded

    def start_routing(self) -> None:
        password = passwords.of(agreed.bgp_password(MD5))
        text = f"router bgp\n neighbor {self.tunnel.far} password {password}\nexit\n"  # as the role appends it
        self.install({**self.files, frr.CONFIG: self.files[frr.CONFIG] + text})
        self.start_frr(*frr.daemons(flows.resolve(NETWORK), self.node))

    def hold(self, *, holds: bool) -> None:
        """Add or remove the pair's addresses as keepalived does, and run what it runs then."""
        for vip in NETWORK.vips:
            if self.node.name in vip.nodes:
                card = self.node.interface(vip.segment).name
                self.ip(f"address {'add' if holds else 'del'} {vip.address.ip}/32 dev {card}")
        process.run("ip", "-n", SERVER, "neigh", "flush", "all")  # as keepalived's gratuitous ARP does
        self.sh("bash", ipsec.ANNOUNCE)

    def sas(self) -> str:
        return self.try_sh("swanctl", "--list-sas").stdout

    def established(self) -> bool:
        """Whether BGP and BFD are up inside the tunnel."""
        peers = json.loads(self.vtysh("show bgp ipv4 unicast summary json"))["peers"]
        bfd = json.loads(self.vtysh("show bfd peers json"))
        return peers[str(self.tunnel.far)]["state"] == "Established" and {p["status"] for p in bfd} == {"up"}


@contextlib.contextmanager
def server() -> Iterator[None]:
    """A machine with the service's address, on the segment of both gateways."""
    with routers.namespace(SERVER):
        process.run("ip", "-n", SERVER, "link", "add", "name", "sw", "type", "bridge", "forward_delay", "0")
        process.run("ip", "-n", SERVER, "link", "set", "sw", "up")
        process.run("ip", "-n", SERVER, "address", "add", str(SERVICE), "dev", "sw")
        node = NETWORK.node_by_name[ENDPOINT.application[0]]
        for route in node.routes:
            process.run("ip", "-n", SERVER, "route", "add", str(route.prefix), "via", str(route.via))
        with listening(SERVER, port=443), listening(SERVER, port=8081):
            yield


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Gateway]]:
    """The lab without machines, and both gateways with their tunnels up."""
    found: dict[str, Gateway] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(lab.down, STACK)
        lab.up_network(PLAN)
        stack.enter_context(server())
        for node in GATEWAYS:
            stack.enter_context(routers.namespace(f"kt.{STACK}.{node.name}"))
            gateway = Gateway(node, tmp_path_factory.mktemp("gw"))
            stack.callback(gateway.close)
            gateway.plug()
            gateway.start_tunnel(passwords.of(agreed.tunnel_key(LINE.name)))
            gateway.start_routing()
            found[node.name] = gateway
        for gateway in found.values():
            until(gateway.established)
        yield found


def heard_from() -> set[str]:
    """The far router's neighbours that announce the service's segment."""
    folder = places.router_folder(EDGE)
    table = json.loads(
        process.run("vtysh", "--vty_socket", str(folder), "-d", "bgpd", "-c", "show bgp ipv4 unicast json")
    )
    return {path["peerId"] for path in table["routes"].get(PREFIX, ()) if path.get("valid")}


def test_both_gateways_have_a_tunnel_with_the_best_proposal(pair: Mapping[str, Gateway]) -> None:
    assert len(pair) == 2
    for gateway in pair.values():
        (ike,) = re.findall(r"(?m)^  (AES.*)$", gateway.sas())
        assert ike == "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384"
        assert "TUNNEL-in-UDP, ESP:AES_GCM_16-256" in gateway.sas()


def test_traffic_follows_the_gateway_that_leads(pair: Mapping[str, Gateway]) -> None:
    first, second = pair.values()
    assert heard_from() == set(), "nobody leads yet"
    assert reach(TERMINAL, SERVICE.ip, 443, timeout_s=1) is None
    first.hold(holds=True)
    second.sh("bash", ipsec.ANNOUNCE)
    until(lambda: heard_from() == {str(first.tunnel.inside.ip)})
    (office,) = (str(lan.prefixes[0][10]) for lan in NETWORK.offices if lan.zone == "lgwan")
    assert until(lambda: reach(TERMINAL, SERVICE.ip, 443, timeout_s=2)) == office
    first.hold(holds=False)
    began = time.monotonic()
    second.hold(holds=True)
    until(lambda: heard_from() == {str(second.tunnel.inside.ip)})
    assert time.monotonic() - began < 2, "a change-over takes no longer than without a tunnel"
    assert until(lambda: reach(TERMINAL, SERVICE.ip, 443, timeout_s=2)) == office
    # Nothing else passes, and nothing in clear beside the tunnel: what the far router has no route for comes that way.
    assert reach_all({"port": (TERMINAL, SERVICE.ip)}) == {"port": None}
    assert reach(TERMINAL, SERVICE.ip, 8081, timeout_s=1) is None
    process.run("ip", "-n", EDGE, "route", "add", PREFIX, "via", str(HANDOFF.vip), "metric", "1")
    try:
        assert reach(TERMINAL, SERVICE.ip, 443, timeout_s=1) is None, "in clear"
    finally:
        process.run("ip", "-n", EDGE, "route", "del", PREFIX, "via", str(HANDOFF.vip), "metric", "1")
    second.hold(holds=False)


def test_a_second_run_starts_nothing_and_a_lost_daemon_is_started_again(pair: Mapping[str, Gateway]) -> None:
    assert lab.up_network(PLAN) == ()
    (edge,) = carriers.edges(PLAN)
    (pid,) = processes.inside([edge.far_ends[0].daemon.namespace])
    os.kill(pid, 9)
    until(lambda: not processes.inside([edge.far_ends[0].daemon.namespace]))
    assert lab.up_network(PLAN) == ("vpn.m1-net.lgwan.1/charon: started",)
    assert lab.up_network(PLAN) == ()


def test_a_wrong_key_brings_no_tunnel(pair: Mapping[str, Gateway]) -> None:
    gateway = next(iter(pair.values()))
    gateway.end("charon")
    gateway.start_tunnel("wrong")
    until(lambda: "AUTHENTICATION_FAILED" in (gateway.folder / "charon.log").read_text())
    assert "ESTABLISHED" not in gateway.sas()


def test_the_lab_leaves_nothing() -> None:
    lab.down(STACK)
    assert lab_traces(STACK) == []

"""Lines through tunnels: what gateways are told, and what no rule lets past the tunnel."""

from __future__ import annotations

import dataclasses
import re
import shutil
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from infra.process import probe, run
from network import addressing, flows, render
from network.model import Handoff
from network.render import frr, ipsec, keepalived, nftables
from tests.network.render.tunnels import planned

if TYPE_CHECKING:
    from tests.conftest import Golden

DECLARED: dict[str, Any] = {
    "prefix": "203.0.113.0/29",
    "peer": "203.0.113.1",
    "local": ["203.0.113.2", "203.0.113.3"],
    "vip": "203.0.113.4",
    "routing": "tunnel",
    "tunnel_peer": "192.0.2.1",
    "peer_as": 64700,
    "local_as": 65010,
}
NETWORK = planned(**DECLARED).network
RESOLUTION = flows.resolve(NETWORK)
FILES = render.render_all(NETWORK)
FIRST, SECOND = (node for node in NETWORK.nodes if node.role == "gateway")
OF_TUNNELS = (ipsec.CONNECTIONS, ipsec.SETTINGS, ipsec.UNIT, ipsec.ANNOUNCE, frr.CONFIG, nftables.RULES)


@pytest.mark.parametrize("node", [FIRST.name, SECOND.name])
def test_files_are_as_approved(golden: Golden, node: str) -> None:
    names = [*OF_TUNNELS, keepalived.HEALTH, *(path for path in FILES[node] if "kumiai-tun" in path)]
    golden.check_all(f"tunnels/{node}", {path.removeprefix("/"): FILES[node][path] for path in names})


def test_each_gateway_has_a_tunnel_of_its_own_from_its_own_address() -> None:
    (one,), (other,) = ipsec.tunnels(NETWORK, FIRST), ipsec.tunnels(NETWORK, SECOND)
    assert [str(t.own) for t in (one, other)] == ["203.0.113.2", "203.0.113.3"]
    assert {str(t.peer) for t in (one, other)} == {"192.0.2.1"}
    assert {one.inside.network, other.inside.network} == set(NETWORK.lines[0].handoffs[0].tunnel.inner)  # type: ignore[union-attr]
    assert one.name == other.name
    for tunnel in (one, other):
        assert tunnel.far in tunnel.inside.network
        assert tunnel.far != tunnel.inside.ip


def test_the_far_end_is_reached_by_the_carriers_router_whatever_the_tunnels_do() -> None:
    for node in (FIRST, SECOND):
        assert [(str(r.prefix), str(r.via)) for r in node.routes] == [("192.0.2.1/32", "203.0.113.1")]
    near = planned(**{**DECLARED, "tunnel_peer": "203.0.113.5"}).network
    assert [node.routes for node in near.nodes if node.role == "gateway"] == [(), ()], "it is on the hand-off itself"


def test_no_rule_names_the_outer_card_but_for_the_tunnel_itself() -> None:
    """Nothing in clear passes: offices and the routing session are let in by the tunnel's interface alone."""
    rules = FILES[FIRST.name][nftables.RULES]
    (tunnel,) = ipsec.tunnels(NETWORK, FIRST)
    named = [line.strip() for line in rules.splitlines() if f'"{tunnel.card}"' in line]
    assert named == [f'"{tunnel.card}" . 192.0.2.1 . 203.0.113.2,']
    assert rules.count(f'"{tunnel.name}" . ') >= 4


def test_sessions_stand_inside_the_tunnel_with_bfd_and_announce_for_the_leader_only() -> None:
    for node in (FIRST, SECOND):
        (neighbor,) = frr.neighbors(NETWORK, node)
        (tunnel,) = ipsec.tunnels(NETWORK, node)
        assert (neighbor.own, neighbor.peer, neighbor.bfd, neighbor.vip) == (tunnel.inside.ip, tunnel.far, True, None)
        assert frr.bfd_peers(NETWORK, node) == ((tunnel.name, str(tunnel.far)),)
        config = FILES[node.name][frr.CONFIG]
        assert " call leads\n" in config
        assert "route-map leads deny 10\n" in config
        assert "route-map leads permit" not in config, "a gateway begins as one that does not lead"
        assert "set ip next-hop" not in config
        assert f"/usr/bin/bash {ipsec.ANNOUNCE}" in FILES[node.name]["/etc/conntrackd/primary-backup"]


def test_a_gateway_without_a_partner_always_leads() -> None:
    alone = tuple(
        dataclasses.replace(n, interfaces=tuple(i for i in n.interfaces if not i.segment.endswith("-sync")))
        for n in NETWORK.nodes
        if n.name != SECOND.name
    )
    vips = tuple(dataclasses.replace(v, nodes=v.nodes[:1]) if FIRST.name in v.nodes else v for v in NETWORK.vips)
    files = render.render_node(dataclasses.replace(NETWORK, nodes=alone, vips=vips), FIRST.name)
    assert "route-map leads permit 5\n" in files[frr.CONFIG]
    assert ipsec.ANNOUNCE not in files


def test_the_tunnel_fits_into_the_smallest_usual_access() -> None:
    # 1454 bytes of PPPoE over フレッツ: 20 IP, 8 UDP, 8 ESP, 8 IV, packet and trailer to a multiple of 4, 16
    padded = -(-(ipsec.MTU + 2) // 4) * 4
    assert 20 + 8 + 8 + 8 + padded + 16 <= 1454
    (tunnel,) = ipsec.tunnels(NETWORK, FIRST)
    assert tunnel.segment_bytes == ipsec.MTU - 20 - 20


def test_two_tunnels_to_one_far_end_are_refused() -> None:
    (line,) = NETWORK.lines
    twice = dataclasses.replace(NETWORK, lines=(line, dataclasses.replace(line, name="m1-other")))
    with pytest.raises(flows.RenderError, match=re.escape("have the same far end 192.0.2.1, which one card leads to")):
        ipsec.tunnels(twice, FIRST)


def test_a_tunnel_and_its_routing_belong_together() -> None:
    (handoff,) = NETWORK.lines[0].handoffs
    with pytest.raises(ValueError, match="`tunnel` belongs to `routing: tunnel`"):
        dataclasses.replace(handoff, routing="bgp")
    assert isinstance(handoff, Handoff)


def test_addresses_inside_are_link_local_and_never_meet() -> None:
    """RFC 3927, 2.1: the first and the last 256 addresses are reserved."""
    networks = [network for ordinal in range(1, 4096) for network in addressing.tunnel_networks(ordinal)]
    assert len({int(n.network_address) for n in networks}) == len(networks) == 2 * 4095
    assert {n.prefixlen for n in networks} == {30}
    assert min(networks)[0] >= IPv4Address("169.254.1.0")
    assert max(networks)[3] <= IPv4Address("169.254.254.255")
    assert all(network.subnet_of(IPv4Network("169.254.0.0/16")) for network in networks)


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs the program nft")
def test_nft_accepts() -> None:
    listed = run("unshare", "-rn", "sh", "-c", "nft -f - && nft list ruleset", stdin=FILES[FIRST.name][nftables.RULES])
    assert "maxseg size set 1350" in listed


@pytest.mark.skipif(shutil.which("vtysh") is None, reason="needs the program vtysh")
def test_frr_accepts(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("frr") / "frr.conf"
    file.write_text(FILES[FIRST.name][frr.CONFIG])
    checked = probe("vtysh", "-C", "-f", str(file))
    assert checked.ok, checked.stderr + checked.stdout

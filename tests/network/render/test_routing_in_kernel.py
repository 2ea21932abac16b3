"""Who may speak BGP and BFD with a gateway: the edge of the hand-off, on its card, and BFD from one hop away only."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.network.render.kernel import ICMP, RST, TCP, UDP, VRRP, Machine, Packet, Seen, machine
from tests.network.render.pair import FILES, NETWORK, RESOLUTION

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and raw sockets need root")

GATEWAY = "dc1-gw1a"
MAIN, BACKUP, INNER, SYNC = "m1-main-mynumber", "m1-backup-mynumber", "dc1-mynumber-juki", "dc1-gw1-sync"
BFD, BGP = {"protocol": UDP, "port": 3784}, {"protocol": TCP, "port": 179}
HANDOFFS = {handoff.segment: handoff for line in NETWORK.lines for handoff in line.handoffs}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Machine]:
    node = NETWORK.node_by_name[GATEWAY]
    with machine(RESOLUTION, node, FILES[GATEWAY]) as found:
        rules = "/etc/nftables.conf", "/etc/systemd/system/nftables.service.d/50-kumiai.conf"
        found.start_rules(*(FILES[GATEWAY][path] for path in rules))
        for segment in (MAIN, BACKUP):
            found.know(HANDOFFS[segment].peer, node.interface(segment).name)
        yield found


def answers(gateway: Machine, where: str, whose: str, **more: int) -> list[Seen]:
    """What comes back when the edge of ``whose`` speaks on ``where`` to the gateway's address of ``whose``.

    Nobody listens: what is admitted is refused, and all else is silence.
    """
    gateway.sh("conntrack", "-F")
    packet = Packet(source=HANDOFFS[whose].peer, target=gateway.node.interface(whose).address.ip, **more)
    seen = gateway.send(gateway.node.interface(where).name, [packet])
    return [one for one in seen if one.target == packet.source]


@pytest.mark.parametrize("line", [MAIN, BACKUP])
def test_the_edge_speaks_bgp_and_bfd_on_its_own_hand_off(gateway: Machine, line: str) -> None:
    (refused,) = answers(gateway, line, line, **BGP)
    assert refused.flags & RST
    (unreachable,) = answers(gateway, line, line, **BFD, ttl=255)
    assert unreachable.protocol == ICMP


@pytest.mark.parametrize(
    ("where", "whose", "more"),
    [
        (MAIN, MAIN, {**BFD, "ttl": 254}),
        (BACKUP, MAIN, {**BFD, "ttl": 255}),
        (BACKUP, MAIN, BGP),
        (INNER, MAIN, {**BFD, "ttl": 255}),
        (INNER, MAIN, BGP),
        (SYNC, MAIN, BGP),
        (MAIN, MAIN, {**BFD, "port": 4784, "ttl": 255}),
        (MAIN, MAIN, {"protocol": UDP, "port": 3780}),
        (MAIN, MAIN, {"protocol": VRRP, "ttl": 255}),
        (MAIN, MAIN, {"protocol": TCP, "port": 22}),
        (MAIN, MAIN, {"protocol": ICMP}),
    ],
)
def test_nobody_speaks_anything_else(gateway: Machine, where: str, whose: str, more: dict[str, int]) -> None:
    assert answers(gateway, where, whose, **more) == []


def test_it_opens_sessions_to_the_edges_alone(gateway: Machine) -> None:
    """What its programs send passes its own output chain first."""
    card = gateway.node.interface(MAIN).name
    peer = HANDOFFS[MAIN].peer
    for port in (179, 3784, 3780, 22):
        gateway.try_sh("bash", "-c", f"echo > /dev/udp/{peer}/{port}")
        gateway.try_sh("timeout", "0.2", "bash", "-c", f"echo > /dev/tcp/{peer}/{port}")
    seen = {(one.protocol, one.port) for one in gateway.send(card, []) if one.target == peer}
    assert seen == {(TCP, 179), (UDP, 3784)}

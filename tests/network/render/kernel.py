"""A machine of the plan as a network namespace, and frames sent to its cards from outside.

The namespace gets the cards, addresses, routes, kernel settings and rules of a node. The other end of every card lies
in a second namespace without addresses, where raw sockets play the neighbours: they send any frame and see all that
comes out. Whatever a card got before it answers an ARP request has been judged, so nothing here waits by the clock.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import dataclasses
import itertools
import os
import re
import select
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

from infra.process import Completed, probe, run
from network import flows
from network.model import NetworkNode
from network.outside import PRIORITY, ways
from network.render import frr, networkd

TCP, UDP, ICMP, VRRP = 6, 17, 1, 112
SYN, RST, ACK, SYN_ACK = 0x02, 0x04, 0x10, 0x12
ANSWER_S = 5.0
"""How long a card may take to answer an ARP request before the test gives up."""
_CLONE_NEWNET = 0x40000000
_ETH_ALL, _ETH_IP, _ETH_ARP = 0x0003, 0x0800, 0x0806
_SO_RCVBUFFORCE = 33
_names = itertools.count()
_marks = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """An IPv4 packet; ``mark`` (the identification field) tells it apart from every other one."""

    source: IPv4Address
    target: IPv4Address
    port: int = 443
    protocol: int = TCP
    flags: int = SYN
    source_port: int = 40000
    seq: int = 1000
    ack: int = 0
    ttl: int = 64
    mark: int = dataclasses.field(default_factory=lambda: next(_marks) % 65535 + 1)

    def encode(self) -> bytes:
        ends = self.source.packed + self.target.packed
        if self.protocol == TCP:
            body = struct.pack(
                "!HHIIBBHHH", self.source_port, self.port, self.seq, self.ack, 0x50, self.flags, 64240, 0, 0
            )
            body = _with_checksum(body, 16, ends + struct.pack("!HH", TCP, len(body)))
        elif self.protocol == UDP:
            body = struct.pack("!HHHH", self.source_port, self.port, 8, 0)
            body = _with_checksum(body, 6, ends + struct.pack("!HH", UDP, len(body)))
        elif self.protocol == ICMP:
            body = _with_checksum(struct.pack("!BBHHH", 8, 0, 0, self.source_port, 1), 2, b"")
        else:
            body = b"\x31\x01\xc8\x01\x00\x1e\x00\x00"
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), self.mark, 0, self.ttl, self.protocol, 0) + ends
        return _with_checksum(head, 10, b"") + body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A packet that came out of a card."""

    card: str
    mark: int
    protocol: int
    source: IPv4Address
    target: IPv4Address
    source_port: int
    port: int
    flags: int


class Machine:
    """A node's network in a namespace; made by :func:`machine`."""

    def __init__(self, node: NetworkNode, inside: str, outside: str) -> None:
        self.node, self.inside, self.outside = node, inside, outside
        self._sockets: dict[str, socket.socket] = {}

    def sh(self, *argv: str, stdin: str | None = None) -> str:
        """Run a program in the machine."""
        return run("ip", "netns", "exec", self.inside, *argv, stdin=stdin)

    def try_sh(self, *argv: str, stdin: str | None = None) -> Completed:
        """Run a program in the machine that may fail."""
        return probe("ip", "netns", "exec", self.inside, *argv, stdin=stdin)

    def load(self, rules: str) -> Completed:
        """Load a rule file as the service does."""
        return self.try_sh("nft", "-f", "-", stdin=rules)

    def start_rules(self, rules: str, unit: str) -> None:
        """Do what ``systemctl start nftables`` does with the node's own drop-in."""
        if self.load(rules).ok:
            for command in re.findall(r"(?m)^ExecStartPost=/bin/sh -c '(.*)'$", unit):
                self.sh("/bin/sh", "-c", command)

    def apply_sysctl(self, text: str) -> None:
        """Write kernel settings; ``*`` stands for every card, as systemd-sysctl reads it."""
        for line in text.splitlines():
            if line and not line.startswith("#"):
                key, value = line.split(" = ")
                path = "/proc/sys/" + key.replace(".", "/")
                self.sh("sh", "-c", f"for f in {path}; do echo {value} > $f; done")

    def add_card(self, index: int, name: str, mac: str, *, addresses: Iterable[object]) -> None:
        """Make a card and its other end."""
        run("ip", "-n", self.inside, "link", "add", name, "address", mac, "type", "veth",
            "peer", "name", name, "address", _neighbour_mac(index), "netns", self.outside)  # fmt: skip
        for address in addresses:
            run("ip", "-n", self.inside, "address", "add", str(address), "dev", name)
        run("ip", "-n", self.outside, "link", "set", name, "up")
        run("ip", "-n", self.inside, "link", "set", name, "up")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            self._sockets[name] = pool.submit(_raw_socket, self.outside, name).result()

    def know(self, address: IPv4Address, card: str) -> None:
        """Give ``address`` to the neighbour on ``card``, so that nothing stays behind for want of an ARP answer."""
        index = [interface.name for interface in self.node.interfaces].index(card)
        run("ip", "-n", self.inside, "neigh", "replace", str(address), "lladdr", _neighbour_mac(index), "dev", card)

    def send(self, card: str, packets: Iterable[Packet]) -> list[Seen]:
        """Send packets into ``card``; return what came out of all cards because of them and before."""
        index = [interface.name for interface in self.node.interfaces].index(card)
        mac = bytes.fromhex(self.node.interfaces[index].mac.replace(":", ""))
        own = bytes.fromhex(_neighbour_mac(index).replace(":", ""))
        for packet in packets:
            self._sockets[card].send(mac + own + struct.pack("!H", _ETH_IP) + packet.encode())
        asked = self.node.interfaces[index].address
        asker = asked.network.broadcast_address - 1  # given to nobody: plans count from below
        arp = struct.pack("!HHBBH", 1, _ETH_IP, 6, 4, 1) + own + asker.packed + bytes(6) + asked.ip.packed
        self._sockets[card].send(b"\xff" * 6 + own + struct.pack("!H", _ETH_ARP) + arp)
        return self._drain(until=card)

    def close(self) -> None:
        """Close the sockets."""
        for open_socket in self._sockets.values():
            open_socket.close()

    def _drain(self, until: str) -> list[Seen]:
        """Return the packets seen until ``until`` has answered an ARP request."""
        seen: list[Seen] = []
        answered = False
        while True:
            ready, _, _ = select.select(list(self._sockets.values()), [], [], 0 if answered else ANSWER_S)
            if not ready:
                assert answered, f"{self.node.name} {until}: no answer to an ARP request"
                return seen
            for card, open_socket in self._sockets.items():
                if open_socket in ready:
                    frame, address = open_socket.recvfrom(2048)
                    if address[2] == socket.PACKET_OUTGOING:
                        continue
                    kind = struct.unpack_from("!H", frame, 12)[0]
                    if kind == _ETH_ARP and card == until and frame[20:22] == b"\x00\x02":
                        answered = True
                    elif kind == _ETH_IP:
                        seen.append(_decode(card, frame[14:]))


@contextlib.contextmanager
def machine(
    resolution: flows.Resolution, node: NetworkNode, files: Mapping[str, str], *, learned: bool = True
) -> Iterator[Machine]:
    """Make the network of ``node`` with its kernel settings and without rules; remove it afterwards.

    ``learned``: with the routes that BGP brings while every main line is up.
    """
    name = f"kumiai-test-{os.getpid()}-{next(_names)}"
    inside, outside = f"{name}-in", f"{name}-out"
    found = Machine(node, inside, outside)
    try:
        for namespace in (outside, inside):
            run("ip", "netns", "add", namespace)
            run("ip", "netns", "exec", namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
        run("ip", "-n", inside, "link", "set", "lo", "up")
        cards = {card.name: card for card in networkd.cards(resolution, node)}
        for index, interface in enumerate(node.interfaces):
            card = cards.get(interface.name)
            addresses = card.addresses if card else interface.addresses
            found.add_card(index, interface.name, interface.mac, addresses=addresses)
        for route in node.routes:
            run("ip", "-n", inside, "route", "add", str(route.prefix), "via", str(route.via))
        for neighbor in frr.neighbors(resolution.network, node) if learned and node.role == "gateway" else ():
            if neighbor.preference == frr.PREFERENCE["main"]:
                for prefix in neighbor.accepted:
                    run("ip", "-n", inside, "route", "add", str(prefix), "via", str(neighbor.peer))
        for way in ways(resolution, node) if node.role == "gateway" else ():
            rule = f"from {way.source} to {way.prefix} lookup {way.table} priority {PRIORITY}"
            run("ip", "-n", inside, "rule", "add", *rule.split())
            run("ip", "-n", inside, "route", "replace", str(way.prefix), "via", str(way.hands[0].handoff.peer),
                "table", str(way.table))  # fmt: skip
        found.apply_sysctl(files["/etc/sysctl.d/50-kumiai.conf"])
        yield found
    finally:
        found.close()
        for namespace in (inside, outside):
            probe("ip", "netns", "delete", namespace)


def _neighbour_mac(index: int) -> str:
    return f"02:00:00:00:00:{index:02x}"


def enter(namespace: str) -> None:
    """Put the calling thread into a network namespace, for good: use a thread of its own."""
    with open(f"/run/netns/{namespace}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def _raw_socket(namespace: str, card: str) -> socket.socket:
    enter(namespace)
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        opened.bind((card, _ETH_ALL))
    except OSError:
        opened.close()
        raise
    return opened


def _with_checksum(data: bytes, offset: int, pseudo: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(pseudo + data) // 2}H", pseudo + data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:offset] + struct.pack("!H", ~total & 0xFFFF) + data[offset + 2 :]


def _decode(card: str, data: bytes) -> Seen:
    protocol = data[9]
    has_ports = protocol in {TCP, UDP}
    source_port, port = struct.unpack_from("!HH", data, 20) if has_ports else (0, 0)
    return Seen(
        card=card,
        mark=struct.unpack_from("!H", data, 4)[0],
        protocol=protocol,
        source=IPv4Address(data[12:16]),
        target=IPv4Address(data[16:20]),
        source_port=source_port,
        port=port,
        flags=data[33] if protocol == TCP else 0,
    )

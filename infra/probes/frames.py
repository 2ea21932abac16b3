"""The program that tries probes from one card, as root, with nothing but Python: ``frames.py < ORDERS``.

stdin: a JSON object ``{"card", "source", "probes": [[number, protocol, target, port, via], …]}``, where ``via`` is a
MAC address or the address of a next hop. stdout: a JSON object with ``answers``, number → ``[outcome, sender]`` of
answered probes only, and ``unresolved``, the next hops that did not answer ARP.

It builds frames itself, so neither this machine's routes nor its own firewall keep a packet back: it does what a
machine would do that was taken over. Every probe is sent `ROUNDS` times, `PAUSE_S` apart, and the program waits
`WAIT_S` after each round; then it ends.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

ROUNDS = 2
PAUSE_S = 0.002
WAIT_S = 1.5
ARP_S = 0.6
ARP_TRIES = 3
FIRST_PORT = 33000
"""Source ports count up from here, one a probe, so that an answer tells which probe it belongs to."""
ETH_P_ALL, ETH_P_IP, ETH_P_ARP = 0x0003, 0x0800, 0x0806
TCP, UDP, ICMP = 6, 17, 1
RST, SYN_ACK = 0x04, 0x12
ECHO_REPLY, UNREACHABLE = 0, 3
GOT_THERE = (2, 3)
"""ICMP codes "protocol unreachable" and "port unreachable": the target's machine itself says so (RFC 792)."""


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(protocol: str, source: bytes, target: bytes, own_port: int, port: int) -> bytes:
    """Return an IPv4 packet that asks: a SYN, an empty datagram, an echo request."""
    if protocol == "tcp":
        number, head = TCP, struct.pack("!HHIIBBHHH", own_port, port, own_port, 0, 5 << 4, 0x02, 1024, 0, 0)
        sum_at = 16
    elif protocol == "udp":
        number, head, sum_at = UDP, struct.pack("!HHHH", own_port, port, 8, 0), 6
    else:
        number, head, sum_at = ICMP, struct.pack("!BBHHH", 8, 0, 0, own_port, 1), 2
    pseudo = source + target + struct.pack("!BBH", 0, number, len(head)) if number != ICMP else b""
    head = head[:sum_at] + struct.pack("!H", checksum(pseudo + head)) + head[sum_at + 2 :]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head), own_port, 0x4000, 64, number, 0, source, target)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + head


def answer(data: bytes, own: bytes) -> tuple[int, str, str] | None:
    """Return own port, outcome and sender of an IPv4 packet that answers one of ours; None for any other."""
    if len(data) < 20 or data[16:20] != own:
        return None
    body = data[(data[0] & 0x0F) * 4 :]
    judge = {TCP: _of_tcp, UDP: _of_udp, ICMP: _of_icmp}.get(data[9])
    found = judge(body) if judge and len(body) >= 8 else None
    return (*found, socket.inet_ntoa(data[12:16])) if found else None


def _of_tcp(body: bytes) -> tuple[int, str] | None:
    flags = body[13] if len(body) >= 20 else 0
    outcome = "refused" if flags & RST else "open" if flags & SYN_ACK == SYN_ACK else None
    return (port_at(body, 2), outcome) if outcome else None


def _of_udp(body: bytes) -> tuple[int, str]:
    return port_at(body, 2), "open"


def _of_icmp(body: bytes) -> tuple[int, str] | None:
    if body[0] == ECHO_REPLY:
        return port_at(body, 4), "open"
    inner = body[8:]
    if body[0] == UNREACHABLE and body[1] in GOT_THERE and len(inner) >= 28:
        return port_at(inner, (inner[0] & 0x0F) * 4 + (4 if inner[9] == ICMP else 0)), "refused"
    return None


def port_at(data: bytes, offset: int) -> int:
    """Return the 16-bit number at ``offset``."""
    return int.from_bytes(data[offset : offset + 2], "big")


class Card:
    """A raw socket on one card."""

    def __init__(self, name: str, source: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((name, 0))
        self.mac: bytes = self.socket.getsockname()[4]
        self.own = socket.inet_aton(source)

    def send(self, to: bytes, kind: int, data: bytes) -> None:
        """Send one frame."""
        self.socket.send(to + self.mac + struct.pack("!H", kind) + data)

    def frames(self, seconds: float) -> Iterator[tuple[int, bytes]]:
        """Yield kind and content of the frames that come in, for ``seconds``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                frame, about = self.socket.recvfrom(65535)
                if about[2] != socket.PACKET_OUTGOING:
                    yield port_at(frame, 12), frame[14:]

    def resolve(self, address: str) -> bytes | None:
        """Return the MAC address of ``address``; None when nobody answers (RFC 826)."""
        wanted = socket.inet_aton(address)
        for _ in range(ARP_TRIES):
            ask = struct.pack("!HHBBH6s4s6s4s", 1, ETH_P_IP, 6, 4, 1, self.mac, self.own, bytes(6), wanted)
            self.send(b"\xff" * 6, ETH_P_ARP, ask)
            for kind, data in self.frames(ARP_S):
                if kind == ETH_P_ARP and data[6:8] == b"\0\x02" and data[14:18] == wanted:
                    return bytes(data[8:14])
        return None


def main() -> None:
    """Try everything on stdin."""
    orders = json.load(sys.stdin)
    card = Card(orders["card"], orders["source"])
    macs: dict[str, bytes | None] = {}
    for *_, via in orders["probes"]:
        if via not in macs:
            macs[via] = bytes.fromhex(via.replace(":", "")) if ":" in via else card.resolve(via)
    found: dict[int, tuple[str, str]] = {}

    def listen(seconds: float) -> None:
        for kind, data in card.frames(seconds):
            got = answer(data, card.own) if kind == ETH_P_IP else None
            if got and 0 <= got[0] - FIRST_PORT < len(orders["probes"]):
                found.setdefault(got[0] - FIRST_PORT, got[1:])

    for _ in range(ROUNDS):
        for index, (_, protocol, target, port, via) in enumerate(orders["probes"]):
            mac = macs[via]
            if mac is not None and index not in found:
                asked = packet(protocol, card.own, socket.inet_aton(target), FIRST_PORT + index, port)
                card.send(mac, ETH_P_IP, asked)
                listen(PAUSE_S)
        listen(WAIT_S)
    answers = {orders["probes"][index][0]: got for index, got in found.items()}
    print(json.dumps({"answers": answers, "unresolved": [via for via, mac in macs.items() if mac is None]}))


if __name__ == "__main__":
    main()

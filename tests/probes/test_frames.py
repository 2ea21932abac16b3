"""The probing program between two network namespaces whose rules are known."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterator

import pytest

from infra import process
from infra.probes import frames

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and raw sockets need root")
HERE, THERE = f"kf{os.getpid()}a", f"kf{os.getpid()}b"
RULES = """
table inet t {
  chain input {
    type filter hook input priority filter; policy drop;
    tcp dport { 443, 7 } accept
    udp dport { 53 } accept
    icmp type echo-request ip daddr 192.0.2.2 accept
  }
}
"""


@pytest.fixture(scope="module")
def neighbours() -> Iterator[str]:
    """Two namespaces with a cable: 192.0.2.1 here, 192.0.2.2 and .3 there; yields the MAC address of the far card."""
    try:
        for name in (HERE, THERE):
            process.run("ip", "netns", "add", name)
        process.run("ip", "-n", HERE, "link", "add", "c0", "type", "veth", "peer", "name", "c0", "netns", THERE)
        for name, *addresses in ((HERE, "192.0.2.1/24"), (THERE, "192.0.2.2/24", "192.0.2.3/24")):
            for address in addresses:
                process.run("ip", "-n", name, "address", "add", address, "dev", "c0")
            process.run("ip", "-n", name, "link", "set", "c0", "up")
        process.run("ip", "netns", "exec", THERE, "nft", "-f", "-", stdin=RULES)
        found = json.loads(process.run("ip", "-n", THERE, "-json", "link", "show", "c0"))
        yield str(found[0]["address"])
    finally:
        for name in (HERE, THERE):
            process.probe("ip", "netns", "del", name)


def try_all(probes: list[tuple[str, str, int, str]]) -> tuple[dict[int, list[str]], list[str]]:
    """Return number → answer and sender, and the next hops that did not answer."""
    orders = {"card": "c0", "source": "192.0.2.1", "probes": [[n, *probe] for n, probe in enumerate(probes)]}
    program = ("ip", "netns", "exec", HERE, sys.executable, "-I", "-S", frames.__file__)
    found = json.loads(process.run(*program, stdin=json.dumps(orders)))
    return {int(number): got for number, got in found["answers"].items()}, found["unresolved"]


def test_what_passes_is_answered_and_what_is_dropped_is_silent(neighbours: str, tmp_path: pathlib.Path) -> None:
    listener = ("ip", "netns", "exec", THERE, sys.executable, "-I", "-S", "-c", LISTEN)
    with process.started(*listener) as child:
        assert child.hear() == "listening"
        answers, unresolved = try_all(
            [
                ("tcp", "192.0.2.2", 443, "192.0.2.2"),
                ("tcp", "192.0.2.2", 7, "192.0.2.2"),
                ("tcp", "192.0.2.2", 22, "192.0.2.2"),
                ("udp", "192.0.2.2", 53, "192.0.2.2"),
                ("udp", "192.0.2.2", 123, "192.0.2.2"),
                ("icmp", "192.0.2.2", 0, "192.0.2.2"),
                ("icmp", "192.0.2.3", 0, "192.0.2.2"),
                ("tcp", "192.0.2.3", 443, neighbours),
                ("tcp", "192.0.2.2", 443, "192.0.2.99"),
            ]
        )
    assert answers == {
        0: ["open", "192.0.2.2"],
        1: ["refused", "192.0.2.2"],
        3: ["refused", "192.0.2.2"],
        5: ["open", "192.0.2.2"],
        7: ["open", "192.0.2.3"],
    }
    assert unresolved == ["192.0.2.99"]


LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 443)):
    print("listening", flush=True)
    input()
"""


def test_the_checksum_is_that_of_rfc_1071() -> None:
    # The example of RFC 1071, section 3: the sum of these bytes is ddf2.
    assert frames.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2

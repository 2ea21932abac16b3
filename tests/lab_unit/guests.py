"""Plain namespaces that stand in for machines and terminals, and bounded connection attempts between namespaces."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

import pytest

from infra import process
from infra.lab import places, underlay
from infra.plan.model import Plan

Key = TypeVar("Key", bound=Hashable)
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="makes network namespaces, which takes root and iproute2"
)

LISTEN = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), reuse_port=True)
print("ready", flush=True)
while True:
    connection, (source, _) = server.accept()
    connection.sendall(source.encode())
    connection.close()
"""
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as connection:
        print(connection.recv(100).decode())
except OSError as e:
    print("closed:", e)
"""
CLOSED_S = 1.2
"""How long an attempt that must not get through may take; a packet through all of the lab needs a millisecond."""


@contextlib.contextmanager
def guest(plan: Plan, node: str, *segments: str) -> Iterator[str]:
    """Plug a namespace with the cards of ``node`` into its host's bridges, as libvirt plugs a machine."""
    name = f"kt.{plan.stack}.{node}"
    host = underlay.namespace_of(plan.stack, plan.node_by_name[node].host)
    process.run("ip", "netns", "add", name)
    try:
        process.run("ip", "-n", name, "link", "set", "lo", "up")
        for number, segment in enumerate(segments):
            card = plan.network.node_by_name[node].interface(segment)
            bridge = plan.network.segment_by_name[segment]
            tap = f"t{node}{number}"
            process.run(
                *("ip", "-n", host, "link", "add", tap, "type", "veth"),
                *("peer", "name", f"eth{number}", "address", card.mac, "netns", name),
            )
            process.run("ip", "-n", host, "link", "set", tap, "master", bridge.bridge, "up")
            if bridge.kind == "management":
                process.run("bridge", "-n", host, "link", "set", "dev", tap, "isolated", "on")
            process.run("ip", "-n", name, "addr", "add", str(card.address), "dev", f"eth{number}")
            process.run("ip", "-n", name, "link", "set", f"eth{number}", "up")
        yield name
    finally:
        # The kernel takes a namespace apart later on, and with it the taps, whose names the next guest needs.
        for number in range(len(segments)):
            process.probe("ip", "-n", host, "link", "del", f"t{node}{number}")
        process.run("ip", "netns", "del", name)


@contextlib.contextmanager
def listening(namespace: str, address: str = "", port: int = 8080) -> Iterator[None]:
    """Answer connections in ``namespace`` with the caller's address, as seen there."""
    argv = ["ip", "netns", "exec", namespace, sys.executable, "-c", LISTEN, address, str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def reach(namespace: str, address: object, port: int = 8080, timeout_s: float = 5) -> str | None:
    """Return the source address that the listener saw; None when nothing got through."""
    argv = ("ip", "netns", "exec", namespace, sys.executable, "-c", CONNECT, str(address), str(port), str(timeout_s))
    answer = process.run(*argv, timeout_s=timeout_s + 10).strip()
    return None if answer.startswith("closed") else answer


def reach_all(tries: Mapping[Key, tuple[str, object]], timeout_s: float = CLOSED_S) -> dict[Key, str | None]:
    """Try all (namespace, address) at the same time, as `reach` does."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(lambda one: reach(one[0], one[1], timeout_s=timeout_s), tries.values())
        return dict(zip(tries, answers, strict=True))


def lab_traces(stack: str) -> list[str]:
    """Return everything of a lab that this machine still shows."""
    mountinfo = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    mounts = [line for line in mountinfo.splitlines() if f"/{places.prefix(stack)}" in line]
    ours = (places.run_folder(stack), places.store_folder(stack), places.routers_folder(stack))
    folders = [str(path) for path in ours if path.exists()]
    return [*places.existing(stack), *mounts, *folders, *_routing_daemons(stack)]


def _routing_daemons(stack: str) -> list[str]:
    """Return the routing daemons of a lab, in whatever namespace they live on."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended in between
            command = path.read_text(encoding="utf-8", errors="replace").replace("\0", " ")
            if f"{places.routers_folder(stack)}/" in command:
                found.append(command)
    return found

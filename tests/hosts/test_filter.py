"""What machines reach of their own host: the time at the station on the hub, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra import process
from infra.hosts import apply, views
from infra.lab import namespaces, places, underlay
from network.render import hypervisor
from tests.lab_unit.guests import CLOSED_S, guest, listening, needs_root, reach
from tests.lab_unit.small import small_plan

pytestmark = needs_root
STACK = f"filter{os.getpid()}"
PLAN = small_plan(STACK)
STATION = PLAN.network.stations["dc1"].ip
HUB = underlay.namespace_of(STACK, "kvm01")
UNDERLAY = underlay.addresses(PLAN)["kvm01"]
ECHO = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, source = link.recvfrom(100)
    link.sendto(data, source)
"""
ASK = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(float(sys.argv[3]))
link.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
try:
    print(link.recv(100).decode())
except OSError:
    print("closed")
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """The gateway's cards on management and on a segment, on the hub."""
    try:
        namespaces.apply(STACK, underlay.draw(PLAN))
        apply.require_success(apply.apply(PLAN, {"kvm01": views.plan_views(PLAN, {})["kvm01"]}))
        with guest(PLAN, "gw", "management-dc1", "juki") as name:
            yield name
    finally:
        namespaces.remove(places.existing(STACK))


def ask(namespace: str, port: int, timeout_s: float) -> bool:
    argv = ("ip", "netns", "exec", namespace, sys.executable, "-c", ASK, str(STATION), str(port), str(timeout_s))
    return process.run(*argv, timeout_s=timeout_s + 10).strip() == "x"


def test_the_hub_carries_the_station() -> None:
    assert views.plan_views(PLAN, {})["kvm01"].hub


def test_machines_ask_the_station_for_the_time_and_nothing_else(gateway: str) -> None:
    answered = {}
    for port in (123, 53):
        argv = ["ip", "netns", "exec", HUB, sys.executable, "-c", ECHO, str(port)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "ready\n"
                answered[port] = ask(gateway, port, 5 if port == 123 else CLOSED_S)
            finally:
                server.kill()
    assert answered == {123: True, 53: False}
    with listening(HUB, port=22):
        assert reach(gateway, STATION, 22, timeout_s=CLOSED_S) is None


def test_the_station_reaches_machines(gateway: str) -> None:
    with listening(gateway, port=22):
        address = PLAN.network.node_by_name["gw"].management.address.ip
        assert reach(HUB, address, 22) == str(STATION)


def test_no_segment_leads_to_the_hosts_own_address_even_for_who_pretends_to_be_near(gateway: str) -> None:
    """Linux answers for its underlay address on a bridge without any: what keeps machines out is the filter alone."""
    process.run("ip", "-n", gateway, "addr", "add", f"{UNDERLAY + 99}/24", "dev", "eth1")
    table = hypervisor.filter_name(STACK)
    with listening(HUB, port=22):
        assert reach(gateway, UNDERLAY, 22, timeout_s=CLOSED_S) is None
        process.run("ip", "netns", "exec", HUB, "nft", "delete", "table", "inet", table)
        process.run("ip", "-n", HUB, "route", "add", f"{UNDERLAY + 99}/32", "dev", bridge())
        assert reach(gateway, UNDERLAY, 22) == str(UNDERLAY + 99), "the test itself must be able to see it"
    apply.require_success(apply.apply(PLAN, {"kvm01": views.plan_views(PLAN, {})["kvm01"]}))


def bridge() -> str:
    return PLAN.network.segment_by_name["juki"].bridge

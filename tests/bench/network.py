"""Gateways: rendering a large group, loading its rules into the kernel, and what the rules cost each packet.

Needs root. All traffic stays between namespaces that are made here and removed at the end, and every run has an end.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import functools
import os
import socket
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.process import probe, run
from network import flows
from network.model import Handoff, Line, NetworkNode, NetworkPlan, OfficeLan
from network.render import nftables, render_all
from tests.bench import timing
from tests.network.render import kernel, small
from tests.plan import factory

ZONES = ("mynumber", "lgwan", "internet")
MEMBERS = 100
SERVICES_PER_ZONE = 5
DAY = datetime.date(2026, 4, 1)
COUNTS = (10, 100, 1000)
RUN_S = 1.0
ROUNDS = 5
CARRIERS = int(IPv4Network("100.64.0.0/10").network_address)
"""RFC 6598: hand-off prefixes that are neither an office's nor the cloud's."""
CLOSED_S = 0.3
"""How long a connection that must not open is tried."""


def main() -> None:
    """Run all three."""
    files = bench_render(MEMBERS)
    if os.geteuid() != 0:
        print("network: loading and forwarding need root; left out", flush=True)
        return
    bench_load(files)
    bench_forwarding(COUNTS)


def large_group(
    members: int, services_per_zone: int = SERVICES_PER_ZONE, zones: tuple[str, ...] = ZONES, ports: int = 1
) -> Declaration:
    """Return ``members`` × zones × services, each with a machine of its own, and two BGP lines a member.

    The ``ports`` of a service lie apart, so that each is a rule of its own.
    """
    declared = factory.data(1)
    declared["members"], declared["lines"] = [], []
    for number in range(1, members + 1):
        declared["members"].append(factory.member(number, zones))
        for role in ("main", "backup"):
            line = factory.line(number, role, zones)
            first = len(declared["lines"]) * len(zones)
            line["handoff"] = {zone: _handoff(first + index) for index, zone in enumerate(zones)}
            declared["lines"].append(line)
    declared["services"] = [
        factory.service(f"{zone}-{number}", "mixed", zone, listen=[f"tcp/{443 + 2 * port}" for port in range(ports)])
        for zone in zones
        for number in range(services_per_zone)
    ]
    machines = members * len(declared["services"])
    declared["hosts"] = [
        factory.host(number, vcpus=128, memory_gib=1024, storage_gib=100_000) for number in range(machines // 40 + 3)
    ]
    return Declaration.model_validate(declared)


def _handoff(number: int) -> factory.Data:
    peer, one, other, vip = (str(IPv4Address(CARRIERS + 8 * number + host)) for host in range(1, 5))
    return {
        "prefix": f"{IPv4Address(CARRIERS + 8 * number)}/29",
        "peer": peer,
        "local": [one, other],
        "vip": vip,
        "routing": "bgp",
        "peer_as": 64600,
        "local_as": 65010,
        "hold_s": 9,
        "bfd": True,
    }


def bench_render(members: int) -> Mapping[str, Mapping[str, str]]:
    """Every file of every machine of a large group in one go; planning it is not part of the figure."""
    declared = large_group(members)
    begun = time.perf_counter()
    network = builder.build("bench", declared, Lock(stack="bench"), DAY, clock=time.perf_counter).plan.network
    planned = time.perf_counter() - begun
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        files = render_all(network)
        seconds.append(time.perf_counter() - begun)
    gateways = sum(node.role == "gateway" for node in network.nodes)
    what = f"render: {members} members × {len(ZONES)} zones × {SERVICES_PER_ZONE} services"
    timing.line(what, f"{statistics.median(seconds):.2f} s", "< 2 s")
    count = sum(len(found) for found in files.values())
    timing.line(f"  {len(network.nodes)} machines, {gateways} gateways among them", f"{count} files", "-")
    timing.line("  planning the same", f"{planned:.2f} s", "-")
    return files


def bench_load(files: Mapping[str, Mapping[str, str]]) -> None:
    """The longest rule file into a kernel namespace."""
    rules = max((found[nftables.RULES] for found in files.values()), key=len)
    with _namespaces("gateway") as (gateway,):
        seconds = [_load(gateway, rules) for _ in range(ROUNDS)]
    what = f"load: the largest gateway's rules ({_elements(rules)} elements)"
    timing.line(what, f"{statistics.median(seconds) * 1000:.0f} ms", "-")


def bench_forwarding(counts: Sequence[int]) -> None:
    """Bulk TCP through a gateway without rules, and with those of 10, 100 and 1,000 members, in turn."""
    rules = {count: gateway_rules(count) for count in counts}
    with _path() as (office, gateway, server):
        for count, text in rules.items():
            loaded = _load(gateway, text)
            _require_judged(office, server)
            what = f"load: a gateway of {count} members ({_elements(text)} elements)"
            timing.line(what, f"{loaded * 1000:.0f} ms", "-")
        _throughput(office, server)  # warm
        rates: dict[int, list[float]] = {0: [], **{count: [] for count in counts}}
        opened: dict[int, list[float]] = {count: [] for count in rates}
        for _ in range(ROUNDS):
            for count, rate in rates.items():
                _load(gateway, rules.get(count, "flush ruleset\n"))
                rate.append(_throughput(office, server) / 1e9)
                opened[count].append(_connections(office, server) / 1e3)
    _report("forward: bulk TCP in packets of 1,500 bytes", rates, "Gbit/s")
    _report("forward: connections opened, one after the other", opened, "k/s")


def _report(what: str, found: Mapping[int, Sequence[float]], unit: str) -> None:
    """Print the medians, and the medians of the ratios to the run without rules in the same round."""
    timing.line(f"{what}, no rules", f"{statistics.median(found[0]):.2f} {unit}", "-")
    for count in [count for count in found if count]:
        ratio = statistics.median(own / bare for own, bare in zip(found[count], found[0], strict=True))
        value = f"{statistics.median(found[count]):.2f} {unit}, ratio {ratio:.2f}"
        timing.line(f"  with the rules of {count} members", value, "flat over members")


SERVER = IPv4Address("172.16.0.10")
"""The virtual address of the first service."""


def gateway_rules(members: int) -> str:
    """Return the rules of one gateway through which ``members`` reach five shared services over one hand-off."""
    return nftables.files(flows.resolve(one_gateway(members)), _gateway())[nftables.RULES]


def one_gateway(members: int) -> NetworkPlan:
    """Return the network of :func:`gateway_rules`."""
    names = tuple(f"m{number}" for number in range(members))
    services = tuple(f"service{number}" for number in range(SERVICES_PER_ZONE))
    applications = tuple(
        small.node(
            f"{service}-ap1",
            "application",
            {"management": f"10.255.0.{10 + i}/24", "common": f"172.16.0.{100 + i}/24"},
        )
        for i, service in enumerate(services)
    )
    return small.network(
        *(small.flow(f"office:{name}/lgwan", f"service:{service}") for name in names for service in services),
        segments=(
            small.segment("management", "10.255.0.0/24", "management"),
            small.segment("line", "192.0.2.0/24", "line", "lgwan", names),
            small.segment("common", "172.16.0.0/24", "service", "lgwan", names),
        ),
        nodes=(_gateway(), *applications),
        vips=tuple(
            small.vip(f"service/{service}", "common", f"{SERVER + i}/24", f"{service}-ap1")
            for i, service in enumerate(services)
        ),
        offices=tuple(
            OfficeLan(member=name, office="hall", zone="lgwan", prefixes=(_lan(number),))
            for number, name in enumerate(names)
        ),
        lines=tuple(_line(name) for name in names),
        endpoints=tuple(
            small.endpoint(service, None, "common", (f"{service}-ap1",), participants=names) for service in services
        ),
    )


@functools.cache
def _gateway() -> NetworkNode:
    cards = {"management": "10.255.0.2/24", "line": "192.0.2.2/24", "common": "172.16.0.2/24"}
    return small.node("gw", "gateway", cards)


def _lan(number: int) -> IPv4Network:
    return IPv4Network(f"10.{number // 250}.{number % 250}.0/24")


def _line(member: str) -> Line:
    ends = [IPv4Address("192.0.2.0") + host for host in range(1, 5)]
    handoff = Handoff(
        zone="lgwan", segment="line", peer=ends[0], local=(ends[1], ends[2]), vip=ends[3], routing="static",
        peer_as=None, local_as=None, hold_s=None, bfd=False,
    )  # fmt: skip
    return Line(
        name=f"{member}-main", member=member, site="dc1", closed_network="lgwan", closed_network_kind="lgwan",
        role="main", line_class="guaranteed", mbps=100, zones=("lgwan",), handoffs=(handoff,),
    )  # fmt: skip


@contextlib.contextmanager
def _namespaces(*names: str) -> Iterator[tuple[str, ...]]:
    made = tuple(f"kumiai-bench-{os.getpid()}-{name}" for name in names)
    try:
        for namespace in made:
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        yield made
    finally:
        for namespace in made:
            probe("ip", "netns", "delete", namespace)


@contextlib.contextmanager
def _path() -> Iterator[tuple[str, str, str]]:
    """An office's terminal, the gateway with the cards `line` and `common`, and a server with the service's address."""
    terminal = _lan(0)[10]
    with _namespaces("office", "gateway", "server") as (office, gateway, server):
        for far, card, own, address in (
            (office, "line", "192.0.2.2/24", "192.0.2.1/24"),
            (server, "common", "172.16.0.2/24", f"{SERVER}/24"),
        ):
            # One segment a packet: the rules judge every packet of 1,500 bytes, not a bundle of forty.
            run("ip", "-n", gateway, "link", "add", card, "gso_max_segs", "1", "type", "veth",
                "peer", "name", "card", "gso_max_segs", "1", "netns", far)  # fmt: skip
            run("ip", "-n", gateway, "address", "add", own, "dev", card)
            run("ip", "-n", far, "address", "add", address, "dev", "card")
            run("ip", "-n", gateway, "link", "set", card, "up")
            run("ip", "-n", far, "link", "set", "card", "up")
        run("ip", "-n", office, "address", "add", f"{terminal}/32", "dev", "lo")
        run("ip", "-n", office, "route", "add", "172.16.0.0/24", "via", "192.0.2.2", "src", str(terminal))
        run("ip", "-n", gateway, "route", "add", str(_lan(0)), "via", "192.0.2.1")
        run("ip", "-n", server, "route", "add", "default", "via", "172.16.0.2")
        run("ip", "netns", "exec", gateway, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        yield office, gateway, server


def _load(namespace: str, rules: str) -> float:
    """Load ``rules`` and return the seconds that `nft` took."""
    with tempfile.NamedTemporaryFile("w", suffix=".nft", encoding="utf-8") as file:
        file.write(rules)
        file.flush()
        begun = time.perf_counter()
        run("ip", "netns", "exec", namespace, "nft", "-f", file.name)
        return time.perf_counter() - begun


def _elements(rules: str) -> int:
    """Return how many elements the sets of ``rules`` hold: each stands on a line of its own."""
    return sum(line.strip().startswith('"') for line in rules.splitlines())


def _require_judged(office: str, server: str) -> None:
    """An allowed port opens and another one does not: what is measured then went through the rules."""
    for port, opens in ((443, True), (444, False)):
        with _listening(server, port), _socket(office) as caller:
            caller.settimeout(None if opens else CLOSED_S)
            try:
                caller.connect((str(SERVER), port))
            except TimeoutError:
                if opens:
                    raise
            else:
                if not opens:
                    raise RuntimeError(f"the rules let port {port} through")


def _throughput(office: str, server: str) -> float:
    """Return the bits a second that arrive at the server while the office sends as fast as it can."""
    with _listening(server, 443) as listener, _socket(office) as sender:
        sender.connect((str(SERVER), 443))
        receiver, _ = listener.accept()
        with receiver, concurrent.futures.ThreadPoolExecutor(1) as pool:
            arriving = pool.submit(_received, receiver)
            block, end = bytes(1 << 20), time.monotonic() + RUN_S
            while time.monotonic() < end:
                sender.sendall(block)
            sender.shutdown(socket.SHUT_WR)
            return arriving.result()


def _received(receiver: socket.socket) -> float:
    buffer = bytearray(1 << 20)
    total, begun = 0, time.perf_counter()
    while count := receiver.recv_into(buffer):
        total += count
    return total * 8 / (time.perf_counter() - begun)


def _connections(office: str, server: str) -> float:
    """Return how many connections a second open: the first packet of each is looked up among all that may pass."""
    done = threading.Event()
    with _listening(server, 443) as listener, concurrent.futures.ThreadPoolExecutor(2) as pool:
        accepting, calling = pool.submit(_accept, listener, done), pool.submit(_call, office)
        try:
            return calling.result()
        finally:
            done.set()
            accepting.result()


def _call(office: str) -> float:
    kernel.enter(office)
    count, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + RUN_S:
        with socket.socket() as caller:
            # Reset instead of waiting: the caller's ports would be used up within a minute.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.connect((str(SERVER), 443))
        count += 1
    return count / (time.perf_counter() - begun)


def _accept(listener: socket.socket, done: threading.Event) -> None:
    listener.settimeout(CLOSED_S)
    while not done.is_set():
        with contextlib.suppress(TimeoutError):
            listener.accept()[0].close()


@contextlib.contextmanager
def _listening(namespace: str, port: int) -> Iterator[socket.socket]:
    with _socket(namespace) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(SERVER), port))
        listener.listen()
        yield listener


def _socket(namespace: str) -> socket.socket:
    """Return a TCP socket of ``namespace``: a socket stays where it was made, whichever thread uses it."""

    def made() -> socket.socket:
        kernel.enter(namespace)
        return socket.socket()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(made).result()

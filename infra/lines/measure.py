"""Measuring lines from inside the offices of the lab.

Routes are read from the routing daemons of offices and provider edges. Response is the time of opening a TCP connection
from an office's terminal to a service's virtual address, through carriers and gateways. Bandwidth is a short transfer
between the terminal and the line's provider edge, so it is the carrier's part of the line and needs no server; it is
measured on backup lines too, which carry nothing else.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra import process
from infra.lab import carriers, faults, frr, places, reach, underlay
from infra.lab.carriers import AccessLink
from infra.lab.faults import Cut
from infra.lines import office_probe
from infra.lines.model import Measured, Path, Target, paths
from infra.plan.model import Plan
from network.errors import EnvironmentLackError

PROGRAM = pathlib.Path(office_probe.__file__)
ANSWER_S = 3.0
TRANSFER_S = 0.8
PORT = 5201
AT_ONCE = 4

Table = Mapping[str, Sequence[Mapping[str, Any]]]
"""Prefix → paths, as bgpd shows them."""
Progress = Callable[[str], None]


def measure(plan: Plan, progress: Progress = lambda _: None) -> dict[Path, Measured]:
    """Return what was found on every path into a simulated site; EnvironmentLackError when there is none."""
    if not underlay.lab_sites(plan):
        raise EnvironmentLackError(BY_HAND.format(stack=plan.stack))
    links = {(link.line.name, link.lan.office, link.lan.zone): link for link in carriers.access_links(plan)}
    wanted = {path: links[path.line, path.office, path.zone] for path in paths(plan.network) if _key(path) in links}
    missing = {link.office.namespace for link in wanted.values()} - set(places.existing(plan.stack))
    if missing:
        raise EnvironmentLackError(f"the lab of {plan.stack} is not up; run: kumiai lab up {plan.stack}")
    progress("reading the routes of offices and provider edges")
    routers = {name for link in wanted.values() for name in (link.office.namespace, link.edge.outside.namespace)}
    tables = {name: _table(name) for name in sorted(routers)}
    cuts = faults.cuts(plan.stack)
    routes = {path: _routes(path, link, tables, cuts) for path, link in wanted.items()}
    progress("opening connections to the services from every office")
    answers = _answers(plan, [path for path in wanted if routes[path].carries])
    found = {}
    for number, (path, link) in enumerate(wanted.items(), start=1):
        progress(f"bandwidth of {path.line} for {path.lan} ({number} of {len(wanted)})")
        # An edge that does not know the office cannot answer it.
        up, down = _bandwidth(plan, path, link) if routes[path].office_known else (None, None)
        times = answers.get(path, {})
        found[path] = dataclasses.replace(
            routes[path],
            response_ms=max((statistics.median(ms) for ms in times.values() if ms), default=None),
            silent=tuple(target.service for target, ms in times.items() if not ms),
            mbps_up=up,
            mbps_down=down,
        )
    return found


BY_HAND = """\
{stack}: lines are measured from inside the offices, and this station has no way into an office; only the lab has one
(hosts with `libvirt: lab`). Measure at each office, from a terminal on the LAN of each zone, and keep the results:
  route      traceroute to the service's address: it must enter the main line; with the main line unplugged, the backup
  response   five connections to the service's address, for example with curl -w '%{{time_connect}}'; take the median
  bandwidth  a transfer of a few seconds (iperf3) to a machine at the carrier's hand-off, against the contracted Mbit/s
At the gateways, `vtysh -c 'show bgp summary'` must show every session established."""


def _key(path: Path) -> tuple[str, str, str]:
    return path.line, path.office, path.zone


def _table(namespace: str) -> Table:
    table: Table = frr.ask(namespace, "show bgp ipv4 unicast json")["routes"]
    return table


def _routes(path: Path, link: AccessLink, tables: Mapping[str, Table], cuts: Sequence[Cut]) -> Measured:
    """Return what the routers know of a path; nothing has been sent over it yet."""
    edge, office = tables[link.edge.outside.namespace], tables[link.office.namespace]
    customer, carrier = str(link.office.addresses[0].ip), str(link.edge.inside.addresses[0].ip)
    addresses = [target.address for target in path.targets]
    return Measured(
        office_known=all(_from(edge.get(str(prefix), ()), customer) for prefix in link.lan.prefixes),
        services_known=all(any(_valid(found) for found in _covering(edge, address)) for address in addresses),
        office_route=all(any(_from(found, carrier) for found in _covering(office, address)) for address in addresses),
        carries=any(_best(office, address) == carrier for address in addresses),
        response_ms=None,
        silent=(),
        mbps_up=None,
        mbps_down=None,
        cuts=tuple(cut.place for cut in cuts if cut.line == path.line),
    )


def _covering(table: Table, address: IPv4Address) -> list[Sequence[Mapping[str, Any]]]:
    """Return the paths of every prefix that holds ``address``, the longest prefix first."""
    prefixes = sorted((IPv4Network(text) for text in table), key=lambda prefix: -prefix.prefixlen)
    return [table[str(prefix)] for prefix in prefixes if address in prefix]


def _valid(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in found if one.get("valid")]


def _from(found: Iterable[Mapping[str, Any]], peer: str) -> bool:
    return any(one["peerId"] == peer for one in _valid(found))


def _best(table: Table, address: IPv4Address) -> str | None:
    """Return the neighbor that ``address`` is sent to."""
    for found in _covering(table, address):
        for one in _valid(found):
            if one.get("bestpath"):
                return str(one["peerId"])
    return None


def _answers(plan: Plan, carrying: Sequence[Path]) -> dict[Path, dict[Target, list[float]]]:
    """Return the milliseconds of each connection to each target of the paths that carry traffic."""

    def ask(path: Path) -> dict[Target, list[float]]:
        terminal = reach.office_exec(plan.stack, path.member, path.office, path.zone)
        names = {f"{target.address}:{target.port}": target for target in path.targets}
        limit_s = 2 * ANSWER_S * office_probe.TRIES * len(names)
        printed = process.run(*terminal, *_program("connect", ANSWER_S, *names), timeout_s=limit_s)
        return {names[name]: times for name, times in json.loads(printed).items()}

    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return dict(zip(carrying, pool.map(ask, carrying), strict=True))


def _bandwidth(plan: Plan, path: Path, link: AccessLink) -> tuple[float | None, float | None]:
    """Return the Mbit/s from the terminal to the provider edge, and back; one after the other, never two at a time."""
    terminal = reach.office_exec(plan.stack, path.member, path.office, path.zone)
    edge = ("ip", "netns", "exec", link.edge.outside.namespace)
    address = link.edge.inside.addresses[0].ip
    limit_s = 2 * TRANSFER_S + 5 * office_probe.PATIENCE_S
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(process.probe, *edge, *_program("receive", PORT, TRANSFER_S), timeout_s=limit_s)
        sent = process.probe(*terminal, *_program("send", address, PORT, TRANSFER_S), timeout_s=limit_s)
        received = waiting.result()
    if not (sent.ok and received.ok):
        return None, None  # the line was cut a moment ago: its routes will say so
    return json.loads(received.stdout)["mbps"], json.loads(sent.stdout)["mbps"]


def _program(*arguments: object) -> tuple[str, ...]:
    return (sys.executable, str(PROGRAM), *map(str, arguments))

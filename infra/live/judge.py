"""Where a machine differs from the plan: addresses, routes, sockets, forwarding, services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from infra.live.model import MAIN_TABLE, Finding, FindingKind, Live
from network import flows, gateways, outside
from network.errors import OperationError
from network.flows import Resolution
from network.model import NetworkNode, NetworkPlan

ALWAYS = frozenset({("tcp", 22), ("udp", 323)})
"""Sockets of every machine: its only login, and chronyd's own commands, which take none from outside."""
OF_GATEWAYS = frozenset(
    {
        ("tcp", 179),
        ("udp", 500),
        ("udp", 3780),
        ("udp", 3784),
        ("udp", 3785),
        ("udp", 4500),
        ("udp", 4784),
        ("udp", 7784),
    }
)
"""BGP, conntrackd, BFD (RFC 5881, RFC 5883, RFC 7881), IKE (RFC 7296)."""
SENDERS = {"bfdd": range(49152, 65536), "conntrackd": range(32768, 61000)}
"""Ports that a gateway's programs send from, which look as if they took datagrams: BFD's (RFC 5881, 4), and what the
kernel chooses (ip_local_port_range)."""


def judge(network: NetworkPlan, live: Mapping[str, Live | OperationError]) -> tuple[Finding, ...]:
    """Return every difference, node by node in plan order; a machine that could not be read is one."""
    resolution = flows.resolve(network)
    found: list[Finding] = []
    for node in network.nodes:
        one = live.get(node.name)
        if not isinstance(one, Live):
            why = f"could not be read: {one}" if one else "was not read"
            found.append(Finding(node=node.name, kind="silent", subject=node.name, words=why))
            continue
        found += _addresses(resolution, node, one)
        found += _routes(resolution, node, one)
        found += _policies(resolution, node, one)
        found += _sockets(resolution, node, one)
        found += _services(node, one)
    return tuple(found)


def _addresses(resolution: Resolution, node: NetworkNode, live: Live) -> Iterator[Finding]:
    """Yield addresses that are missing, and those that are nobody's; what moves may be here or not."""
    planned = {card.name: {str(address) for address in card.addresses} for card in node.interfaces}
    floating: dict[str, set[str]] = {}
    for vip in resolution.vips_of(node):
        card = node.interface(vip.segment).name
        place = floating if len(vip.nodes) > 1 else planned
        place.setdefault(card, set()).add(f"{vip.address.ip}/32")
    tunnels = {hand.way_in: str(hand.session[0]) for hand in _hands(resolution.network, node)}
    for card in sorted({*planned, *live.addresses}):
        there, wanted = live.addresses.get(card, frozenset()), planned.get(card, set())
        for address in sorted(wanted - there):
            yield _finding(node, "address", address, f"{card} has not its address {address}")
        for address in sorted(there - wanted - floating.get(card, set())):
            if address.partition("/")[0] != tunnels.get(card):
                yield _finding(node, "address", address, f"{card} has an address that is not planned: {address}")


def _routes(resolution: Resolution, node: NetworkNode, live: Live) -> Iterator[Finding]:
    known = _connected(live) | {(MAIN_TABLE, r.prefix, r.via) for r in node.routes} | _led(resolution, node)
    for route in live.routes:
        for via in route.vias or (None,):
            if (route.table, route.prefix, via) not in known:
                how = f"via {via} on {route.card}" if via else f"on {route.card or 'no card'}"
                where = "" if route.table == MAIN_TABLE else f" in table {route.table}"
                yield _finding(
                    node,
                    "route",
                    str(route.prefix),
                    f"a route that is not planned{where}: {route.kind} {route.prefix} {how}",
                )
    there = {(route.table, route.prefix, via) for route in live.routes for via in route.vias}
    for wanted in node.routes:
        if (MAIN_TABLE, wanted.prefix, wanted.via) not in there:
            words = f"its route to {wanted.prefix} via {wanted.via} is missing"
            yield _finding(node, "route", str(wanted.prefix), words)


def _connected(live: Live) -> set[tuple[str, IPv4Network, IPv4Address | None]]:
    """Return the routes that follow from the machine's own addresses, which are judged for themselves."""
    found: set[tuple[str, IPv4Network, IPv4Address | None]] = set()
    for addresses in live.addresses.values():
        for address in addresses:
            if ":" not in address:
                found.add((MAIN_TABLE, IPv4Network(address, strict=False), None))
    return found


def _led(resolution: Resolution, node: NetworkNode) -> set[tuple[str, IPv4Network, IPv4Address | None]]:
    """Return where a gateway may lead packets: offices by their own lines, what lies outside by its tables."""
    if node.role != "gateway":
        return set()
    network = resolution.network
    found: set[tuple[str, IPv4Network, IPv4Address | None]] = {
        (MAIN_TABLE, prefix, hand.session[1])
        for hand in _hands(network, node)
        for prefix in gateways.offices_behind(network, node, hand)
    }
    # What a line presents under another address is announced by a route that leads nowhere.
    found |= {
        (MAIN_TABLE, gateways.presented(hand.line, prefix), None)
        for hand in _hands(network, node)
        for prefix in gateways.services_before(network, node, hand)
    }
    for way in outside.ways(resolution, node):
        found |= {(str(way.table), way.prefix, hand.session[1]) for hand in way.hands}
    return found


def _policies(resolution: Resolution, node: NetworkNode, live: Live) -> Iterator[Finding]:
    gateway = node.role == "gateway"
    ways = outside.ways(resolution, node) if gateway else ()
    planned = {f"from {way.source} to {way.prefix} lookup {way.table}" for way in ways}
    for policy in live.policies:
        if policy not in planned:
            yield _finding(node, "policy", policy, f"a policy rule that is not planned: {policy}")
    for policy in sorted(planned - set(live.policies)):
        yield _finding(node, "policy", policy, f"its policy rule is missing: {policy}")


def _sockets(resolution: Resolution, node: NetworkNode, live: Live) -> Iterator[Finding]:
    """Yield sockets that no flow leads to: the firewall holds packets back, and nobody wants them all the same."""
    admitted = {
        (accept.ports.protocol, port)
        for accept in resolution.into(node)
        for port in range(accept.ports.first, accept.ports.last + 1)
    }
    of_gateways = node.role == "gateway"
    known = ALWAYS | admitted | _own(resolution, node) | (OF_GATEWAYS if of_gateways else frozenset())
    for socket in live.sockets:
        sends = of_gateways and socket.protocol == "udp" and socket.port in SENDERS.get(socket.program, ())
        if (socket.protocol, socket.port) not in known and not sends:
            subject = f"{socket.protocol}/{socket.port}"
            words = f"{socket.program or 'a program'} takes {subject} on {socket.address}, and no flow leads there"
            yield _finding(node, "socket", subject, words)


def _own(resolution: Resolution, node: NetworkNode) -> frozenset[tuple[str, int]]:
    """Return the sockets of business applications and databases that ``node`` runs, also when only itself asks them."""
    endpoints = resolution.endpoints_of(node)
    applications = {("tcp", resolution.application_ports[e.name]) for e in endpoints if node.name in e.application}
    keeps = any(node.name in flows.database_nodes(e) for e in endpoints)
    return frozenset(applications | ({("tcp", flows.POSTGRESQL.first)} if keeps else set()))


def _services(node: NetworkNode, live: Live) -> Iterator[Finding]:
    if live.forwards != (node.role == "gateway"):
        does = "forwards packets, and is no gateway" if live.forwards else "is a gateway and does not forward"
        yield _finding(node, "forwarding", "net.ipv4.ip_forward", does)
    for unit, state in live.units.items():
        if state != "active":
            yield _finding(node, "service", unit, f"{unit} is {state}")


def _hands(network: NetworkPlan, node: NetworkNode) -> Iterable[gateways.Attached]:
    return gateways.attached(network, node) if node.role == "gateway" else ()


def _finding(node: NetworkNode, kind: FindingKind, subject: str, words: str) -> Finding:
    return Finding(node=node.name, kind=kind, subject=subject, words=words)

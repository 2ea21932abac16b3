"""The management network: its station reaches every machine, and no machine reaches another by it.

Three things keep it so. Every machine's port on the bridge is *isolated*: frames pass between two ports of a bridge
unless both are (bridge(8)). Tunnels join the hosts' bridges so that this holds across hosts. And filters of machines
admit the station alone and pass nothing on, which :mod:`infra.audit.compare` judges with all else that filters do.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address

from infra.audit.model import Level, Packet, Severity, Violation
from network.model import NetworkNode, NetworkPlan, Segment

_SSH = 22


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """The port that joins a bridge with those of other hosts."""

    isolated: bool
    peers: frozenset[str]
    """Hosts to which it may send frames."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The management bridge of one host."""

    site: str
    cards: Mapping[str, bool]
    """Machine → whether its port is isolated."""
    station: bool
    """Whether the station is the bridge itself, which no isolation keeps from any port."""
    tunnel: Tunnel | None


def planned(network: NetworkPlan) -> Iterator[Violation]:
    """Judge the plan; wherever machines stand, as if one bridge joined a whole site."""
    sites = collections.Counter(segment.site for segment in network.segments if segment.kind == "management")
    for site, count in sites.items():
        if count > 1:
            yield _broken("declared", site, site, f"{site} has {count} management networks")
    for segment in network.segments:
        if segment.kind == "management":
            yield from _separate(network, segment)
    for node in network.nodes:
        yield from _cards(network, node)


def bridged(network: NetworkPlan, bridges: Mapping[str, Bridge]) -> Iterator[Violation]:
    """Judge how the hosts' bridges are made: ``bridges`` by host. A machine that stands on none is a finding."""
    stand = {name: host for host, bridge in bridges.items() for name in bridge.cards}
    hubs = {bridge.site: host for host, bridge in bridges.items() if bridge.station}
    for node in network.nodes:
        host, hub = stand.get(node.name), hubs.get(node.site)
        if host is None or hub is None:
            reason = "no host has its card" if host is None else f"no host of {node.site} has the station"
            yield _broken("rendered", node.name, node.site, f"its way to the station could not be examined: {reason}")
            continue
        found = reached(bridges, host, isolated=bridges[host].cards[node.name])
        others = sorted(found.keys() - {node.name, _STATION})
        if others:
            path = (node.name, *(f"{place} management bridge" for place in found[others[0]]), others[0])
            more = f" and {len(others) - 1} other machines" if len(others) > 1 else ""
            packet = _packet(network.node_by_name[node.name], network.node_by_name[others[0]])
            reason = f"its frames reach {others[0]}{more} by the management network"
            yield _broken("rendered", node.name, others[0], reason, packet=packet, path=path)
        if _STATION not in found or node.name not in reached(bridges, hub, isolated=False, station=True):
            reason = "the bridges carry no frames between it and the station"
            yield _broken("rendered", f"station:{node.site}", node.name, reason)


_STATION = ""


def reached(
    bridges: Mapping[str, Bridge], host: str, *, isolated: bool, station: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Return whom frames reach that enter by a port of ``host``'s bridge: machine or "" for the station → hosts passed.

    The sender is among them, where another port like its own would be reached. ``station``: they enter from the bridge
    itself.
    """
    found: dict[str, tuple[str, ...]] = {}
    waiting: collections.deque[tuple[str, bool, bool, tuple[str, ...]]]
    waiting = collections.deque([(host, isolated, False, (host,))])
    seen: set[str] = set()
    while waiting:
        here, from_isolated, by_tunnel, path = waiting.popleft()
        bridge = bridges[here]
        for name, card_isolated in bridge.cards.items():
            if not (from_isolated and card_isolated):
                found.setdefault(name, path)
        if bridge.station and not (station and len(path) == 1):
            found.setdefault(_STATION, path)
        tunnel = bridge.tunnel
        if tunnel is None or by_tunnel or (from_isolated and tunnel.isolated):
            continue
        for peer in sorted(tunnel.peers & bridges.keys() - seen):
            other = bridges[peer].tunnel
            if other is not None:
                seen.add(peer)
                waiting.append((peer, other.isolated, True, (*path, peer)))
    return found


def _separate(network: NetworkPlan, segment: Segment) -> Iterator[Violation]:
    """Name what joins a management network with those of members."""
    if segment.members or segment.zone is not None:
        yield _broken("declared", segment.name, segment.name, "it is given to members or to a zone")
    own = segment.prefix
    others = [(other.name, prefix) for other in network.segments if other is not segment for prefix in other.prefixes]
    others += [(f"office:{lan.member}/{lan.zone}", prefix) for lan in network.offices for prefix in lan.prefixes]
    for name, prefix in others:
        if prefix.overlaps(own):
            yield _broken("declared", segment.name, name, f"{own} and {prefix} overlap")
    station = network.stations.get(segment.site)
    if station is None or station.ip not in own:
        yield _broken("declared", segment.name, segment.name, f"the station of {segment.site} has no address of {own}")
    for vip in network.vips:
        if vip.segment == segment.name:
            yield _broken("declared", vip.name, segment.name, f"{vip.address.ip} is shared on the management network")
    for endpoint in network.endpoints:
        if endpoint.segment == segment.name:
            name = f"service:{endpoint.name}"
            yield _broken("declared", name, segment.name, "a service stands on the management network")
    for line in network.lines:
        if segment.name in {handoff.segment for handoff in line.handoffs}:
            yield _broken("declared", f"line:{line.name}", segment.name, "it ends on the management network")


def _cards(network: NetworkPlan, node: NetworkNode) -> Iterator[Violation]:
    station = network.stations.get(node.site)
    for card in node.interfaces:
        segment = network.segment_by_name[card.segment]
        if segment.kind != "management":
            continue
        if not card.isolated:
            others = (one for one in network.nodes if one.name != node.name and segment.name in one.segments)
            other = next(others, None)
            reason = f"its port on {segment.name} is not isolated: frames pass between it and every machine there"
            packet = None if other is None else _packet(node, other)
            yield _broken("declared", node.name, other.name if other else segment.name, reason, packet=packet)
        if station is not None and any(address.ip == station.ip for address in card.addresses):
            reason = f"it has the station's address {station.ip}, which every filter admits"
            yield _broken("declared", node.name, segment.name, reason, severity="critical")
        for route, card_address in itertools.product(node.routes, card.addresses):
            if route.via in card_address.network:
                reason = f"it sends packets for {route.prefix} by the management network"
                yield _broken("declared", node.name, segment.name, reason)


def _packet(source: NetworkNode, target: NetworkNode) -> Packet:
    here, there = (_managed(node) for node in (source, target))
    return Packet(protocol="tcp", source=str(here), destination=str(there), port=_SSH)


def _managed(node: NetworkNode) -> IPv4Address:
    return node.management.address.ip


def _broken(
    level: Level,
    source: str,
    target: str,
    reason: str,
    *,
    severity: Severity = "major",
    packet: Packet | None = None,
    path: Collection[str] = (),
) -> Violation:
    """``major``: filters of machines still admit the station's address alone."""
    return Violation(
        kind="isolation",
        severity=severity,
        level=level,
        source=source,
        target=target,
        packet=packet,
        path=tuple(path) or (source, target),
        rule=None,
        reason=reason,
    )

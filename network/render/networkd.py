"""Network cards of a node for systemd-networkd, all but the management card, which cloud-init configures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Interface

from network import gateways, outside
from network.flows import RenderError, Resolution
from network.model import Interface, NetworkNode, Route
from network.render import ipsec
from network.render.templating import lay_out

FOLDER = "/etc/systemd/network"
SETTINGS = "/etc/systemd/networkd.conf.d/50-kumiai.conf"
BURST_S = 0.01
"""How long a card may send faster than its line: as much as passes in this time."""
SMALLEST_BURST = 16384
"""Bytes; a slow line's burst must still hold some whole packets."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The rate of the line behind a card: the carrier drops what comes faster, and cannot know what matters."""

    mbps: int
    burst_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one card needs."""

    name: str
    mac: str
    segment: str
    addresses: tuple[IPv4Interface, ...]
    """Own addresses, then the virtual ones that no other node can hold."""
    routes: tuple[Route, ...]
    floating: bool
    """Whether keepalived puts addresses on it, which networkd must leave alone."""
    online: bool
    """Whether the machine counts as online only with this card; a line may be cut while it boots."""
    shape: Shape | None
    ways: tuple[outside.Way, ...] = ()
    """What its segment's machines reach outside, each by a routing table of its own."""


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return the ``.link`` and ``.network`` file of every card."""
    found: dict[str, str] = {}
    if node.role == "gateway":
        found[SETTINGS] = lay_out("networkd.conf.j2")
    for tunnel in ipsec.tunnels(resolution.network, node):
        found[f"{FOLDER}/15-kumiai-{tunnel.name}.netdev"] = lay_out("networkd_tunnel.netdev.j2", t=tunnel)
        found[f"{FOLDER}/20-kumiai-{tunnel.name}.network"] = lay_out("networkd_tunnel.network.j2", t=tunnel)
    for card in cards(resolution, node):
        found[f"{FOLDER}/10-kumiai-{card.name}.link"] = lay_out("networkd.link.j2", card=card)
        found[f"{FOLDER}/20-kumiai-{card.name}.network"] = lay_out(
            "networkd.network.j2", card=card, priority=outside.PRIORITY
        )
    return found


def cards(resolution: Resolution, node: NetworkNode) -> tuple[Card, ...]:
    """Return the cards of ``node`` in the order of the plan."""
    routes = {interface.name: _routes(node, interface) for interface in node.interfaces}
    placed = {route for found in routes.values() for route in found}
    lost = [route for route in node.routes if route not in placed]
    if lost or routes[node.management.name]:
        raise RenderError(f"{node.name}: no card but management reaches the next hop of {lost or node.routes}")
    lines = gateways.attached(resolution.network, node) if node.role == "gateway" else ()
    ways = outside.ways(resolution, node) if node.role == "gateway" else ()
    shapes = {hand.card.name: _shape(hand.line.mbps) for hand in lines}
    found = []
    for interface in node.interfaces[1:]:
        here = [vip for vip in resolution.vips_of(node) if vip.segment == interface.segment]
        # /32: a second address with the segment's length could become the source of what the node itself sends.
        alone = [IPv4Interface(vip.address.ip) for vip in here if len(vip.nodes) == 1]
        found.append(
            Card(
                name=interface.name,
                mac=interface.mac,
                segment=interface.segment,
                addresses=(*interface.addresses, *sorted(alone)),
                routes=tuple(sorted(routes[interface.name])),
                floating=len(alone) < len(here),
                online=resolution.network.segment_by_name[interface.segment].kind in {"tenant", "service", "sync"},
                shape=shapes.get(interface.name),
                ways=tuple(way for way in ways if way.segment == interface.segment),
            )
        )
    return tuple(found)


def _shape(mbps: int) -> Shape:
    return Shape(mbps=mbps, burst_bytes=max(SMALLEST_BURST, round(mbps * 1_000_000 / 8 * BURST_S)))


def _routes(node: NetworkNode, interface: Interface) -> tuple[Route, ...]:
    return tuple(r for r in node.routes if any(r.via in address.network for address in interface.addresses))

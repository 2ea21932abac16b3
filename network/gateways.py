"""What a gateway stands between: its partner in the pair, and the hand-offs of lines that it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from network.model import Handoff, Interface, Line, NetworkNode, NetworkPlan, ServiceEndpoint, Tunnel, shown


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A hand-off with a gateway's card on it."""

    line: Line
    handoff: Handoff
    card: Interface

    @property
    def own(self) -> IPv4Address:
        """The gateway's own address on the hand-off."""
        return self.card.address.ip

    @property
    def way_in(self) -> str:
        """The card by which offices come in: the tunnel's where there is one, and nobody in clear beside it."""
        return self.handoff.tunnel.name if self.handoff.tunnel is not None else self.card.name

    @property
    def session(self) -> tuple[IPv4Address, IPv4Address]:
        """The gateway's and the far router's address, as they speak BGP and BFD with each other."""
        if self.handoff.tunnel is None:
            return self.own, self.handoff.peer
        inner = self.handoff.tunnel.inner[self.handoff.local.index(self.own)]
        return inner[1], inner[2]

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that the hand-off carries."""
        return zones_of(self.line, self.handoff)


def zones_of(line: Line, handoff: Handoff) -> tuple[str, ...]:
    """Return the zones that a hand-off of ``line`` carries."""
    return line.zones if handoff.zone is None else (handoff.zone,)


def sync_of(network: NetworkPlan, gateway: NetworkNode) -> str | None:
    """Return the segment on which ``gateway`` and its partner hear each other; None when it stands alone."""
    found = [name for name in gateway.segments if network.segment_by_name[name].kind == "sync"]
    return found[0] if found else None


def partner_of(network: NetworkPlan, gateway: NetworkNode) -> NetworkNode | None:
    """Return the other gateway of the pair."""
    sync = sync_of(network, gateway)
    others = [n for n in network.nodes if n.role == "gateway" and n.name != gateway.name and sync in n.segments]
    return others[0] if sync and others else None


def inner_segments(network: NetworkPlan, gateway: NetworkNode) -> tuple[str, ...]:
    """Return the segments of services and members that ``gateway`` stands in, in card order."""
    return tuple(name for name in gateway.segments if network.segment_by_name[name].kind in {"tenant", "service"})


def attached(network: NetworkPlan, gateway: NetworkNode) -> tuple[Attached, ...]:
    """Return the hand-offs that ``gateway`` has a card on, in plan order."""
    mine = set(gateway.segments)
    return tuple(
        Attached(line=line, handoff=handoff, card=gateway.interface(handoff.segment))
        for line in network.lines
        for handoff in line.handoffs
        if handoff.segment in mine
    )


def cards(network: NetworkPlan, node: NetworkNode) -> Mapping[str, str]:
    """Return segment → the card by which its packets come to ``node``."""
    found = {interface.segment: interface.name for interface in node.interfaces}
    if node.role == "gateway":
        found |= {hand.handoff.segment: hand.way_in for hand in attached(network, node)}
    return found


def tunnels(network: NetworkPlan, gateway: NetworkNode) -> tuple[tuple[Attached, Tunnel], ...]:
    """Return the hand-offs of ``gateway`` with a tunnel, in plan order."""
    return tuple((hand, hand.handoff.tunnel) for hand in attached(network, gateway) if hand.handoff.tunnel is not None)


def offices_behind(network: NetworkPlan, gateway: NetworkNode, hand: Attached) -> tuple[IPv4Network, ...]:
    """Return the office LANs that ``hand`` leads to, sorted: the member's, of the zones of hand-off and gateway."""
    zones = set(hand.zones) & _zones(network, gateway, hand)
    return tuple(
        sorted(
            {
                prefix
                for lan in network.offices
                if lan.member == hand.line.member and lan.zone in zones
                for prefix in lan.prefixes
            }
        )
    )


def services_before(network: NetworkPlan, gateway: NetworkNode, hand: Attached) -> tuple[IPv4Network, ...]:
    """Return the prefixes that the member may reach over ``hand``, sorted: its own and shared segments of the zones.

    They are those of the segments themselves; :func:`presented` says what the line shows of each.
    """
    return tuple(
        sorted(
            prefix
            for segment in (network.segment_by_name[name] for name in inner_segments(network, gateway))
            if hand.line.member in segment.members and segment.zone in hand.zones
            for prefix in segment.prefixes
        )
    )


def presented(line: Line, prefix: IPv4Network) -> IPv4Network:
    """Return the addresses at which the offices behind ``line`` reach ``prefix`` of the data center."""
    return shown(line.destinations, prefix)


def addresses_of(network: NetworkPlan, endpoint: ServiceEndpoint) -> Mapping[tuple[str, str], IPv4Address]:
    """Return at which address each line reaches ``endpoint``: (member, line) → address, main lines first."""
    own = IPv4Network(network.vip_by_name[endpoint.vip].address.ip)
    return {
        (line.member, line.name): presented(line, own).network_address
        for line in sorted(network.lines, key=lambda line: (line.role != "main", line.name))
        if line.site == endpoint.site and endpoint.zone in line.zones
    }


def reached_at(network: NetworkPlan, endpoint: ServiceEndpoint, member: str) -> IPv4Address:
    """Return the address that the offices of ``member`` use for ``endpoint``: by its first main line."""
    found = addresses_of(network, endpoint)
    own = network.vip_by_name[endpoint.vip].address.ip
    return next((address for (whose, _), address in found.items() if whose == member), own)


def _zones(network: NetworkPlan, gateway: NetworkNode, hand: Attached) -> set[str | None]:
    """Return the zones that ``gateway`` serves the line's member in: a line may go on to the gateways of others."""
    return {
        network.segment_by_name[name].zone
        for name in inner_segments(network, gateway)
        if hand.line.member in network.segment_by_name[name].members
    }

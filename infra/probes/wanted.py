"""What is tried from where, and what must come of it; from the plan alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence, Set
from ipaddress import IPv4Address

from infra.lab import offices
from infra.probes.model import Probe, Source
from network import flows
from network.flows import Accept, Resolution
from network.model import NetworkPlan
from network.ports import PortRange, Protocol

NEVER = (PortRange("tcp", 7, 7), PortRange("udp", 53, 53), PortRange("icmp", 0, 0))
"""Asked of every address besides the ports that the stack knows at all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Target:
    """An address of the stack."""

    name: str
    segment: str
    address: IPv4Address
    mac: str
    """Empty for an address that moves."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Where packets come from, and what follows from that for every target."""

    source: Source
    own: frozenset[IPv4Address]
    """Addresses that it has or may take over; they are no targets."""
    beyond: tuple[str, ...]
    """Next hops to other segments."""


def probes(network: NetworkPlan) -> tuple[Probe, ...]:
    """Return every probe: from each terminal and each card of each machine to each address of somebody else.

    A machine sends as one that was taken over would: over each of its cards, to every gateway and to the management
    station as a next hop whatever its own routes say, and straight to machines on the same segment.
    """
    resolution = flows.resolve(network)
    asked = _asked(resolution)
    targets = sorted(_targets(network))
    return tuple(
        Probe(
            source=sender.source,
            target_name=target.name,
            target_segment=target.segment,
            target=target.address,
            protocol=protocol,
            port=port,
            via=via,
            passes=_passing(resolution, sender.source, target, protocol, port),
        )
        for sender in _senders(network)
        for target in targets
        if target.address not in sender.own
        for via in _ways(sender, target)
        for protocol, port in asked
    )


def _asked(resolution: Resolution) -> list[tuple[Protocol, int]]:
    """Return the first port of everything that is opened anywhere in the stack, and what is opened nowhere."""
    known = {(a.ports.protocol, a.ports.first) for a in resolution.accepts}
    return sorted(known | {(never.protocol, never.first) for never in NEVER})


def _targets(network: NetworkPlan) -> Iterator[Target]:
    for node in network.nodes:
        for card in node.interfaces:
            yield Target(name=node.name, segment=card.segment, address=card.address.ip, mac=card.mac)
    for vip in network.vips:
        yield Target(name=vip.name, segment=vip.segment, address=vip.address.ip, mac="")
    for site, station in network.stations.items():
        segment = network.management_segment(site).name
        yield Target(name=f"station of {site}", segment=segment, address=station.ip, mac="")


def _senders(network: NetworkPlan) -> Iterator[Sender]:
    for lan in network.offices:
        source = Source(
            name=f"{lan.member}/{lan.office}/{lan.zone}",
            segment="office",
            card=offices.TERMINAL,
            address=offices.terminal_address(lan.prefixes[0]).ip,
            terminal=True,
        )
        router = str(offices.router_address(lan.prefixes[0]).ip)
        yield Sender(source=source, own=frozenset(), beyond=(router,))
    for node in network.nodes:
        held = {vip.address.ip for vip in network.vips if node.name in vip.nodes}
        own = frozenset(held | {card.address.ip for card in node.interfaces})
        gateways = {n.name for n in network.nodes if n.role == "gateway" and n.name != node.name}
        for card in node.interfaces:
            source = Source(
                name=node.name, segment=card.segment, card=card.name, address=card.address.ip, terminal=False
            )
            yield Sender(source=source, own=own, beyond=_next_hops(network, card.segment, gateways))


def _next_hops(network: NetworkPlan, segment: str, gateways: Set[str]) -> tuple[str, ...]:
    known = network.segment_by_name[segment]
    if known.kind == "management":
        return (str(network.stations[known.site].ip),)
    return tuple(str(vip.address.ip) for vip in network.vips if vip.segment == segment and set(vip.nodes) <= gateways)


def _ways(sender: Sender, target: Target) -> Sequence[str]:
    if target.segment == sender.source.segment:
        # On management a bridge keeps machines apart, whatever ARP says.
        return (target.mac,) if target.mac else (str(target.address),)
    return sender.beyond


def _passing(resolution: Resolution, source: Source, target: Target, protocol: Protocol, port: int) -> str:
    """Return the flow that lets the packet pass; empty when none does."""
    return next(
        (
            accept.flow
            for accept in resolution.to(target.segment, target.address)
            if accept.ports.protocol == protocol
            and accept.ports.first <= port <= accept.ports.last
            and source.address in accept.source
            and _enters(resolution.network, source, accept)
        ),
        "",
    )


def _enters(network: NetworkPlan, source: Source, accept: Accept) -> bool:
    if not source.terminal:
        return accept.source_segment == source.segment
    member, _, zone = source.name.split("/")
    return any(
        accept.source_segment == hand.segment and hand.zone in (None, zone)
        for line in network.lines
        if line.member == member
        for hand in line.handoffs
    )

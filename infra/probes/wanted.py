"""What is tried from where, and what must come of it; from the plan alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from infra.lab import offices
from infra.probes.model import Probe, Source
from network import flows
from network.flows import Accept, Resolution
from network.model import NetworkNode, NetworkPlan
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
            source=source,
            target_name=target.name,
            target_segment=target.segment,
            target=target.address,
            protocol=protocol,
            port=port,
            via=via,
            passes=_passing(resolution, source, target, protocol, port),
        )
        for source, holder in _sources(network)
        for target in targets
        if target.address not in _own(network, holder)
        for via in _ways(network, source, target)
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


def _sources(network: NetworkPlan) -> Iterator[tuple[Source, NetworkNode | None]]:
    for lan in network.offices:
        yield (
            Source(
                name=f"{lan.member}/{lan.office}/{lan.zone}",
                segment="office",
                card=offices.TERMINAL,
                address=offices.terminal_address(lan.prefixes[0]).ip,
                terminal=True,
            ),
            None,
        )
    for node in network.nodes:
        for card in node.interfaces:
            yield (
                Source(name=node.name, segment=card.segment, card=card.name, address=card.address.ip, terminal=False),
                node,
            )


def _own(network: NetworkPlan, node: NetworkNode | None) -> frozenset[IPv4Address]:
    """Return the addresses that a machine has or may take over."""
    if node is None:
        return frozenset()
    held = {vip.address.ip for vip in network.vips if node.name in vip.nodes}
    return frozenset(held | {card.address.ip for card in node.interfaces})


def _ways(network: NetworkPlan, source: Source, target: Target) -> Sequence[str]:
    if source.terminal:
        lan = next(o for o in network.offices if f"{o.member}/{o.office}/{o.zone}" == source.name)
        return (str(offices.router_address(lan.prefixes[0]).ip),)
    if target.segment == source.segment:
        # On management a bridge keeps machines apart, whatever ARP says.
        return (target.mac,) if target.mac else (str(target.address),)
    segment = network.segment_by_name[source.segment]
    if segment.kind == "management":
        return (str(network.stations[segment.site].ip),)
    holders = {n.name for n in network.nodes if n.role == "gateway" and source.name != n.name}
    return tuple(
        str(vip.address.ip) for vip in network.vips if vip.segment == source.segment and set(vip.nodes) <= holders
    )


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

"""How gateways lead to what lies outside the stack: by a routing table for each member, for lines belong to one.

Offices have addresses of their own, so that one table knows the way to each. What lies outside is the same for
everybody: the LGWAN of one member is reached by this member's lines, which the source of a packet decides.
"""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network

from network import gateways
from network.flows import Resolution
from network.model import NetworkNode

FIRST_TABLE = 1000
"""Routing tables are numbered from here, by the ordinal of the hand-off that leads first."""
PRIORITY = 33000
"""Of the policy rules: behind the main table (32766), which knows what is nearer."""
_ORDINAL = 0xFFF
"""The part of a segment's VXLAN identifier that is its ordinal in the stack."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way of one segment's machines to one prefix outside."""

    segment: str
    source: IPv4Network
    """The segment's prefix."""
    prefix: IPv4Network
    hands: tuple[gateways.Attached, ...]
    """The hand-offs of one member that lead there, main lines first."""
    table: int


def ways(resolution: Resolution, gateway: NetworkNode) -> tuple[Way, ...]:
    """Return the ways outside that ``gateway`` knows, by segment and prefix."""
    network = resolution.network
    outside = {prefix for one in network.outsides for prefix in one.prefixes}
    if not outside:
        return ()
    hands = {hand.handoff.segment: hand for hand in gateways.attached(network, gateway)}
    found: dict[tuple[str, IPv4Network], set[str]] = {}
    for accept in resolution.through(gateway):
        sides = (accept.source_segment, accept.source), (accept.target_segment, accept.target)
        for (near, _), (far, prefix) in (sides, sides[::-1]):
            if prefix in outside and far in hands and near not in hands:
                found.setdefault((near, prefix), set()).add(far)
    result: list[Way] = []
    for (segment, prefix), names in sorted(found.items()):
        here = sorted((hands[name] for name in names), key=lambda hand: (hand.line.role != "main", hand.line.name))
        ordinal = network.segment_by_name[here[0].handoff.segment].vni & _ORDINAL
        source = network.segment_by_name[segment].prefix
        way = Way(segment=segment, source=source, prefix=prefix, hands=tuple(here), table=FIRST_TABLE + ordinal)
        result.append(way)
    return tuple(result)

"""Sets of ports as ranges, and accepts that share no packet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from network.flows import Accept
from network.ports import PortRange


def merged(spans: Iterable[PortRange]) -> list[PortRange]:
    """Return the union as ranges that do not touch, sorted; ``spans`` are of one protocol."""
    union: list[PortRange] = []
    for span in sorted(spans):
        if union and span.first <= union[-1].last + 1:
            union[-1] = PortRange(span.protocol, union[-1].first, max(union[-1].last, span.last))
        else:
            union.append(span)
    return union


def minus(spans: Iterable[PortRange], holes: Iterable[PortRange]) -> list[PortRange]:
    """Return ``spans`` without ``holes``; all are of one protocol."""
    left = list(spans)
    for hole in holes:
        left = [
            PortRange(span.protocol, first, last)
            for span in left
            for first, last in (
                (span.first, min(span.last, hole.first - 1)),
                (max(span.first, hole.last + 1), span.last),
            )
            if first <= last
        ]
    return left


def disjoint(accepts: Iterable[Accept]) -> tuple[Accept, ...]:
    """Return accepts that allow the same packets and of which no two share one, sorted.

    The kernel refuses overlapping elements in one set. Ports of equal ends are merged; a prefix inside another one
    keeps the ports that the wider does not have.
    """
    grouped: dict[tuple[str, str, IPv4Address, str], dict[IPv4Network, list[Accept]]] = {}
    for accept in accepts:
        key = (accept.source_segment, accept.target_segment, accept.target, accept.ports.protocol)
        grouped.setdefault(key, {}).setdefault(accept.source, []).append(accept)
    result: list[Accept] = []
    for sources in grouped.values():
        for source, own in sources.items():
            for span in minus(merged(a.ports for a in own), _of_wider(source, sources)):
                labels = sorted({a.flow for a in own if a.ports.overlaps(span)})
                result.append(dataclasses.replace(own[0], ports=span, flow=", ".join(labels)))
    return tuple(sorted(result))


def _of_wider(source: IPv4Network, sources: Mapping[IPv4Network, Iterable[Accept]]) -> list[PortRange]:
    """Return the ports that prefixes around ``source`` have already.

    At most 32 lengths are looked up, and mostly one: a comparison with every other source would grow with its square.
    """
    lengths = {other.prefixlen for other in sources if other.prefixlen < source.prefixlen}
    around = (source.supernet(new_prefix=length) for length in sorted(lengths))
    return [accept.ports for other in around for accept in sources.get(other, ())]

"""Sets of ports as ranges, and accepts that share no packet."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

from network.flows import Accept
from network.ports import PortRange

Ends = tuple[IPv4Network, IPv4Network]
"""Source and target."""


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

    The kernel refuses overlapping elements in one set. Ports of equal ends are merged; ends inside wider ones keep the
    ports that those do not have. No two are each the wider on one side: what is wide is an office or lies outside,
    and its other end is a single address.
    """
    grouped: dict[tuple[str, str, str], dict[Ends, list[Accept]]] = {}
    for accept in accepts:
        key = (accept.source_segment, accept.target_segment, accept.ports.protocol)
        grouped.setdefault(key, {}).setdefault((accept.source, accept.target), []).append(accept)
    result: list[Accept] = []
    for group in grouped.values():
        lengths = (
            sorted({source.prefixlen for source, _ in group}),
            sorted({target.prefixlen for _, target in group}),
        )
        for ends, own in group.items():
            for span in minus(merged(a.ports for a in own), _of_wider(ends, group, lengths)):
                labels = sorted({a.flow for a in own if a.ports.overlaps(span)})
                result.append(dataclasses.replace(own[0], ports=span, flow=", ".join(labels)))
    return tuple(sorted(result))


def beyond(accepts: Iterable[Accept], others: Iterable[Accept]) -> tuple[Accept, ...]:
    """Return ``accepts`` without the packets that ``others`` allow from and to the same or wider ends, sorted."""
    allowed = collections.defaultdict(list)
    for other in others:
        allowed[other.source_segment, other.target_segment, other.ports.protocol].append(other)
    return tuple(
        sorted(
            dataclasses.replace(accept, ports=span)
            for accept in accepts
            for span in minus(
                [accept.ports],
                [
                    other.ports
                    for other in allowed[accept.source_segment, accept.target_segment, accept.ports.protocol]
                    if accept.source.subnet_of(other.source) and accept.target.subnet_of(other.target)
                ],
            )
        )
    )


def _of_wider(
    ends: Ends, group: Mapping[Ends, Iterable[Accept]], lengths: tuple[list[int], list[int]]
) -> list[PortRange]:
    """Return the ports that ends around ``ends`` have already.

    Few lengths occur: a comparison with every other pair would grow with its square.
    """
    source, target = ends
    around = (
        (source.supernet(new_prefix=outer), target.supernet(new_prefix=other))
        for outer in lengths[0]
        if outer <= source.prefixlen
        for other in lengths[1]
        if other <= target.prefixlen
    )
    return [accept.ports for wider in around if wider != ends for accept in group.get(wider, ())]

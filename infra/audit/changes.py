"""What changed between two audits: the packets that each ordered pair of endpoints gained and lost.

The two may be of two declarations (``kumiai audit --against``) or of two levels of one stack. The difference is one of
sets of packets, whatever ranges either side wrote them in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range

from infra.audit import packets
from infra.audit.model import Audit, FlowReference, PacketRange
from infra.audit.packets import (
    DESTINATION,
    FAMILY,
    ICMP_TYPE,
    IPV4,
    IPV6,
    NONE,
    PORT,
    PROTOCOL,
    SOURCE,
    Box,
    Interval,
    Node,
)

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_ICMP = {1, 58}
ANY = "any"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One ordered pair of endpoints whose packets are not the same."""

    source: str
    target: str
    gained: tuple[PacketRange, ...]
    """Pass in the second and not in the first; sorted."""
    lost: tuple[PacketRange, ...]
    flows: tuple[FlowReference, ...]
    """What declares packets of this pair, on either side."""


def changes(before: Audit, after: Audit) -> tuple[Change, ...]:
    """Return the pairs between which not the same packets pass, sorted; pairs that are alike are left out."""
    first, second = _by_pair(before), _by_pair(after)
    found = []
    for source, target in sorted({*first, *second}):
        old, old_flows = first.get((source, target), ((), ()))
        new, new_flows = second.get((source, target), ((), ()))
        if old == new:
            continue
        was, now = as_set(old), as_set(new)
        gained, lost = tuple(as_ranges(now - was)), tuple(as_ranges(was - now))
        if gained or lost:
            flows = tuple(dict.fromkeys((*old_flows, *new_flows)))
            found.append(Change(source=source, target=target, gained=gained, lost=lost, flows=flows))
    return tuple(found)


_Passing = tuple[tuple[PacketRange, ...], tuple[FlowReference, ...]]


def _by_pair(audit: Audit) -> Mapping[tuple[str, str], _Passing]:
    return {
        (pair.source, pair.target): (
            tuple(sorted({one for passing in pair.passing for one in passing.packets})),
            tuple(passing.flow for passing in pair.passing if passing.flow is not None),
        )
        for pair in audit.pairs
    }


def as_set(ranges: Iterable[PacketRange]) -> Node:
    """Return the packets of ``ranges``. ValueError for one that no audit writes."""
    return packets.boxes(box for one in ranges for box in _boxes(one))


def _boxes(one: PacketRange) -> Iterator[Box]:
    family, source = _addresses(one.sources)
    other, destination = _addresses(one.destinations)
    families = {found for found in (family, other) if found is not None} or {IPV4, IPV6}
    if len(families) == 2 and None not in (family, other):
        raise ValueError(f"{one.sources} and {one.destinations} are not of one family")
    for number in sorted(families):
        box: dict[int, Interval] = {FAMILY: (number, number)}
        if one.protocol != ANY:
            protocol = _PROTOCOLS[one.protocol] if one.protocol in _PROTOCOLS else int(one.protocol)
            box[PROTOCOL] = (protocol, protocol)
        if source is not None:
            box[SOURCE] = source
        if destination is not None:
            box[DESTINATION] = destination
        if one.ports != ANY:
            first, _, last = one.ports.partition("-")
            field = ICMP_TYPE if one.protocol in {"icmp", "icmpv6"} else PORT
            box[field] = (int(first), int(last or first))
        yield box


def _addresses(text: str) -> tuple[int | None, Interval | None]:
    """Return family and interval of a prefix, an address, a range or ``any``."""
    if text == ANY:
        return None, None
    if "/" in text:
        network = ip_network(text)
        family = IPV4 if network.version == 4 else IPV6
        return family, (int(network.network_address), int(network.broadcast_address))
    first, _, last = text.partition("-")
    low, high = ip_address(first), ip_address(last or first)
    return IPV4 if low.version == 4 else IPV6, (int(low), int(high))


def as_ranges(found: Node) -> list[PacketRange]:
    """Return ``found`` as people write it, sorted; empty for no packet."""
    if found is NONE:
        return []
    return sorted(_range(box) for box in packets.split(found))


def _range(box: Mapping[int, Interval]) -> PacketRange:
    family = box.get(FAMILY, (IPV4, IPV6))
    low, high = box.get(PROTOCOL, (0, 255))
    protocol = ANY if (low, high) == (0, 255) else _NAMES.get(low, str(low)) if low == high else f"{low}-{high}"
    field = ICMP_TYPE if low == high and low in _ICMP else PORT
    return PacketRange(
        protocol=protocol,
        sources=_words(family, box.get(SOURCE)),
        destinations=_words(family, box.get(DESTINATION)),
        ports=_span(box.get(field)),
    )


def _span(interval: Interval | None) -> str:
    if interval is None or interval in ((0, 65535), (0, 255)):
        return ANY
    return str(interval[0]) if interval[0] == interval[1] else f"{interval[0]}-{interval[1]}"


def _words(family: Interval, interval: Interval | None) -> str:
    if interval is None:
        return ANY
    make = IPv4Address if family[0] == IPV4 else IPv6Address
    low, high = make(interval[0]), make(interval[1])
    if low == high:
        return str(low)
    prefixes = list(summarize_address_range(low, high))  # type: ignore[type-var]  # both are of one family
    return str(prefixes[0]) if len(prefixes) == 1 else f"{low}-{high}"

"""Where two audits of one plan differ: the packets that an ordered pair passes at one level and not at the other.

The difference is one of sets of packets, whatever ranges either level wrote them in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network

from infra.audit import packets, pairs
from infra.audit.model import Audit, Change, PacketRange
from infra.audit.packets import DESTINATION, FAMILY, ICMP_TYPE, IPV4, IPV6, PORT, PROTOCOL, SOURCE, Box, Interval, Node

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
_ANY = "any"


def between(first: Audit, second: Audit) -> tuple[Change, ...]:
    """Return what ``second`` has more (gained) and less (lost) than ``first``; pairs that agree are left out."""
    old, new = _by_pair(first), _by_pair(second)
    found = []
    for source, target in sorted({*old, *new}):
        was, is_now = old.get((source, target), frozenset()), new.get((source, target), frozenset())
        if was == is_now:
            continue
        before, after = as_set(was), as_set(is_now)
        gained, lost = pairs.ranges(after - before), pairs.ranges(before - after)
        if gained or lost:
            found.append(Change(source=source, target=target, gained=gained, lost=lost))
    return tuple(found)


def _by_pair(audit: Audit) -> Mapping[tuple[str, str], frozenset[PacketRange]]:
    return {
        (pair.source, pair.target): frozenset(one for passing in pair.passing for one in passing.packets)
        for pair in audit.pairs
    }


def as_set(ranges: Iterable[PacketRange]) -> Node:
    """Return the packets of ``ranges``; ValueError for one that no audit writes."""
    return packets.boxes(box for one in ranges for box in _boxes(one))


def _boxes(one: PacketRange) -> Iterator[Box]:
    (family, source), (other, destination) = _addresses(one.sources), _addresses(one.destinations)
    families = {found for found in (family, other) if found is not None} or {IPV4, IPV6}
    if None not in (family, other) and family != other:
        raise ValueError(f"{one.sources} and {one.destinations} are not of one family")
    for number in sorted(families):
        box: dict[int, Interval] = {FAMILY: (number, number)}
        if one.protocol != _ANY:
            first, _, last = one.protocol.partition("-")
            low = _PROTOCOLS.get(first) or int(first)
            box[PROTOCOL] = (low, int(last) if last else low)
        if source is not None:
            box[SOURCE] = source
        if destination is not None:
            box[DESTINATION] = destination
        if one.ports != _ANY:
            first, _, last = one.ports.partition("-")
            # Ranges name the type of ICMP for IPv4 only.
            box[ICMP_TYPE if one.protocol == "icmp" else PORT] = (int(first), int(last or first))
        yield box


def _addresses(text: str) -> tuple[int | None, Interval | None]:
    """Return family and interval of a prefix, an address, first and last, or ``any``."""
    if text == _ANY:
        return None, None
    if "/" in text:
        network = ip_network(text)
        first, last = network.network_address, network.broadcast_address
    else:
        low, _, high = text.partition("-")
        first, last = ip_address(low), ip_address(high or low)
    return IPV4 if first.version == 4 else IPV6, (int(first), int(last))

"""Where machines stand: every card on the segment that its machine's work needs, and on no other.

A card on a segment of other members or of another zone joins what is apart, whatever the rules say.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from network.model import MANAGEMENT_INTERFACE, NetworkNode, NetworkPlan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """A card that is not where it must be."""

    node: str
    place: str
    """The segment, or the machine itself."""
    why: str


def misplaced(network: NetworkPlan) -> Iterator[Misplaced]:
    """Yield every card that stands wrongly, and every place where one is missing."""
    standing: dict[str, list[NetworkNode]] = collections.defaultdict(list)
    for node in network.nodes:
        for name in dict.fromkeys(node.segments):
            standing[name].append(node)
    for node in network.nodes:
        yield from _cards(network, node)
        yield from _gateway(network, node, standing) if node.role == "gateway" else _server(network, node)
    yield from _needed(network)


def _cards(network: NetworkPlan, node: NetworkNode) -> Iterator[Misplaced]:
    """What holds for every machine."""
    for name, count in collections.Counter(node.segments).items():
        if count > 1:
            yield Misplaced(node=node.name, place=name, why="it has two cards there")
    for card in node.interfaces:
        segment = network.segment_by_name[card.segment]
        if segment.site != node.site:
            yield Misplaced(node=node.name, place=segment.name, why=f"the machine stands in {node.site}")
        if (segment.kind == "management") != (card.name == MANAGEMENT_INTERFACE):
            yield Misplaced(node=node.name, place=segment.name, why=f"{card.name} is no card for such a segment")
        for address in card.addresses:
            if not any(address.ip in prefix for prefix in segment.prefixes):
                yield Misplaced(node=node.name, place=segment.name, why=f"{address} is none of its addresses")


def _server(network: NetworkPlan, node: NetworkNode) -> Iterator[Misplaced]:
    here = [network.segment_by_name[name] for name in node.segments]
    for segment in here:
        if segment.kind in {"line", "sync"}:
            yield Misplaced(node=node.name, place=segment.name, why="only gateways stand on such a segment")
        if segment.zone is not None and node.zone is not None and segment.zone != node.zone:
            yield Misplaced(node=node.name, place=segment.name, why=f"the machine belongs to zone {node.zone}")
        strangers = set(node.members) - set(segment.members)
        if segment.kind in {"tenant", "service"} and strangers:
            why = f"it serves {', '.join(sorted(strangers))} too"
            yield Misplaced(node=node.name, place=segment.name, why=why)
    if sum(segment.kind in {"tenant", "service"} for segment in here) > 1:
        yield Misplaced(node=node.name, place=node.name, why="it joins two segments and is no gateway")


def _gateway(
    network: NetworkPlan, node: NetworkNode, standing: Mapping[str, Sequence[NetworkNode]]
) -> Iterator[Misplaced]:
    here = [network.segment_by_name[name] for name in node.segments]
    if {"internet"} < {s.zone for s in here if s.kind in {"tenant", "service"}} - {None}:
        yield Misplaced(node=node.name, place=node.name, why="the internet zone has gateways of its own")
    shared = {vip.segment for vip in network.vips if node.name in vip.nodes}
    for segment in here:
        if segment.kind not in {"management", "sync"} and segment.name not in shared:
            yield Misplaced(node=node.name, place=segment.name, why="it shares no virtual address there")
        if segment.kind == "sync":
            for other in (n for n in standing[segment.name] if n.name != node.name):
                for name in sorted({*node.segments} ^ {*other.segments}):
                    why = f"only one of the pair {node.name}, {other.name} stands there"
                    yield Misplaced(node=node.name, place=name, why=why)


def _needed(network: NetworkPlan) -> Iterator[Misplaced]:
    """What services, virtual addresses and hand-offs need."""
    nodes = network.node_by_name
    for endpoint in network.endpoints:
        of_it = (*endpoint.application, *endpoint.database, *endpoint.load_balancer, *endpoint.witness)
        for name in dict.fromkeys(of_it):
            if endpoint.segment not in nodes[name].segments:
                yield Misplaced(node=name, place=endpoint.segment, why=f"{endpoint.name} needs it there")
    for vip in network.vips:
        for name in vip.nodes:
            if vip.segment not in nodes[name].segments:
                yield Misplaced(node=name, place=vip.segment, why=f"it shares the address {vip.address.ip} there")
    standing = {
        (card.segment, address.ip): node.name
        for node in network.nodes
        if node.role == "gateway"
        for card in node.interfaces
        for address in card.addresses
    }
    for line in network.lines:
        for handoff in line.handoffs:
            for address in handoff.local:
                if (handoff.segment, address) not in standing:
                    why = f"no gateway has the address {address} of line {line.name}"
                    yield Misplaced(node=f"line:{handoff.segment}", place=handoff.segment, why=why)

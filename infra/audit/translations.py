"""Addresses that gateways rewrite: which ones the plan's lines declare, and which ones the rules do rewrite.

A rewriting keeps the place of every address within its prefix, so that it is a distance; a set of packets for every
distance says exactly what happens. Rules of passing stand between both rewritings and see everybody's own addresses.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Literal

from infra.audit import expected, packets
from infra.audit.declared import Allowed, inside
from infra.audit.filters import Filtered
from infra.audit.nft.evaluate import NOTHING, Two
from infra.audit.nft.keys import Cards
from infra.audit.nft.model import Rewrite
from infra.audit.packets import DESTINATION, FAMILY, INCOMING, IPV4, NEW, OUTGOING, SOURCE, STATE, Box, Node
from infra.audit.topology import Machine
from network.model import Line, NetworkPlan, shown

Kind = Literal["source", "destination"]
Distance = tuple[Kind, int]
"""Which address is rewritten, and the new one less the old one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Packets of a declared connection that must be rewritten."""

    one: Allowed
    distance: Distance
    packets: Node
    """That open it: before the rewriting of destinations, or behind the filter and before that of sources."""


def distance(kind: Kind, rewrite: Rewrite) -> Distance | None:
    """Return how far ``rewrite`` moves addresses; None where it does anything else."""
    if rewrite.from_prefix is None or rewrite.first is None or rewrite.ports is not None:
        return None
    return kind, rewrite.first - rewrite.from_prefix[0]


def done(filtered: Filtered) -> Mapping[Distance, Two]:
    """Return which packets the rules of a machine rewrite how far."""
    found: dict[Distance, Two] = {}
    for judged in filtered.at("forward").judged:
        for each in judged.translated:
            key = distance(each.kind, each.rewrite)
            if key is not None:
                found[key] = found.get(key, NOTHING) | each.packets
    return found


def effective(filtered: Filtered) -> Mapping[Distance, Node]:
    """Return what of :func:`done` any packet that is passed on ever meets."""
    passing = packets.free(filtered.existing("forward") & packets.box({STATE: (NEW, NEW)}), OUTGOING)
    found: dict[Distance, Node] = {}
    for key, two in done(filtered).items():
        kind, far = key
        opening = two.may
        if kind == "destination":
            after = packets.mapped(opening, functools.partial(_moved, far=far))
            left = packets.free(after, OUTGOING) & passing
            opening = packets.mapped(left, functools.partial(_moved, far=-far))
        if opening:
            found[key] = opening
    return found


def _moved(before: Mapping[int, packets.Interval], far: int) -> Iterable[Box]:
    low, high = before.get(DESTINATION, (0, packets.V4_LAST))
    yield {**before, DESTINATION: (low + far, high + far)}


def lines_by_place(network: NetworkPlan) -> Mapping[str, Line]:
    """Return the line of every hand-off, by where packets of offices are in clear on it."""
    return {inside(handoff): line for line in network.lines for handoff in line.handoffs}


def declared(network: NetworkPlan, machine: Machine, cards: Cards) -> Mapping[Distance, Node]:
    """Return what the lines of a gateway declare: office addresses appear as others behind it, services before it."""
    lines = lines_by_place(network)
    found: dict[Distance, list[Box]] = {}

    def add(kind: Kind, card: Box, old: IPv4Network, new: IPv4Network) -> None:
        side = SOURCE if kind == "source" else DESTINATION
        box = {**card, FAMILY: (IPV4, IPV4), side: (int(old[0]), int(old[-1]))}
        found.setdefault((kind, int(new[0]) - int(old[0])), []).append(box)

    inner = [cards.number(card.name) for card in machine.cards if card.segment not in lines]
    for card in machine.cards:
        line, number = lines.get(card.segment), cards.number(card.name)
        for t in line.destinations if line else ():
            add("destination", {INCOMING: (number, number)}, t.outside, t.inside)
            add("source", {OUTGOING: (number, number)}, t.inside, t.outside)
        for t in line.sources if line else ():
            add("source", {INCOMING: (number, number)}, t.inside, t.outside)
            for other in inner:
                add("destination", {INCOMING: (other, other)}, t.outside, t.inside)
    return {key: packets.boxes(parts) for key, parts in found.items()}


def needed(network: NetworkPlan, machine: Machine, cards: Cards, allowed: Iterable[Allowed]) -> Iterator[Needed]:
    """Yield what of the declared connections through a gateway must be rewritten."""
    if not any(line.sources or line.destinations for line in network.lines):
        return
    lines = lines_by_place(network)
    for one in allowed:
        out = machine.card_on(one.target_segment)
        if not machine.forwards or not one.crosses or one.target is None or out is None:
            continue
        for segment in one.source_segments:
            came = machine.card_on(segment)
            if came is not None:
                where = (cards.number(came.name), cards.number(out.name))
                yield from _needed(one, one.target, where, lines.get(segment), lines.get(one.target_segment))


def _needed(
    one: Allowed, target: IPv4Network, where: tuple[int, int], before: Line | None, behind: Line | None
) -> Iterator[Needed]:
    came, out = where
    asked = target
    if before is not None:
        asked = shown(before.destinations, target)
    elif behind is not None:
        asked = shown(behind.sources, target)
    if asked != target:
        to = {STATE: (NEW, NEW), INCOMING: (came, came), OUTGOING: (0, 0)}
        to[DESTINATION] = (int(asked[0]), int(asked[-1]))
        parts = packets.boxes({**box, **to} for box in expected.opened(one))
        yield Needed(one=one, distance=("destination", int(target[0]) - int(asked[0])), packets=parts)
    declared_ = before.sources if before is not None else behind.destinations if behind is not None else ()
    for source in one.sources:
        seen = shown(declared_, source)
        if seen != source:
            from_ = dataclasses.replace(one, sources=(source,))
            sides = {STATE: (NEW, NEW), INCOMING: (came, came), OUTGOING: (out, out)}
            parts = packets.boxes({**box, **sides} for box in expected.opened(from_))
            yield Needed(one=one, distance=("source", int(seen[0]) - int(source[0])), packets=parts)

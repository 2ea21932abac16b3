"""All machines with their rules against the plan: each kind of machine judged once, and each difference where it is."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Hashable, Iterator, Mapping, Sequence

from infra.audit import alike, filters, pairs
from infra.audit.alike import Shape
from infra.audit.compare import Compared, Comparison
from infra.audit.declared import Allowed
from infra.audit.filters import Filtered
from infra.audit.model import Level, Listing, Missing, UnusedRule, Violation
from infra.audit.nft import read
from infra.audit.nft.keys import Cards
from infra.audit.topology import Machine, Topology


@dataclasses.dataclass(kw_only=True)
class Judged:
    """What was found, and what opens connections at each machine."""

    violations: list[Violation] = dataclasses.field(default_factory=list)
    missing: list[Missing] = dataclasses.field(default_factory=list)
    unused: list[UnusedRule] = dataclasses.field(default_factory=list)
    opened: dict[str, pairs.Opening] = dataclasses.field(default_factory=dict)
    unread: dict[str, str] = dataclasses.field(default_factory=dict)
    """Machine → why its rules could not be examined."""
    packet_classes: int = 0
    rules: int = 0


def judge(
    topology: Topology,
    by_machine: Mapping[str, Sequence[Allowed]],
    listings: Mapping[str, Listing],
    level: Level,
    now: datetime.datetime | None,
) -> Judged:
    """Compare every machine with what is declared for it.

    One that is like another one without any difference has none either.
    """
    every = _Machines(topology, listings, now)
    comparison = Comparison(topology, level, every, by_machine)
    translates = any(line.sources or line.destinations for line in topology.network.lines)
    result = Judged()
    known: dict[Hashable, _Clean] = {}
    for name, machine in topology.machines.items():
        listing = listings.get(name)
        alone = listing is None or listing.text is None or (machine.forwards and translates)
        shape = None if alone else alike.shape(machine, every.text(name), by_machine.get(name, ()))
        clean = known.get(shape.key) if shape else None
        if shape is not None and clean is not None:
            result.opened[name] = clean.opened_as(machine, shape)
            result.packet_classes += clean.compared.packet_classes
            result.rules += clean.rules
            continue
        one = every.get(name)
        if one is None:
            result.unread[name] = every.unread[name]
            continue
        compared, result.opened[name] = comparison.machine(name), pairs.opening(one)
        result.violations += compared.violations
        result.missing += compared.missing
        result.unused += compared.unused
        result.packet_classes += compared.packet_classes
        result.rules += one.ruleset.rules
        if shape is not None and not (compared.violations or compared.missing or compared.unused):
            known[shape.key] = _Clean(
                shape=shape, opened=result.opened[name], compared=compared, rules=one.ruleset.rules
            )
    return result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Clean:
    """A machine without any difference, for those that are like it."""

    shape: Shape
    opened: pairs.Opening
    compared: Compared
    rules: int

    def opened_as(self, machine: Machine, shape: Shape) -> pairs.Opening:
        """Return what opens connections at ``machine``, which has ``shape``."""
        taken, passed, sent = (
            alike.moved(node, self.shape, shape) for node in (self.opened.taken, self.opened.passed, self.opened.sent)
        )
        cards = Cards(card.name for card in machine.cards)
        return pairs.Opening(machine=machine, cards=cards, taken=taken, passed=passed, sent=sent)


class _Machines(Mapping[str, Filtered]):
    """Machines with their rules, each read when it is asked for; those that cannot be read are not there."""

    def __init__(self, topology: Topology, listings: Mapping[str, Listing], now: datetime.datetime | None) -> None:
        self._topology, self._listings, self._now = topology, listings, now
        self._read: dict[str, Filtered] = {}
        self.unread: dict[str, str] = {}

    def text(self, name: str) -> str:
        """Return the listing of a machine; KeyError where there is none."""
        listing = self._listings.get(name)
        if listing is None or listing.text is None:
            self.unread[name] = listing.reason if listing else "nobody read its rules"
            raise KeyError(name)
        return listing.text

    def __getitem__(self, name: str) -> Filtered:
        if name not in self._read:
            machine, text = self._topology.machines[name], self.text(name)
            cards = Cards(card.name for card in machine.cards)
            try:
                self._read[name] = filters.filtered(machine, read.read(text, cards, self._now), cards)
            except read.UnreadableError as e:
                self.unread[name] = str(e)
                raise KeyError(name) from None
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._topology.machines)

    def __len__(self) -> int:
        return len(self._topology.machines)

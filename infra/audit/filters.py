"""What the rules of one machine let pass: between its cards, to itself and from itself."""

from __future__ import annotations

import dataclasses
from typing import Literal

from infra.audit import expected, packets
from infra.audit.nft import evaluate
from infra.audit.nft.evaluate import Judged, Two
from infra.audit.nft.keys import Cards
from infra.audit.nft.model import Problem, Rule, Ruleset
from infra.audit.packets import (
    ESTABLISHED,
    FAMILY,
    INCOMING,
    IPV4,
    IPV6,
    NEW,
    NONE,
    OUTGOING,
    RELATED,
    STATE,
    Node,
)
from infra.audit.topology import Machine

Place = Literal["forward", "input", "output"]
PLACES: tuple[Place, ...] = ("forward", "input", "output")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One place of a machine with everything that a packet meets on the way to it and from it."""

    place: Place
    arriving: Node
    """Everything that can come here, whatever filters there are."""
    passing: Two
    """What leaves the last filter, with addresses as they are at :attr:`place`."""
    judged: tuple[Judged, ...]
    """Hooks in the order of the packet."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A machine with its rules judged."""

    machine: Machine
    cards: Cards
    ruleset: Ruleset
    filters: tuple[Filter, ...]
    problems: tuple[Problem, ...]

    def at(self, place: Place) -> Filter:
        """Return the filter at ``place``."""
        return next(found for found in self.filters if found.place == place)

    def existing(self, place: Place) -> Node:
        """Return what may pass at ``place`` without the packets that belong to no connection that anybody can have.

        A connection that is passed on was opened by a packet that may pass here, and its packets go where routes lead,
        whatever rules would let pass. What a machine takes in may answer
        what it sent, and the other way round; there only the family is compared.
        """
        passing = self.at(place).passing.may
        following = packets.box({STATE: (ESTABLISHED, RELATED)})
        lo = self.cards.number("lo")
        inside = packets.boxes([{INCOMING: (lo, lo)}, {OUTGOING: (lo, lo)}])
        for family in (IPV4, IPV6):
            opening = packets.box({STATE: (NEW, NEW), FAMILY: (family, family)})
            if not any((one.passing.may & opening) - inside for one in self.filters):
                passing = passing - (following & packets.box({FAMILY: (family, family)}))
        if place == "forward":
            established = packets.box({STATE: (ESTABLISHED, ESTABLISHED)})
            routed = expected.routed(self.machine, self.cards)
            opened = passing & packets.box({STATE: (NEW, NEW)}) & routed
            passing = (passing - established) | (passing & established & expected.answers(opened) & routed)
        return passing

    def reached(self) -> dict[Rule, Node]:
        """Return, for each rule, the packets that may match it."""
        found: dict[Rule, Node] = {}
        for one in self.filters:
            for judged in one.judged:
                for rule, reached in judged.reached.items():
                    found[rule] = found.get(rule, NONE) | reached
        return found


def filtered(machine: Machine, ruleset: Ruleset, cards: Cards) -> Filtered:
    """Judge ``ruleset``, which was read with ``cards``, on ``machine``."""
    names = [cards.number(card.name) for card in machine.cards]
    lo = cards.number("lo")
    any_in = packets.boxes({INCOMING: (n, n)} for n in names)
    any_out = packets.boxes({OUTGOING: (n, n)} for n in names)
    none_in, none_out = packets.box({INCOMING: (0, 0)}), packets.box({OUTGOING: (0, 0)})
    lo_in, lo_out = packets.box({INCOMING: (lo, lo)}), packets.box({OUTGOING: (lo, lo)})
    can_be = expected.possible()
    problems = list(ruleset.problems)

    to_come, to_send = can_be & (any_in | lo_in) & none_out, can_be & none_in & (any_out | lo_out)
    before = evaluate.judge(ruleset, "prerouting", to_come)
    taken_in = evaluate.judge(ruleset, "input", before.accepted.may)
    to_pass = packets.free(before.accepted.may, OUTGOING) & any_in & any_out
    passed = evaluate.judge(ruleset, "forward", to_pass)
    after = evaluate.judge(ruleset, "postrouting", passed.accepted.may)
    sent = evaluate.judge(ruleset, "output", to_send)
    after_sent = evaluate.judge(ruleset, "postrouting", sent.accepted.may)
    if any(chain.kind == "filter" for chain in ruleset.base("postrouting")) and after.translated:
        problems.append(Problem(place=machine.name, reason="filters behind the translation of sources (postrouting)"))
    if sent.translated:
        problems.append(Problem(place=machine.name, reason="translation of what the machine itself sends"))
    return Filtered(
        machine=machine,
        cards=cards,
        ruleset=ruleset,
        filters=(
            Filter(
                place="forward",
                arriving=can_be & any_in & any_out,
                passing=_both(_then(before, passed.accepted, OUTGOING), after),
                judged=(before, passed, after),
            ),
            Filter(
                place="input", arriving=to_come, passing=_then(before, taken_in.accepted), judged=(before, taken_in)
            ),
            Filter(
                place="output", arriving=to_send, passing=_both(sent.accepted, after_sent), judged=(sent, after_sent)
            ),
        ),
        problems=tuple(problems),
    )


def _then(before: Judged, accepted: Two, *freed: int) -> Two:
    """Return what a later hook accepts, surely only what was surely accepted before it."""
    if before.accepted.may is before.accepted.surely:
        return accepted
    surely = packets.free(before.accepted.surely, *freed) if freed else before.accepted.surely
    return Two(may=accepted.may, surely=accepted.surely & surely)


def _both(accepted: Two, after: Judged) -> Two:
    """Return what of ``accepted`` also leaves postrouting, with addresses as they were before it."""
    if not after.chains:
        return accepted
    if not after.translated:
        return Two(may=after.accepted.may, surely=accepted.surely & after.accepted.surely)
    dropped = NONE
    for decision in after.decisions:
        if decision.kind == "drop":
            dropped = dropped | decision.packets
    return Two(may=accepted.may, surely=accepted.surely - dropped)

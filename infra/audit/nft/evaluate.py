"""What a rule set does with every packet at once.

Two sets go through the rules side by side: the packets that *may* come this far, and those that *surely* do. They are
the same until something cannot be told (a limit, an expression that is not judged). What may be accepted is compared
with what is allowed; what is surely accepted, with what must pass.

A packet meets all base chains of a hook in the order of their priorities, whatever their table. Accepting ends one
base chain only; dropping is final.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Literal

from infra.audit import packets
from infra.audit.nft.model import (
    Chain,
    Hook,
    Match,
    Rewrite,
    Rule,
    Ruleset,
    Sometimes,
    Translation,
    Unknown,
    Verdict,
    VerdictMap,
)
from infra.audit.packets import (
    DESTINATION,
    FAMILY,
    INVALID,
    IPV4,
    IPV6,
    NEW,
    NONE,
    PORT,
    SOURCE,
    SOURCE_PORT,
    STATE,
    Box,
    Interval,
    Node,
)

_CONNTRACK = -200
"""Priority at which connection tracking looks at a packet (NF_IP_PRI_CONNTRACK); before, its state is "invalid"."""
_FAMILIES: Mapping[str, Node] = {
    "ip": packets.box({FAMILY: (IPV4, IPV4)}),
    "ip6": packets.box({FAMILY: (IPV6, IPV6)}),
    "inet": packets.ALL,
}
MOST_DEPTH = 16
"""The kernel allows as many jumps one inside the other (NFT_JUMP_STACK_SIZE)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Packets that may be somewhere, and those that surely are."""

    may: Node
    surely: Node

    def __or__(self, other: Two) -> Two:
        return Two(may=self.may | other.may, surely=self.surely | other.surely)

    def __and__(self, packets_: Node) -> Two:
        if self.may is self.surely:
            found = self.may & packets_
            return Two(may=found, surely=found)
        return Two(may=self.may & packets_, surely=self.surely & packets_)

    def __bool__(self) -> bool:
        return bool(self.may)


NOTHING = Two(may=NONE, surely=NONE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided about which packets."""

    kind: Literal["accept", "drop"]
    by: Rule | Chain
    """A rule, or a base chain by its policy."""
    packets: Node
    """That it may have decided about."""

    @property
    def name(self) -> str:
        """The rule, or the policy, as a person finds it."""
        if isinstance(self.by, Rule):
            return self.by.name
        return f"{self.by.full_name}: policy {self.by.policy}"

    def element_of(self, packet: Mapping[int, int]) -> str | None:
        """Return the set element by which the rule took ``packet``, where there is one."""
        if isinstance(self.by, Rule):
            for statement in self.by.statements:
                if isinstance(statement, Match) and len(statement.elements) > 1:
                    for element in statement.elements:
                        if element.holds(packet):
                            return element.text
        return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Translated:
    """New connections whose addresses a rule changes."""

    by: Rule
    kind: Literal["source", "destination"]
    packets: Two
    """Before the change."""
    rewrite: Rewrite
    own_address: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one hook does."""

    accepted: Two
    """After a translation, where there is one."""
    decisions: tuple[Decision, ...]
    translated: tuple[Translated, ...]
    reached: Mapping[Rule, Node]
    """Rule → the packets that may match it."""
    chains: int
    """Base chains at the hook; with none, everything passes."""

    def decided(self, kind: Literal["accept", "drop"], packet: Mapping[int, int]) -> Decision | None:
        """Return who decided about one packet; the last one for an accept, since every base chain has to."""
        found = [
            decision
            for decision in self.decisions
            if decision.kind == kind and packets.contains(decision.packets, _complete(packet))
        ]
        return found[-1] if found else None


def _complete(packet: Mapping[int, int]) -> Mapping[int, int]:
    return {field: packet.get(field, 0) for field in range(len(packets.FIELDS))}


def judge(ruleset: Ruleset, hook: Hook, arriving: Node) -> Judged:
    """Return what the base chains at ``hook`` do with the packets of ``arriving``."""
    current = Two(may=arriving, surely=arriving)
    decisions: list[Decision] = []
    translated: list[Translated] = []
    reached: dict[Rule, Node] = {}
    chains = ruleset.base(hook)
    for chain in chains:
        early = hook in {"prerouting", "output"} and chain.priority < _CONNTRACK
        walk = _Walk(ruleset, chain, reached)
        seen = _FAMILIES[chain.family]
        inside, beside = current & seen, Two(may=current.may - seen, surely=current.surely - seen)
        if chain.kind == "nat":
            # Only the packet that opens a connection meets these; the others are translated as it was.
            opening = packets.box({STATE: (NEW, NEW)})
            beside = beside | Two(may=inside.may - opening, surely=inside.surely - opening)
            inside = inside & opening
        accepted = _blind(walk, inside) if early else walk.through(inside)
        decisions += walk.decisions
        translated += walk.translated
        current = accepted | beside
        for done in walk.translated:
            current = current | _changed(done)
    return Judged(
        accepted=current,
        decisions=tuple(decisions),
        translated=tuple(translated),
        reached=reached,
        chains=len(chains),
    )


def _blind(walk: _Walk, arriving: Two) -> Two:
    """Judge packets whose connection nobody knows yet: the chain sees state "invalid", whatever they will be."""
    accepted = NOTHING
    for state in range(packets.UNTRACKED + 1):
        here, there = packets.box({STATE: (state, state)}), packets.box({STATE: (INVALID, INVALID)})
        mine = arriving & here
        seen = Two(may=packets.free(mine.may, STATE) & there, surely=packets.free(mine.surely, STATE) & there)
        left = walk.through(seen)
        accepted = accepted | (Two(may=packets.free(left.may, STATE), surely=packets.free(left.surely, STATE)) & here)
    return accepted


class _Walk:
    """The way of packets through one base chain and those that it jumps to."""

    def __init__(self, ruleset: Ruleset, base: Chain, reached: dict[Rule, Node]) -> None:
        self._ruleset, self._base, self._reached = ruleset, base, reached
        self._accepted = NOTHING
        self.decisions: list[Decision] = []
        self.translated: list[Translated] = []

    def through(self, arriving: Two) -> Two:
        """Return what the base chain accepts of ``arriving``, without what it translates."""
        self._accepted = NOTHING
        left = self._chain(self._base, arriving, 0)
        if left:
            self._decide(self._base.policy, self._base, left)
        return self._accepted

    def _decide(self, kind: Literal["accept", "drop"], by: Rule | Chain, decided: Two) -> None:
        if decided:
            self.decisions.append(Decision(kind=kind, by=by, packets=decided.may))
            if kind == "accept":
                self._accepted = self._accepted | decided

    def _chain(self, chain: Chain, arriving: Two, depth: int) -> Two:
        """Return what comes back from ``chain``: at its end or by a return."""
        current, returned = arriving, NOTHING
        for rule in chain.rules:
            if not current:
                break
            current, back = self._rule(rule, current, depth)
            returned = returned | back
        return current | returned

    def _rule(self, rule: Rule, arriving: Two, depth: int) -> tuple[Two, Two]:
        """Return what goes on to the next rule, and what leaves the chain upwards."""
        here, passed_by, returned = arriving, NOTHING, NOTHING
        for statement in rule.statements:
            if not here:
                break
            match statement:
                case Match():
                    passed_by = passed_by | _without(here, statement)
                    here = _with(here, statement)
                case Sometimes():
                    passed_by = passed_by | Two(may=here.may, surely=NONE)
                    here = Two(may=here.may, surely=NONE)
                case Unknown():
                    self._decide("accept", rule, Two(may=here.may, surely=NONE))
                    here = Two(may=here.may, surely=NONE)
                case Verdict():
                    self._note(rule, here)
                    on, back = self._verdict(rule, statement, here, depth)
                    return passed_by | on, returned | back
                case VerdictMap():
                    rest = here
                    for match, verdict in statement.cases:
                        case = _with(here, match)
                        rest = _without(rest, match)
                        if case:
                            self._note(rule, case)
                            on, back = self._verdict(rule, verdict, case, depth)
                            passed_by, returned = passed_by | on, returned | back
                    here = rest
                case Translation():
                    here = self._translate(rule, statement, here)
        self._note(rule, here)
        return passed_by | here, returned

    def _verdict(self, rule: Rule, verdict: Verdict, here: Two, depth: int) -> tuple[Two, Two]:
        match verdict.kind:
            case "accept" | "drop":
                self._decide(verdict.kind, rule, here)
                return NOTHING, NOTHING
            case "return":
                return NOTHING, here
            case "continue":
                return here, NOTHING
        if depth >= MOST_DEPTH:
            return here, NOTHING  # no kernel holds such rules
        target = self._ruleset.chains[self._base.family, self._base.table, verdict.target or ""]
        back = self._chain(target, here, depth + 1)
        return (back, NOTHING) if verdict.kind == "jump" else (NOTHING, back)

    def _translate(self, rule: Rule, statement: Translation, here: Two) -> Two:
        """Take out what is translated; return the rest, which goes on."""
        rest = here
        for rewrite in statement.rewrites:
            mine = _with(rest, rewrite.match)
            rest = _without(rest, rewrite.match)
            if mine:
                self._note(rule, mine)
                self.decisions.append(Decision(kind="accept", by=rule, packets=mine.may))
                self.translated.append(
                    Translated(
                        by=rule,
                        kind=statement.kind,
                        packets=mine,
                        rewrite=rewrite,
                        own_address=statement.own_address,
                    )
                )
        return rest

    def _note(self, rule: Rule, here: Two) -> None:
        if here:
            self._reached[rule] = self._reached.get(rule, NONE) | here.may


def _with(here: Two, match: Match) -> Two:
    if match.surely is match.maybe:
        return here & match.maybe
    return Two(may=here.may & match.maybe, surely=here.surely & match.surely)


def _without(here: Two, match: Match) -> Two:
    if here.may is here.surely and match.surely is match.maybe:
        found = here.may - match.maybe
        return Two(may=found, surely=found)
    return Two(may=here.may - match.surely, surely=here.surely - match.maybe)


def _changed(done: Translated) -> Two:
    """Return the packets of a translation as they are afterwards."""
    if done.own_address:
        # Which address it becomes is decided by the card: any of them may be, none surely is.
        side = SOURCE if done.kind == "source" else DESTINATION
        return Two(may=packets.free(done.packets.may, side, PORT, SOURCE_PORT), surely=NONE)
    change = functools.partial(rewritten, kind=done.kind, rewrite=done.rewrite)
    may = packets.mapped(done.packets.may, change)
    surely = may if done.packets.may is done.packets.surely else packets.mapped(done.packets.surely, change)
    certain = done.rewrite.first == done.rewrite.last or done.rewrite.from_prefix is not None
    return Two(may=may, surely=surely if certain or done.rewrite.first is None else NONE)


def rewritten(before: Mapping[int, Interval], *, kind: str, rewrite: Rewrite) -> Iterable[Box]:
    """Yield what packets of one box are after a rewrite."""
    side, port = (SOURCE, SOURCE_PORT) if kind == "source" else (DESTINATION, PORT)
    after = dict(before)
    if rewrite.from_prefix is not None and rewrite.first is not None:
        family = before.get(FAMILY, (IPV4, IPV4))[0]
        low, high = before.get(side, (0, packets.last_of(side, family)))
        moved = rewrite.first - rewrite.from_prefix[0]
        after[side] = (max(low, rewrite.from_prefix[0]) + moved, min(high, rewrite.from_prefix[1]) + moved)
    elif rewrite.first is not None and rewrite.last is not None:
        after[side] = (rewrite.first, rewrite.last)
    if rewrite.ports is not None:
        after[port] = rewrite.ports
    yield after

"""Rules against the plan, machine by machine: what passes and is not declared, what is declared and does not pass.

Each filter is compared for itself, as strictly as if no other stood behind it. Only how bad a difference is depends on
the others: whether a packet comes through to somebody, or is held back further on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from infra.audit import expected, packets, translations
from infra.audit.declared import Allowed
from infra.audit.expected import Expected
from infra.audit.filters import Filter, Filtered, Place
from infra.audit.model import (
    FlowReference,
    Level,
    Missing,
    Packet,
    Severity,
    State,
    UnusedRule,
    Violation,
    ViolationKind,
    protocol_name,
)
from infra.audit.nft import evaluate
from infra.audit.nft.model import Match, Rule
from infra.audit.packets import (
    DESTINATION,
    FAMILY,
    ICMP_TYPE,
    INCOMING,
    INVALID,
    IPV6,
    NEW,
    NONE,
    OUTGOING,
    PORT,
    PROTOCOL,
    SOURCE,
    SOURCE_PORT,
    STATE,
    UNTRACKED,
    Node,
)
from infra.audit.topology import Topology

_STATES: Mapping[int, State] = {0: "new", 1: "established", 2: "related", 3: "invalid", 4: "untracked"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The differences of one machine."""

    violations: tuple[Violation, ...]
    missing: tuple[Missing, ...]
    unused: tuple[UnusedRule, ...]
    packet_classes: int


class Comparison:
    """All machines of a plan with their rules, compared one after the other."""

    def __init__(
        self,
        topology: Topology,
        level: Level,
        filtered: Mapping[str, Filtered],
        allowed: Mapping[str, Sequence[Allowed]],
    ) -> None:
        """``allowed`` is what is declared, by machine."""
        self._topology, self._level, self._filtered, self._allowed = topology, level, filtered, allowed

    def machine(self, name: str) -> Compared:
        """Return the differences of one machine."""
        one = self._filtered[name]
        mine = self._allowed.get(name, ())
        violations: list[Violation] = [self._cannot_judge(one, p.place, p.reason) for p in one.problems]
        violations += self._translations(one)
        missing: list[Missing] = list(self._untranslated(one, mine))
        classes = 0
        wanted_at: tuple[tuple[Place, Expected], ...] = (
            ("forward", expected.through(one.machine, mine, one.cards)),
            ("input", expected.into(one.machine, mine, one.cards)),
            ("output", expected.out_of(one.machine, mine, one.cards)),
        )
        for place, wanted in wanted_at:
            found = one.at(place)
            classes += packets.count_boxes(found.passing.may) + packets.count_boxes(found.arriving - found.passing.may)
            violations += self._too_much(one, found, wanted)
            missing += self._too_little(one, found, wanted)
        return Compared(
            violations=tuple(violations),
            missing=tuple(missing),
            unused=tuple(_unused(one)),
            packet_classes=classes,
        )

    # what passes and should not

    def _too_much(self, one: Filtered, found: Filter, wanted: Expected) -> Iterator[Violation]:
        extra = one.existing(found.place) - wanted.allowed
        for state, incoming, outgoing, rest in _by_cards(extra):
            yield self._violation(one, found, (state, incoming, outgoing), rest, wanted)

    def _violation(
        self, one: Filtered, found: Filter, where: tuple[int, int, int], rest: Node, wanted: Expected
    ) -> Violation:
        state, incoming, outgoing = where
        cards = {card.name: card for card in one.machine.cards}
        came = cards.get(one.cards.name(incoming)) if incoming else None
        went = cards.get(one.cards.name(outgoing)) if outgoing else None
        severity, held, picked = self._worst(one, found.place, where, rest)
        values = {STATE: state, INCOMING: incoming, OUTGOING: outgoing, **picked}
        if state in {INVALID, UNTRACKED} and not _with_state(rest, where, NEW) - wanted.allowed:
            severity, held = "minor", " in this state; what opens such a connection is declared"
        packet = concrete(values)
        family = values.get(FAMILY, 0)
        source = self._topology.who(came.segment, values.get(SOURCE, 0), family) if came else one.machine.name
        target = self._topology.who(went.segment, values.get(DESTINATION, 0), family) if went else one.machine.name
        decision = next((d for j in reversed(found.judged) if (d := j.decided("accept", values))), None)
        element = decision.element_of(values) if decision else None
        rule = f"{one.machine.name}: {decision.name if decision else 'no rule filters here'}"
        rule += f", element {element}" if element else ""
        path = [source, *([f"{came.name} ({came.segment})"] if came else []), f"{one.machine.name} {found.place}"]
        path += [f"{went.name} ({went.segment})", target] if went else []
        kind: ViolationKind = "ipv6" if family == IPV6 else "not_declared"
        if kind == "not_declared" and source.startswith(("line:", "segment:")):
            kind = "spoofable"
        return Violation(
            kind=kind,
            severity=severity,
            level=self._level,
            source=source,
            target=target,
            packet=packet,
            path=tuple(path),
            rule=rule,
            reason=f"passes, and no declared flow allows it{held}",
        )

    def _worst(  # noqa: PLR0911 - one line a case
        self, one: Filtered, place: Place, where: tuple[int, int, int], rest: Node
    ) -> tuple[Severity, str, Mapping[int, int]]:
        """Return how bad ``rest`` is, what holds it back, and the packet that shows it best."""
        state, _, outgoing = where
        if place != "forward":
            local = packets.boxes({FAMILY: (0, 0), DESTINATION: (int(a), int(a))} for a in one.machine.addresses)
            here = rest & local if place == "input" else rest
            return "critical", "", packets.pick(here or rest)
        if not one.machine.forwards:
            return "minor", "; the machine is no router, so that its kernel holds it back", packets.pick(rest)
        routed = packets.select(expected.routed(one.machine, one.cards), OUTGOING, outgoing)
        leads = rest & routed
        if not leads:
            return "minor", "; no route leads there, which alone holds it back", packets.pick(rest)
        segment = next(c.segment for c in one.machine.cards if one.cards.number(c.name) == outgoing)
        beyond = leads
        for other in self._topology.machines_by_segment.get(segment, ()):
            theirs, card = self._filtered.get(other.name), other.card_on(segment)
            if other.name == one.machine.name or theirs is None or card is None:
                continue
            at = packets.boxes({FAMILY: (0, 0), DESTINATION: (int(a), int(a))} for a in card.addresses)
            number = theirs.cards.number(card.name)
            taken = theirs.at("input").passing.may
            taken = packets.select(packets.select(packets.select(taken, STATE, state), INCOMING, number), OUTGOING, 0)
            through = leads & at & taken
            if through:
                return "critical", f"; {other.name} takes it in", packets.pick(through)
            beyond = beyond - at
        if beyond and segment in self._topology.lines:
            return "critical", "", packets.pick(beyond)
        if beyond:
            return "major", "; the address belongs to nobody today", packets.pick(leads - beyond or beyond)
        return "major", "; only the filter of the receiver holds it back", packets.pick(leads)

    def _translations(self, one: Filtered) -> Iterator[Violation]:
        """Name every rewriting of addresses that no line of the plan declares."""
        declared = translations.declared(self._topology.network, one.machine, one.cards)
        done = {d for judged in one.at("forward").judged for d in judged.translated}
        for each in sorted(done, key=lambda d: (d.by.name, d.rewrite.first or 0)):
            key = translations.distance(each.kind, each.rewrite)
            extra = each.packets.may - (declared.get(key, NONE) if key else NONE)
            if not extra:
                continue
            part = next(packets.split(extra))
            before = {field: low for field, (low, _) in part.items()}
            after = next(iter(evaluate.rewritten(part, kind=each.kind, rewrite=each.rewrite)))
            then = concrete({field: low for field, (low, _) in after.items()})
            incoming = one.cards.name(before.get(INCOMING, 0))
            card = next((card for card in one.machine.cards if card.name == incoming), None)
            family = before.get(FAMILY, 0)
            source = self._topology.who(card.segment, before.get(SOURCE, 0), family) if card else one.machine.name
            yield Violation(
                kind="translation",
                severity="critical",
                level=self._level,
                source=source,
                target=then.destination,
                packet=dataclasses.replace(concrete(before), translated=then),
                path=(source, f"{one.machine.name} {'prerouting' if each.kind == 'destination' else 'postrouting'}"),
                rule=f"{one.machine.name}: {each.by.name}",
                reason=f"the {each.kind} is rewritten, and no line of the plan declares it",
            )

    def _untranslated(self, one: Filtered, mine: Sequence[Allowed]) -> Iterator[Missing]:
        """Name declared connections whose addresses are not rewritten as their line declares."""
        done = translations.done(one)
        for each in translations.needed(self._topology.network, one.machine, one.cards, mine):
            kind, far = each.distance
            lacking = each.packets - done.get(each.distance, evaluate.NOTHING).surely
            if not lacking:
                continue
            before = packets.pick(lacking)
            side = SOURCE if kind == "source" else DESTINATION
            then = concrete({**before, side: before[side] + far})
            hook = "postrouting" if kind == "source" else "prerouting"
            yield Missing(
                level=self._level,
                flow=each.one.flow,
                packet=dataclasses.replace(concrete(before), translated=then),
                path=(each.one.flow.source, f"{one.machine.name} {hook}", each.one.flow.target),
                rule=None,
                reason=f"its line declares that the {kind} is rewritten so, and no rule surely does",
            )

    # what should pass and does not

    def _too_little(self, one: Filtered, found: Filter, wanted: Expected) -> Iterator[Missing]:
        lacking = (wanted.required & found.arriving) - found.passing.surely
        if not lacking:
            return
        for allowed in wanted.details:
            part = wanted.part(allowed) & lacking
            if part:
                lacking = lacking - part
                yield self._missing(one, found, allowed, part)
        if lacking:
            yield self._missing(one, found, None, lacking)

    def _missing(self, one: Filtered, found: Filter, allowed: Allowed | None, lacking: Node) -> Missing:
        values = packets.pick(lacking)
        decision = next((d for j in found.judged if (d := j.decided("drop", values))), None)
        flow = allowed.flow if allowed else _loopback_of(one.machine.name)
        return Missing(
            level=self._level,
            flow=flow,
            packet=concrete(values),
            path=(flow.source, f"{one.machine.name} {found.place}", flow.target),
            rule=f"{one.machine.name}: {decision.name}" if decision else None,
            reason="declared, and does not pass" if decision else "declared, and nobody can say that it always passes",
        )

    def _cannot_judge(self, one: Filtered, place: str, reason: str) -> Violation:
        return Violation(
            kind="cannot_judge",
            severity="critical",
            level=self._level,
            source=one.machine.name,
            target=one.machine.name,
            packet=None,
            path=(one.machine.name,),
            rule=f"{one.machine.name}: {place}",
            reason=f"cannot be judged: {reason}",
        )


def _loopback_of(name: str) -> FlowReference:
    return FlowReference(source=name, target=name, kind="loopback", reason="機器内部の通信")


def _with_state(rest: Node, where: tuple[int, int, int], state: int) -> Node:
    """Return packets of one pair of cards, in another state."""
    return rest & packets.box({STATE: (state, state), INCOMING: (where[1],) * 2, OUTGOING: (where[2],) * 2})


def _by_cards(extra: Node) -> Iterator[tuple[int, int, int, Node]]:
    """Yield (state, card in, card out, packets) of a set, with the lowest card of every interval of cards."""
    for state, by_state in packets.values(extra, STATE):
        for incoming, by_incoming in packets.values(by_state, INCOMING):
            for outgoing, rest in packets.values(by_incoming, OUTGOING):
                yield state, incoming, outgoing, rest


def concrete(values: Mapping[int, int]) -> Packet:
    """Return the packet that ``values`` are."""
    protocol = values.get(PROTOCOL, 6)
    family = values.get(FAMILY, 0)
    with_ports = protocol in {6, 17}
    return Packet(
        protocol=protocol_name(protocol),
        source=address(family, values.get(SOURCE, 0)),
        destination=address(family, values.get(DESTINATION, 0)),
        port=values.get(PORT, 0) if with_ports else None,
        source_port=values.get(SOURCE_PORT) if with_ports else None,
        icmp_type=values.get(ICMP_TYPE, 0) if protocol in {1, 58} else None,
        state=_STATES[values.get(STATE, 0)],
    )


def address(family: int, number: int) -> str:
    """Return an address as text."""
    return str(IPv6Address(number) if family == IPV6 else IPv4Address(number))


def _unused(one: Filtered) -> Iterator[UnusedRule]:
    """Yield rules that no packet can come to, and elements that no packet of their rule has."""
    reached = one.reached()
    for chain in one.ruleset.chains.values():
        for rule in chain.rules:
            if not reached.get(rule, NONE):
                if not _empty(rule):
                    yield UnusedRule(machine=one.machine.name, rule=rule.name, reason="no packet can come to it")
                continue
            for statement in rule.statements:
                if isinstance(statement, Match) and len(statement.elements) > 1:
                    for element in statement.elements:
                        if not packets.boxes(element.boxes) & reached[rule]:
                            yield UnusedRule(
                                machine=one.machine.name,
                                rule=f"{rule.name}, element {element.text}",
                                reason="no packet that comes to the rule has it",
                            )


def _empty(rule: Rule) -> bool:
    """Say whether a rule looks into a set that holds nothing: prepared, not forgotten."""
    return any(isinstance(statement, Match) and not statement.maybe for statement in rule.statements)

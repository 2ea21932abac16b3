"""From audits to what the report shows: parties, connections, matrices, answers. Pure, and in a fixed order."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from infra.audit.model import Audit, Control, Endpoint, FlowReference, PacketRange, TwoStep, Violation
from infra.plan.model import Plan
from infra.report import words
from infra.report.words import Text

EXPIRES_SOON_DAYS = 90
Mark = Literal["none", "passes", "exception", "violation"]
_REFERENCE_LEVELS = ("live", "rendered", "declared", "probe")
"""The matrices show the first of these that was examined: what is nearest to what runs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Party:
    """A row and a column of a matrix."""

    key: str
    title: Text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Connections of one purpose: from each of ``sources`` to each of ``targets``."""

    number: int
    source_party: Party
    target_party: Party
    source_zone: Party
    target_zone: Party
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    packets: tuple[PacketRange, ...]
    flow: FlowReference | None
    """Without its ends where it follows from the services; None: nothing declares it."""
    through: tuple[str, ...]
    """Machines that pass it on."""
    days_left: int | None
    """Days until its exception ends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A violation with its number in the report."""

    number: int
    violation: Violation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Everything from one party to another."""

    source: Party
    target: Party
    connections: tuple[Connection, ...]
    findings: tuple[Finding, ...]

    @property
    def mark(self) -> Mark:
        """The worst of what is in it."""
        if self.findings or any(one.flow is None for one in self.connections):
            return "violation"
        if any(one.flow is not None and one.flow.declared for one in self.connections):
            return "exception"
        return "passes" if self.connections else "none"

    @property
    def count(self) -> int:
        """Number of things to read in it."""
        return len(self.connections) + len(self.findings)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Parties against parties."""

    parties: tuple[Party, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def between(self, keys: Iterable[str]) -> tuple[Cell, ...]:
        """Return the cells between different ones of ``keys``."""
        wanted = set(keys)
        return tuple(
            cell
            for row in self.rows
            for cell in row
            if cell.source != cell.target and {cell.source.key, cell.target.key} <= wanted
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """A control with what every level says about it."""

    control: Control
    levels: tuple[tuple[str, Control], ...]

    @property
    def evidence(self) -> tuple[tuple[tuple[str, ...], Control], ...]:
        """What the levels say, those that say the same together."""
        found: dict[Control, list[str]] = {}
        for level, control in self.levels:
            found.setdefault(control, []).append(level)
        return tuple((tuple(levels), control) for control, levels in found.items())

    @property
    def status(self) -> str:
        """Not met when one level says so, met when one does and none denies it."""
        found = {control.status for _, control in self.levels}
        return next(status for status in ("not_met", "met", "not_examined") if status in found)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TwoSteps:
    """Ways from one endpoint through one other to several."""

    source: str
    through: str
    targets: tuple[str, ...]
    members: tuple[str, ...]
    """Names of those on both sides."""
    zones: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question of the auditor."""

    question: Text
    answer: Text
    good: bool | None
    """None: not examined, or for a person to judge."""


class _Purpose(NamedTuple):
    """What connections of one row have in common."""

    flow: FlowReference | None
    source_party: Party
    target_party: Party
    source_zone: Party
    target_zone: Party
    through: tuple[str, ...]
    ports: tuple[tuple[str, str], ...]


def _purpose_of(flow: FlowReference | None) -> FlowReference | None:
    """Return ``flow``; of one that follows from the services, whose ends the row lists, only what it is for."""
    return flow if flow is None or flow.declared else dataclasses.replace(flow, source="", target="")


class View:
    """Everything that the template asks for."""

    def __init__(self, audits: Sequence[Audit], plan: Plan) -> None:
        if not audits:
            raise ValueError("a report needs at least one audit")
        self.audits, self.plan = tuple(audits), plan
        self.reference = min(audits, key=lambda audit: (not audit.pairs, _REFERENCE_LEVELS.index(audit.level)))
        self._members = {member: Party(f"member-{member}", words.same(name)) for member, name in plan.members.items()}
        self._segments = plan.network.segment_by_name
        numbered = enumerate((v for audit in self.audits for v in audit.violations), start=1)
        self.findings = tuple(Finding(number=number, violation=violation) for number, violation in numbered)

    @property
    def passed(self) -> bool:
        """Whether every level that was examined passed."""
        return all(audit.verdict == "pass" for audit in self.audits)

    # whose and where

    def party(self, name: str) -> Party:
        """Return whose endpoint ``name`` is."""
        endpoint = self._endpoint(name)
        if name.startswith("line:") or (endpoint and endpoint.kind == "line"):
            return Party("carriers", words.CARRIERS)
        if endpoint is not None and endpoint.kind in {"gateway", "station"}:
            return Party("platform", words.PLATFORM)
        if endpoint is not None and endpoint.kind == "network":
            return Party("outside", words.OUTSIDE)
        members = endpoint.members if endpoint is not None else self._of_segment(name)
        if len(members) == 1 and members[0] in self._members:
            return self._members[members[0]]
        if members:
            return Party("shared", words.SHARED)
        known = endpoint is not None or name.startswith("segment:") or name in self.plan.host_by_id
        return Party("platform", words.PLATFORM) if known else Party("outside", words.OUTSIDE)

    def zone(self, name: str) -> Party:
        """Return the zone of endpoint ``name``; carriers and the outside stand beside the zones."""
        party = self.party(name)
        if party.key in {"carriers", "outside"}:
            return party
        endpoint = self._endpoint(name)
        segment = self._segments.get(name.removeprefix("segment:"))
        zone = endpoint.zone if endpoint is not None else segment.zone if segment is not None else None
        return Party("none", words.NO_ZONE) if zone is None else Party(zone, words.lookup(words.ZONES, zone))

    def _endpoint(self, name: str) -> Endpoint | None:
        for audit in (self.reference, *self.audits):
            if name in audit.endpoint_by_name:
                return audit.endpoint_by_name[name]
        return None

    def _of_segment(self, name: str) -> tuple[str, ...]:
        segment = self._segments.get(name.removeprefix("segment:"))
        return segment.members if segment is not None else ()

    # what passes

    @functools.cached_property
    def connections(self) -> tuple[Connection, ...]:
        """Everything that passes at the reference level, each purpose once."""
        found: dict[_Purpose, dict[str, dict[str, list[PacketRange]]]] = {}
        for pair in self.reference.pairs:
            for passing in pair.passing:
                purpose = _Purpose(
                    flow=_purpose_of(passing.flow),
                    source_party=self.party(pair.source),
                    target_party=self.party(pair.target),
                    source_zone=self.zone(pair.source),
                    target_zone=self.zone(pair.target),
                    through=passing.path[1:-1],
                    ports=tuple(sorted({(one.protocol, one.ports) for one in passing.packets})),
                )
                targets = found.setdefault(purpose, {})
                targets.setdefault(pair.target, {}).setdefault(pair.source, []).extend(passing.packets)
        drafts: list[Connection] = []
        for purpose, targets in found.items():
            together: dict[tuple[str, ...], list[str]] = collections.defaultdict(list)
            for target, sources in targets.items():
                together[tuple(sorted(sources))].append(target)
            drafts += [self._connection(purpose, names, sorted(into), targets) for names, into in together.items()]
        order = {party.key: index for index, party in enumerate(self._parties)}
        drafts.sort(
            key=lambda one: (
                one.flow is not None,
                one.flow is not None and not one.flow.declared,
                order[one.source_party.key],
                order[one.target_party.key],
                one.sources,
                one.targets,
                one.packets,
            )
        )
        return tuple(dataclasses.replace(one, number=number) for number, one in enumerate(drafts, start=1))

    def _connection(
        self,
        purpose: _Purpose,
        sources: Sequence[str],
        targets: Sequence[str],
        found: Mapping[str, Mapping[str, Sequence[PacketRange]]],
    ) -> Connection:
        return Connection(
            number=0,
            source_party=purpose.source_party,
            target_party=purpose.target_party,
            source_zone=purpose.source_zone,
            target_zone=purpose.target_zone,
            sources=tuple(sources),
            targets=tuple(targets),
            packets=tuple(sorted({one for target in targets for source in sources for one in found[target][source]})),
            flow=purpose.flow,
            through=purpose.through,
            days_left=self.days_left(purpose.flow),
        )

    def flows_between(self, source: str, target: str) -> tuple[FlowReference, ...]:
        """Return what declares packets from ``source`` to ``target``, at any level."""
        return self._flows.get((source, target), ())

    @functools.cached_property
    def _flows(self) -> Mapping[tuple[str, str], tuple[FlowReference, ...]]:
        found: dict[tuple[str, str], dict[FlowReference, None]] = collections.defaultdict(dict)
        for audit in self.audits:
            for pair in audit.pairs:
                for passing in pair.passing:
                    if passing.flow is not None:
                        found[pair.source, pair.target][passing.flow] = None
        return {pair: tuple(flows) for pair, flows in found.items()}

    def days_left(self, flow: FlowReference | None) -> int | None:
        """Return the days from the day of the audit to the last day of ``flow``."""
        return None if flow is None or flow.expires is None else (flow.expires - self.reference.as_of).days

    @property
    def _parties(self) -> tuple[Party, ...]:
        return (
            *self._members.values(),
            Party("shared", words.SHARED),
            Party("platform", words.PLATFORM),
            Party("carriers", words.CARRIERS),
            Party("outside", words.OUTSIDE),
        )

    @functools.cached_property
    def by_member(self) -> Matrix:
        """Member × member, with what is shared and the platform."""
        return self._matrix(
            self._parties, self.party, lambda one: (one.source_party, one.target_party), always=set(self._members)
        )

    @functools.cached_property
    def by_zone(self) -> Matrix:
        """Zone × zone; what stays inside one member's own zone stands on the diagonal."""
        zones = tuple(Party(zone, title) for zone, title in words.ZONES.items())
        beside = (
            Party("none", words.NO_ZONE), Party("carriers", words.CARRIERS), Party("outside", words.OUTSIDE)
        )  # fmt: skip
        return self._matrix(
            (*zones, *beside), self.zone, lambda one: (one.source_zone, one.target_zone), always=set(words.ZONES)
        )

    def _matrix(
        self,
        parties: Sequence[Party],
        of: Callable[[str], Party],
        ends: Callable[[Connection], tuple[Party, Party]],
        always: set[str],
    ) -> Matrix:
        connections: dict[tuple[str, str], list[Connection]] = collections.defaultdict(list)
        findings: dict[tuple[str, str], list[Finding]] = collections.defaultdict(list)
        for one in self.connections:
            source, target = ends(one)
            connections[source.key, target.key].append(one)
        for finding in self.findings:
            if finding.violation.packet is not None:
                place = of(finding.violation.source).key, of(finding.violation.target).key
                findings[place].append(finding)
        used = {key for place in (*connections, *findings) for key in place}
        shown = tuple(party for party in parties if party.key in used or party.key.removeprefix("member-") in always)
        return Matrix(
            parties=shown,
            rows=tuple(
                tuple(
                    Cell(
                        source=source,
                        target=target,
                        connections=tuple(connections[source.key, target.key]),
                        findings=tuple(findings[source.key, target.key]),
                    )
                    for target in shown
                )
                for source in shown
            ),
        )

    # answers

    @functools.cached_property
    def answers(self) -> tuple[Answer, ...]:
        """The questions an auditor comes with, answered first."""
        return (self._members_apart(), self._mynumber_apart(), self._as_declared(), self._shared_ways())

    def _members_apart(self) -> Answer:
        question = Text("団体Aは団体Bに届くか", "Can member A reach member B?")
        cells = self.by_member.between(party.key for party in self._members.values())
        return _separation(question, cells, Text("団体", "members"))

    def _mynumber_apart(self) -> Answer:
        question = Text("マイナンバー利用事務系は他の領域と通信するか", "Does the My Number zone talk to another zone?")
        cells = [cell for cell in self.by_zone.between(words.ZONES) if "mynumber" in (cell.source.key, cell.target.key)]
        return _separation(question, cells, Text("領域", "zones"))

    def _as_declared(self) -> Answer:
        question = Text("動いているものは宣言どおりか", "Is what runs what was declared?")
        running = [audit for audit in self.audits if audit.level in {"live", "probe"}]
        if not running:
            return Answer(
                question=question,
                answer=Text("この報告では実機を検査していない", "Running machines were not examined for this report"),
                good=None,
            )
        wrong = [audit for audit in running if audit.verdict == "fail"]
        names = Text(
            "、".join(words.LEVELS[audit.level][0].ja for audit in wrong or running),
            ", ".join(words.LEVELS[audit.level][0].en.lower() for audit in wrong or running),
        )
        if wrong:
            count = sum(len(audit.violations) + len(audit.missing) for audit in wrong)
            return Answer(
                question=question,
                answer=Text(f"違いが{count}件ある ({names.ja})", f"{count} differences ({names.en})"),
                good=False,
            )
        return Answer(
            question=question, answer=Text(f"違いはない ({names.ja})", f"No difference ({names.en})"), good=True
        )

    def _shared_ways(self) -> Answer:
        question = Text("共用の機械を介した二段の経路は", "Two-step ways through machines that serve several?")
        count = len({step for audit in self.audits for step in audit.two_steps})
        answer = (
            Text(
                f"{count}件。機械が乗っ取られた場合の経路として下に挙げる",
                f"{count}, listed below: ways if one is taken over",
            )
            if count
            else Text("なし", "None")
        )
        return Answer(question=question, answer=answer, good=None if count else True)

    # tables

    @functools.cached_property
    def controls(self) -> tuple[ControlRow, ...]:
        """Controls of all levels, each once, in the order of the first level that names it."""
        found: dict[tuple[str, str], list[tuple[str, Control]]] = {}
        for audit in self.audits:
            for control in audit.controls:
                found.setdefault((control.framework, control.id), []).append((audit.level, control))
        return tuple(ControlRow(control=levels[0][1], levels=tuple(levels)) for levels in found.values())

    @functools.cached_property
    def two_steps(self) -> tuple[TwoSteps, ...]:
        """Two-step ways of all levels; those that differ in their target alone are one row."""
        found: dict[tuple[str, str, tuple[str, ...]], set[TwoStep]] = collections.defaultdict(set)
        for step in (step for audit in self.audits for step in audit.two_steps):
            found[step.source, step.through, step.zones].add(step)
        rows = []
        for (source, through, zones), steps in sorted(found.items()):
            members = {member for step in steps for member in step.members}
            rows.append(
                TwoSteps(
                    source=source,
                    through=through,
                    targets=tuple(sorted(step.target for step in steps)),
                    members=tuple(name for member, name in self.plan.members.items() if member in members),
                    zones=zones,
                )
            )
        return tuple(rows)

    @functools.cached_property
    def exceptions(self) -> tuple[tuple[FlowReference, int | None, tuple[Connection, ...]], ...]:
        """Declared exceptions with the days left and their connections, those that end first first."""
        found: dict[FlowReference, list[Connection]] = {}
        for one in self.connections:
            if one.flow is not None and one.flow.declared:
                found.setdefault(one.flow, []).append(one)
        for audit in self.audits:
            for flow in audit.expiring:
                found.setdefault(flow, [])
        rows = [(flow, self.days_left(flow), tuple(ones)) for flow, ones in found.items()]
        return tuple(sorted(rows, key=lambda row: (row[1] is None, row[1] or 0, str(row[0]))))


def _separation(question: Text, cells: Sequence[Cell], what: Text) -> Answer:
    open_cells = [cell for cell in cells if cell.mark != "none"]
    wrong = [cell for cell in open_cells if cell.mark != "exception"]
    pairs = f"{len(cells)}"
    if wrong:
        names_ja = "、".join(f"{cell.source.title.ja}→{cell.target.title.ja}" for cell in wrong[:4])
        names_en = ", ".join(f"{cell.source.title.en} → {cell.target.title.en}" for cell in wrong[:4])
        more = len(wrong) - 4
        return Answer(
            question=question,
            answer=Text(
                f"届く: {names_ja}" + (f" ほか{more}組" if more > 0 else ""),
                f"Yes: {names_en}" + (f" and {more} more" if more > 0 else ""),
            ),
            good=False,
        )
    if open_cells:
        return Answer(
            question=question,
            answer=Text(
                f"承認された例外だけが通る ({pairs}組のうち{len(open_cells)}組)",
                f"Only approved exceptions pass ({len(open_cells)} of {pairs} ordered pairs of {what.en})",
            ),
            good=True,
        )
    return Answer(
        question=question,
        answer=Text(f"届かない ({pairs}組の{what.ja}すべて)", f"No (all {pairs} ordered pairs of {what.en})"),
        good=True,
    )

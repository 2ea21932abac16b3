"""What is looked at, what was found, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from network import gateways
from network.model import NetworkNode, NetworkPlan, Vip

ACTIVE = "active"
ESTABLISHED = "Established"
LineState = Literal["carries", "stands by", "down", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one machine is asked."""

    node: str
    units: tuple[str, ...]
    addresses: tuple[str, ...]
    """Virtual addresses that it may hold."""
    peers: Mapping[str, str]
    """Address of a routing partner → ``LINE`` or ``LINE/ZONE``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one machine said."""

    node: str
    units: Mapping[str, str]
    held: tuple[str, ...]
    sessions: Mapping[str, str]
    """Address of a partner → state of the session."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A virtual address and who holds it."""

    vip: Vip
    holders: tuple[str, ...]
    unknown: tuple[str, ...]
    """Machines that may hold it and did not answer."""

    @property
    def wrong(self) -> str:
        """What is wrong, in words; empty when one machine holds it and the others would take over."""
        name = f"{self.vip.name} ({self.vip.address.ip})"
        if len(self.holders) > 1:
            return f"{name}: {' and '.join(self.holders)} hold it at once"
        if not self.holders and not self.unknown:
            return f"{name}: nobody holds it"
        return ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LineStatus:
    """A line of one zone (or of all together), as the gateways' sessions tell."""

    line: str
    zone: str | None
    member: str
    role: Literal["main", "backup"]
    state: LineState
    sessions: Mapping[str, str]
    """Gateway → state of its session; empty for a line without one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that was found."""

    answers: Mapping[str, Answer | None]
    """Node → what it said; None: no answer."""
    holdings: tuple[Holding, ...]
    lines: tuple[LineStatus, ...]
    findings: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every redundant part is."""
        return bool(self.answers) and not self.findings


def asked(network: NetworkPlan, units: Mapping[str, Sequence[str]]) -> tuple[Asked, ...]:
    """Return what each machine is asked; ``units`` says which services a node runs."""
    return tuple(
        Asked(
            node=node.name,
            units=tuple(units.get(node.name, ())),
            addresses=tuple(str(vip.address.ip) for vip in network.vips if node.name in vip.nodes),
            peers=dict(_peers(network, node)),
        )
        for node in network.nodes
    )


def _peers(network: NetworkPlan, node: NetworkNode) -> Iterator[tuple[str, str]]:
    if node.role == "gateway":
        for hand in gateways.attached(network, node):
            if hand.handoff.routing == "bgp":
                zone = f"/{hand.handoff.zone}" if hand.handoff.zone else ""
                yield str(hand.handoff.peer), f"{hand.line.name}{zone}"


def judge(network: NetworkPlan, questions: Sequence[Asked], answers: Mapping[str, Answer | None]) -> Status:
    """Return the status with everything that is wrong in words."""
    holdings = tuple(
        _holding(vip, answers)
        for vip in sorted(network.vips, key=lambda v: v.name)
        if len(vip.nodes) > 1 and set(vip.nodes) <= set(answers)
    )
    findings = [finding for question in questions for finding in _of_node(question, answers[question.node])]
    findings += [holding.wrong for holding in holdings if holding.wrong]
    return Status(answers=answers, holdings=holdings, lines=tuple(_lines(network, answers)), findings=tuple(findings))


def _of_node(question: Asked, answer: Answer | None) -> Iterator[str]:
    if answer is None:
        yield f"{question.node}: does not answer"
        return
    for unit in question.units:
        state = answer.units.get(unit, "unknown")
        if state != ACTIVE:
            yield f"{question.node}: {unit} is {state}"
    for peer, line in question.peers.items():
        state = answer.sessions.get(peer, "missing")
        if state != ESTABLISHED:
            yield f"{question.node}: the session with {peer} ({line}) is {state}"


def _holding(vip: Vip, answers: Mapping[str, Answer | None]) -> Holding:
    found = {node: answers[node] for node in vip.nodes}
    return Holding(
        vip=vip,
        holders=tuple(node for node, answer in found.items() if answer and str(vip.address.ip) in answer.held),
        unknown=tuple(node for node, answer in found.items() if answer is None),
    )


def _lines(network: NetworkPlan, answers: Mapping[str, Answer | None]) -> Iterator[LineStatus]:
    """Yield each hand-off; the first line of a member that stands carries, the main one before the backup."""
    carried: set[tuple[str, str, str]] = set()
    gateway_nodes = [node for node in network.nodes if node.role == "gateway"]
    for line in sorted(network.lines, key=lambda one: (one.member, one.role != "main", one.name)):
        for hand in line.handoffs:
            sessions = {
                node.name: answer.sessions.get(str(hand.peer), "missing")
                for node in gateway_nodes
                if hand.segment in node.segments and (answer := answers.get(node.name)) is not None
            }
            zones = {(line.member, line.site, zone) for zone in ((hand.zone,) if hand.zone else line.zones)}
            state: LineState = "unknown"
            if hand.routing == "bgp" and sessions:
                up = ESTABLISHED in sessions.values()
                state = "down" if not up else "stands by" if zones <= carried else "carries"
                carried |= zones if up else set()
            yield LineStatus(
                line=line.name, zone=hand.zone, member=line.member, role=line.role, state=state, sessions=sessions
            )

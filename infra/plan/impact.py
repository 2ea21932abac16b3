"""Blast radius: which members lose which business when something breaks, and why.

Pure, from the plan alone. A business serves a member while an entry, an application, its data, a gateway and a line of
the member are left; it degrades when some of what stood twice stands once. What takes over, and how fast, is taken from
what is configured (:mod:`network.timers`), never from what would be nice: see :func:`_database`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, get_args

from infra.plan.model import Plan
from network import endpoints, flows, timers
from network.errors import InputError
from network.model import Flow, Handoff, Line, NetworkNode, ServiceEndpoint

Kind = Literal["site", "host", "gateway", "line", "node"]
KINDS: tuple[Kind, ...] = get_args(Kind)
State = Literal["stops", "degrades", "goes_on"]
STATES: tuple[State, ...] = get_args(State)
"""The worst first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a business does not simply go on, in both languages."""

    state: State
    text: str
    text_ja: str
    gap_s: float = 0.0
    """Longest time without an answer until what is left has taken over; 0 where it stops, or nobody notices."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one member has of one business afterwards."""

    member: str
    service: str
    """Name of the endpoint: ``juki``, or ``zaimu-nishiki``."""
    reasons: tuple[Reason, ...]

    @property
    def state(self) -> State:
        """The worst of the reasons; ``goes_on`` when there is none."""
        return min((reason.state for reason in self.reasons), key=STATES.index, default="goes_on")

    @property
    def gap_s(self) -> float:
        """The longest gap of all reasons, as they begin together; 0 where nothing comes back by itself."""
        return max((reason.gap_s for reason in self.reasons), default=0.0) if self.state == "degrades" else 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a loss takes along."""

    kind: Kind
    name: str
    nodes: tuple[str, ...]
    """Machines that are gone."""
    lines: tuple[str, ...]
    """Lines that are gone."""
    effects: tuple[Effect, ...]
    """One a member and business that it takes part in: by member, then by business, in declared order."""
    moves: Mapping[str, str] | None
    """Where the machines of a lost host go until it is repaired; None where the plan says nothing or has no room."""

    def of(self, state: State) -> tuple[Effect, ...]:
        """Return the effects in ``state``."""
        return tuple(effect for effect in self.effects if effect.state == state)

    @property
    def state(self) -> State:
        """The worst state of all."""
        return min((effect.state for effect in self.effects), key=STATES.index, default="goes_on")

    def members(self, state: State) -> tuple[str, ...]:
        """Return the members of whose businesses the worst is in ``state``, in declared order."""
        worst: dict[str, State] = {}
        for effect in self.effects:
            worst[effect.member] = min(worst.get(effect.member, "goes_on"), effect.state, key=STATES.index)
        return tuple(member for member, found in worst.items() if found == state)


def names(plan: Plan, kind: Kind) -> tuple[str, ...]:
    """Return what may be lost: for ``gateway`` the machines and, by the name of their set, whole pairs."""
    gateways = [node for node in plan.nodes if node.role == "gateway"]
    found: Mapping[Kind, Iterable[str]] = {
        "site": plan.sites,
        "host": (host.id for host in plan.hosts),
        "gateway": sorted({name for node in gateways for name in (node.name, *node.replica_sets)}),
        "line": (line.name for line in plan.network.lines),
        "node": (node.name for node in plan.nodes if node.role != "gateway"),
    }
    return tuple(found[kind])


def impact(plan: Plan, kind: Kind, name: str) -> Impact:
    """Return what is left when ``name`` is lost. Raises InputError, with the names there are, for an unknown one."""
    known = names(plan, kind)
    if name not in known:
        raise InputError(f"{plan.stack} has no {kind} {name}; it has: {', '.join(known) or 'none'}")
    lines: frozenset[str] = frozenset()
    match kind:
        case "site":
            nodes = [node.name for node in plan.nodes if node.site == name]
            lines = frozenset(line.name for line in plan.network.lines if line.site == name)
        case "host":
            nodes = [node.name for node in plan.nodes_on(name)]
        case "gateway":
            nodes = [node.name for node in plan.nodes if name in (node.name, *node.replica_sets)]
        case "line":
            nodes, lines = [], frozenset((name,))
        case "node":
            nodes = [name]
    after = _After(plan, frozenset(nodes), lines)
    survival = next((s for s in plan.survives if s.lost == (name,) and s.possible), None)
    return Impact(
        kind=kind,
        name=name,
        nodes=tuple(nodes),
        lines=tuple(sorted(lines)),
        effects=after.effects(),
        moves=survival.moves if kind == "host" and survival else None,
    )


def every(plan: Plan) -> tuple[Impact, ...]:
    """Return the impact of every site, host, gateway (alone and as a pair) and line, in this order."""
    return tuple(impact(plan, kind, name) for kind in KINDS if kind != "node" for name in names(plan, kind))


class _After:
    """The stack without what was lost."""

    def __init__(self, plan: Plan, nodes: frozenset[str], lines: frozenset[str]) -> None:
        self._plan, self._nodes, self._lines = plan, nodes, lines
        self._links = tuple(_links(plan.network.flows))

    def effects(self) -> tuple[Effect, ...]:
        used = [(member, e) for member in self._plan.members for e in self._plan.network.endpoints
                if member in e.participants]  # fmt: skip
        direct = {
            (member, endpoint.name): (*self._served(endpoint), *self._reached(member, endpoint))
            for member, endpoint in used
        }
        stopped = {key for key, reasons in direct.items() if any(reason.state == "stops" for reason in reasons)}
        return tuple(
            Effect(
                member=member,
                service=endpoint.name,
                reasons=(*direct[member, endpoint.name], *self._linked(member, endpoint, stopped)),
            )
            for member, endpoint in used
        )

    def _served(self, endpoint: ServiceEndpoint) -> Iterator[Reason]:
        """Yield what the machines of the business say."""
        profile = self._plan.network.timers
        holders = self._plan.network.vip_by_name[endpoint.vip].nodes
        takeover = timers.vrrp_takeover_s(profile, backup_rank=1) if holders[0] in self._nodes else 0.0
        if endpoint.load_balancer:
            yield from self._some(endpoint.load_balancer, "load balancer", "負荷分散装置", takeover)
            yield from self._some(
                endpoint.application, "application", "アプリケーションサーバー", timers.backend_detection_s(profile)
            )
        else:
            # The same machines take requests in and pass them on: both are noticed, the slower one counts.
            gap = max(takeover, timers.backend_detection_s(profile))
            yield from self._some(endpoint.application, "application", "アプリケーションサーバー", gap)
        yield from self._database(endpoint)

    def _some(self, nodes: tuple[str, ...], role: str, role_ja: str, gap_s: float) -> Iterator[Reason]:
        """Yield that some, or all, of ``nodes`` are gone."""
        gone = [node for node in nodes if node in self._nodes]
        left = [node for node in nodes if node not in self._nodes]
        if gone and not left:
            yield Reason(
                state="stops",
                text=f"no {role} is left: {_list(gone)} lost",
                text_ja=f"{role_ja}が残らない: {_list(gone)} を失う",
            )
        elif gone:
            yield Reason(
                state="degrades",
                text=f"{role} {_list(left)} serves alone: {_list(gone)} lost",
                text_ja=f"{role_ja} {_list(left)} だけで続ける: {_list(gone)} を失う",
                gap_s=round(gap_s, 2),
            )

    def _database(self, endpoint: ServiceEndpoint) -> Iterator[Reason]:
        """Yield what the data says.

        Without a cluster one machine keeps it; with one, another takes over while most of the votes are left.
        """
        cluster = next((one for one in self._plan.network.clusters if endpoint in one.endpoints), None)
        nodes = cluster.databases if cluster else flows.database_nodes(endpoint)[:1]
        gone = [node for node in nodes if node in self._nodes]
        if cluster is None:
            if gone and nodes != endpoint.application:  # else it is told already that the one machine is lost
                yield Reason(
                    state="stops",
                    text=f"its data is on {nodes[0]} alone, which is lost",
                    text_ja=f"データは {nodes[0]} だけにあり、これを失う",
                )
            return
        voters = cluster.voters
        votes = [node for node in voters if node not in self._nodes]
        if len(gone) == len(nodes):
            yield Reason(
                state="stops",
                text=f"no database is left: {_list(gone)} lost",
                text_ja=f"データベースサーバーが残らない: {_list(gone)} を失う",
            )
        elif 2 * len(votes) <= len(voters):
            yield Reason(
                state="stops",
                text=f"{len(votes)} of {len(voters)} votes are left: no database may accept writes",
                text_ja=f"{len(voters)}票のうち{len(votes)}票しか残らず、どのデータベースも書き込みを受けられない",
            )
        elif gone:
            yield Reason(
                state="degrades",
                text=f"database {_list(node for node in nodes if node not in gone)} alone: {_list(gone)} lost",
                text_ja=f"データベースサーバー {_list(node for node in nodes if node not in gone)} だけで続ける: "
                f"{_list(gone)} を失う",
                gap_s=round(timers.database_machine_lost_s(self._plan.network.timers.database), 2),
            )
        elif len(votes) < len(voters):
            lost = _list(node for node in voters if node in self._nodes)
            yield Reason(
                state="degrades",
                text=f"a vote of the database is lost: {lost}",
                text_ja=f"データベースの投票者を失う: {lost}",
            )

    def _reached(self, member: str, endpoint: ServiceEndpoint) -> Iterator[Reason]:
        """Yield what gateways and lines between the member and the business say."""
        network = self._plan.network
        gateways = [node for node in network.nodes if _joins(node, member, endpoint)]
        takeover = timers.gateway_takeover_s(network.timers)
        yield from self._some(tuple(node.name for node in gateways), "gateway", "ゲートウェイ", takeover)
        cards = {segment for node in gateways for segment in node.segments}
        lines = [
            (line, handoff)
            for line in network.lines
            for handoff in line.handoffs
            if line.member == member and handoff.segment in cards and endpoint.zone in _zones(line, handoff)
        ]
        gone = [(line, handoff) for line, handoff in lines if line.name in self._lines]
        left = [line for line, _ in lines if line.name not in self._lines]
        if gone and not left:
            yield Reason(
                state="stops",
                text=f"no line of the member is left: {_list(line.name for line, _ in gone)} lost",
                text_ja=f"団体の回線が残らない: {_list(line.name for line, _ in gone)} を失う",
            )
            return
        for line, handoff in gone:
            rest, rest_ja = _list(map(_bandwidth, left)), _list(map(_bandwidth_ja, left))
            if line.role == "main":
                yield Reason(
                    state="degrades",
                    text=f"main line {line.name} lost: {rest} carries",
                    text_ja=f"主回線 {line.name} を失う: {rest_ja} で続ける",
                    gap_s=round(timers.line_recovery_s(network.timers, bfd=handoff.bfd, hold_s=handoff.hold_s), 2),
                )
            else:
                yield Reason(
                    state="degrades",
                    text=f"backup line {line.name} lost: {rest} carries without a reserve",
                    text_ja=f"副回線 {line.name} を失う: {rest_ja} が予備なしで続ける",
                )

    def _linked(self, member: str, endpoint: ServiceEndpoint, stopped: set[tuple[str, str]]) -> Iterator[Reason]:
        """Yield the declared flows of the business that lead to one that has stopped."""
        if (member, endpoint.name) in stopped:
            return
        for flow, source, target in self._links:
            if source.service != endpoint.service or source.member not in (None, member):
                continue
            asked = target.member or member
            for other in self._plan.network.endpoints:
                if other.service == target.service and (asked, other.name) in stopped:
                    yield Reason(
                        state="degrades",
                        text=f"{flow.reason}: {other.name} does not answer",
                        text_ja=f"{flow.reason}: {other.name} が応答しない",
                    )


def _links(found: Iterable[Flow]) -> Iterator[tuple[Flow, endpoints.ServiceEnd, endpoints.ServiceEnd]]:
    """Yield the flows from one business to another."""
    for flow in found:
        if flow.kind not in flows.FROM_ENDPOINTS:
            source, target = endpoints.parse(flow.source), endpoints.parse(flow.target)
            if isinstance(source, endpoints.ServiceEnd) and isinstance(target, endpoints.ServiceEnd):
                yield flow, source, target


def _joins(node: NetworkNode, member: str, endpoint: ServiceEndpoint) -> bool:
    return node.role == "gateway" and member in node.members and endpoint.segment in node.segments


def _zones(line: Line, handoff: Handoff) -> tuple[str, ...]:
    return line.zones if handoff.zone is None else (handoff.zone,)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


_CLASSES_JA = {"guaranteed": "帯域保証", "reserved": "帯域確保", "best_effort": "ベストエフォート"}


def _bandwidth(line: Line) -> str:
    return f"{line.name} ({line.mbps} Mbit/s, {line.line_class.replace('_', ' ')})"


def _bandwidth_ja(line: Line) -> str:
    return f"{line.name} ({line.mbps} Mbit/s、{_CLASSES_JA[line.line_class]})"

"""What is looked at, what was found, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Literal

from infra.status import database
from infra.status.database import ClusterStatus, Server, Voter
from infra.status.faults import Fault
from network import gateways
from network.model import Cluster, NetworkNode, NetworkPlan, Vip

UP = "UP"
"""HAProxy's word for a server that gets new connections; ``UP 1/2`` is one whose last check has failed."""
PLAIN = "-plain"
"""What HAProxy's back end of ports without TLS has behind the endpoint's name."""
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
    server: IPv4Address | None = None
    """Where its server of a replicated database is asked."""
    voter: IPv4Address | None = None
    """Where its vote in a replicated database is asked."""
    backends: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Endpoint that its HAProxy takes requests in for → the application nodes that they go to."""
    follows: str = ""
    """Replicated database whose primary its HAProxy leads to."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A server behind HAProxy."""

    status: str
    """``UP``, ``DOWN``, ``DRAIN`` …, perhaps with the count of checks behind it."""
    sessions: int
    """Requests, or connections where HAProxy passes them as they are, that it has now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one machine said."""

    node: str
    units: Mapping[str, str]
    held: tuple[str, ...]
    sessions: Mapping[str, str]
    """Address of a partner → state of the session."""
    backends: Mapping[str, Mapping[str, Behind]] = dataclasses.field(default_factory=dict)
    """Back end of its HAProxy → server → what HAProxy thinks of it."""
    server: Server | None = None
    voter: Voter | None = None

    def sends_to(self, backend: str) -> tuple[str, ...]:
        """Return the servers of a back end that get new connections."""
        return tuple(name for name, behind in self.backends.get(backend, {}).items() if behind.status.split()[0] == UP)


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
    clusters: tuple[ClusterStatus, ...]
    faults: tuple[Fault, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in words."""
        return tuple(map(str, self.faults))

    @property
    def whole(self) -> bool:
        """Whether every redundant part is."""
        return bool(self.answers) and not self.faults


def asked(network: NetworkPlan, units: Mapping[str, Sequence[str]]) -> tuple[Asked, ...]:
    """Return what each machine is asked; ``units`` says which services a node runs."""
    return tuple(
        Asked(
            node=node.name,
            units=tuple(units.get(node.name, ())),
            addresses=tuple(str(vip.address.ip) for vip in network.vips if node.name in vip.nodes),
            peers=dict(_peers(network, node)),
            server=_on_cluster(network, node, lambda cluster: cluster.databases),
            voter=_on_cluster(network, node, lambda cluster: cluster.voters),
            backends={e.name: e.application for e in network.endpoint_of_node(node.name) if node.name in e.entry},
            follows=_followed(network, node),
        )
        for node in network.nodes
    )


def _peers(network: NetworkPlan, node: NetworkNode) -> Iterator[tuple[str, str]]:
    if node.role == "gateway":
        for hand in gateways.attached(network, node):
            if hand.handoff.routing == "bgp":
                zone = f"/{hand.handoff.zone}" if hand.handoff.zone else ""
                yield str(hand.handoff.peer), f"{hand.line.name}{zone}"


def _on_cluster(
    network: NetworkPlan, node: NetworkNode, part: Callable[[Cluster], tuple[str, ...]]
) -> IPv4Address | None:
    """Return the address of ``node`` in the replicated database that it is a ``part`` of."""
    cluster = network.cluster_by_node.get(node.name)
    if cluster is None or node.name not in part(cluster):
        return None
    return node.interface(cluster.segment).address.ip


def _followed(network: NetworkPlan, node: NetworkNode) -> str:
    cluster = network.cluster_by_node.get(node.name)
    return cluster.server_name if cluster is not None and node.name in cluster.applications else ""


def judge(network: NetworkPlan, questions: Sequence[Asked], answers: Mapping[str, Answer | None]) -> Status:
    """Return the status with everything that is wrong in words."""
    holdings = tuple(
        _holding(vip, answers)
        for vip in sorted(network.vips, key=lambda v: v.name)
        if len(vip.nodes) > 1 and set(vip.nodes) <= set(answers)
    )
    faults = [fault for question in questions for fault in _of_node(question, answers[question.node])]
    faults += [Fault(text=holding.wrong) for holding in holdings if holding.wrong]
    clusters = tuple(
        _cluster(cluster, answers)
        for cluster in network.clusters
        if {*cluster.databases, *cluster.voters} <= answers.keys()
    )
    return Status(
        answers=answers,
        holdings=holdings,
        lines=tuple(_lines(network, answers)),
        clusters=clusters,
        faults=(*faults, *(fault for cluster in clusters for fault in cluster.faults)),
    )


def _cluster(cluster: Cluster, answers: Mapping[str, Answer | None]) -> ClusterStatus:
    said = {node: answer for node, answer in answers.items() if answer is not None}
    return database.judge(
        cluster,
        {node: said[node].server for node in cluster.databases if node in said},
        {node: said[node].voter for node in cluster.voters if node in said},
        {node: said[node].sends_to(cluster.server_name) for node in cluster.applications if node in said},
    )


def _of_node(question: Asked, answer: Answer | None) -> Iterator[Fault]:
    own = (question.node,)
    if answer is None:
        yield Fault(text=f"{question.node}: does not answer", nodes=own)
        return
    for unit in question.units:
        state = answer.units.get(unit, "unknown")
        if state != ACTIVE:
            yield Fault(text=f"{question.node}: {unit} is {state}", nodes=own)
    for peer, line in question.peers.items():
        state = answer.sessions.get(peer, "missing")
        if state != ESTABLISHED:
            yield Fault(text=f"{question.node}: the session with {peer} ({line}) is {state}", nodes=own)
    for endpoint, servers in question.backends.items():
        for backend in {endpoint, f"{endpoint}{PLAIN}"} & answer.backends.keys():
            for server in servers:
                if server not in answer.sends_to(backend):
                    behind = answer.backends[backend].get(server)
                    state = behind.status if behind is not None else "unknown"
                    text = f"{question.node}: sends no requests of {backend} to {server} ({state})"
                    yield Fault(text=text, nodes=(question.node, server))


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

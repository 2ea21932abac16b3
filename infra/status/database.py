"""A replicated database as its machines see it: who is primary, how far the others are behind, who votes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from infra.status.faults import Fault
from network.model import Cluster

Role = Literal["primary", "synchronous standby", "replica", "silent"]
PRIMARY = ("primary", "master")
"""What Patroni calls the primary: since version 4, and before."""
ROOM = 0.1
"""The free share of a data volume below which a person is told: nobody takes over when a disk is merely full."""
SYNCHRONOUS = ("sync", "quorum")
"""What PostgreSQL calls a standby that commits wait for (``pg_stat_replication.sync_state``)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How far a standby is behind, as its primary sees it."""

    state: str
    """``streaming``, or what PostgreSQL says else."""
    synchronous: bool
    """Whether commits wait for it."""
    bytes: int
    """What it has not replayed of the write-ahead log."""
    seconds: float
    """How long the last replayed write took to be replayed; 0 when nothing is written."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one server says of itself."""

    state: str
    """``running``, or what Patroni says else."""
    primary: bool
    timeline: int | None
    paused: bool
    """Whether Patroni was told to change nothing by itself: then nobody takes over."""
    unguarded: bool
    """Whether its watchdog does not work."""
    standbys: Mapping[str, Behind]
    room: float = 1.0
    """The free share of its data volume, 0 to 1."""
    chosen: bool = False
    """Whether it may take over, as the voters know it: Patroni notes there who has every write."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """What one voter says of itself and the others."""

    healthy: bool
    """Whether it decides together with a majority now."""
    leads: bool
    learner: bool
    """Whether it still copies and has no vote."""
    members: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server in the cluster."""

    node: str
    role: Role
    state: str
    timeline: int | None
    behind: Behind | None
    """None for the primary, and for a standby that the primary does not know."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A replicated database."""

    name: str
    members: tuple[Member, ...]
    votes: Mapping[str, Voter | None]
    """Voter → what it says; None: silent."""
    sends: Mapping[str, tuple[str, ...]]
    """Application node → the servers that its HAProxy sends to."""
    faults: tuple[Fault, ...]

    @property
    def primaries(self) -> tuple[str, ...]:
        """The servers that take writes: one, when all is well."""
        return tuple(member.node for member in self.members if member.role == "primary")

    @property
    def timeline(self) -> int:
        """The newest timeline of its servers: each promotion begins another one. 0 when nobody tells."""
        return max((member.timeline for member in self.members if member.timeline is not None), default=0)


def server(said: Mapping[str, Any] | None) -> Server | None:
    """Return what the answer of `infra.status.on_node.server` means."""
    if said is None:
        return None
    return Server(
        state=said["state"],
        primary=said.get("role") in PRIMARY and said["state"] == "running",
        timeline=said.get("timeline"),
        paused=bool(said.get("pause")),
        unguarded=bool(said.get("watchdog_failed")),
        room=float(said.get("room", 1.0)),
        chosen=bool(said.get("sync_standby")),
        standbys={
            name: Behind(
                state=one["state"],
                synchronous=one["sync"] in SYNCHRONOUS,
                bytes=max(int(one["bytes"] or 0), 0),
                seconds=max(float(one["seconds"] or 0), 0.0),
            )
            for name, one in said.get("standbys", {}).items()
        },
    )


def voter(said: Mapping[str, Any] | None) -> Voter | None:
    """Return what the answer of `infra.status.on_node.voter` means; etcd leaves out what is false."""
    if said is None:
        return None
    status = said["status"]
    own = status.get("header", {}).get("member_id")
    return Voter(
        healthy=str(said["health"].get("health")) == "true",
        leads=own is not None and own == status.get("leader"),
        learner=bool(status.get("isLearner")),
        members=tuple(sorted(member.get("name", "") for member in said["members"].get("members", []))),
    )


def judge(
    cluster: Cluster,
    servers: Mapping[str, Server | None],
    votes: Mapping[str, Voter | None],
    sends: Mapping[str, tuple[str, ...]],
) -> ClusterStatus:
    """Return the status of ``cluster`` with what is wrong in words; machines that say nothing at all have no key."""
    primaries = [node for node, said in servers.items() if said is not None and said.primary]
    known: dict[str, Behind] = {}
    for node in primaries:
        known |= dict((servers[node] or _NOBODY).standbys)
    members = tuple(_member(node, servers.get(node), known.get(node)) for node in cluster.databases)
    faults = (
        *_of_primaries(cluster, primaries, set(cluster.databases) <= servers.keys()),
        *(fault for member in members if member.node in servers for fault in _of_member(member, primaries)),
        *(fault for node, said in servers.items() if said is not None for fault in _of_server(node, said)),
        *_of_timelines(cluster, members),
        *_of_votes(cluster, votes),
        *_of_sends(cluster, sends, primaries),
    )
    return ClusterStatus(name=cluster.server_name, members=members, votes=votes, sends=sends, faults=faults)


_NOBODY = Server(state="", primary=False, timeline=None, paused=False, unguarded=False, standbys={})


def _member(node: str, said: Server | None, behind: Behind | None) -> Member:
    if said is None:
        return Member(node=node, role="silent", state="", timeline=None, behind=None)
    role: Role = "primary" if said.primary else "replica"
    if not said.primary and said.chosen and behind is not None and behind.synchronous:
        role = "synchronous standby"
    return Member(
        node=node, role=role, state=said.state, timeline=said.timeline, behind=None if said.primary else behind
    )


def _of_primaries(cluster: Cluster, primaries: Sequence[str], all_answer: bool) -> Iterator[Fault]:
    if len(primaries) > 1:
        yield Fault(text=f"{cluster.server_name}: {' and '.join(primaries)} are primaries at once")
    if not primaries:
        yield Fault(text=f"{cluster.server_name}: no primary{'' if all_answer else ' among the machines that answer'}")


def _of_member(member: Member, primaries: Sequence[str]) -> Iterator[Fault]:
    if member.role == "silent":
        yield Fault(text=f"{member.node}: its database server does not answer", nodes=(member.node,))
    elif member.role == "replica" and primaries:
        if member.behind is None or member.behind.state != "streaming":
            yield Fault(
                text=f"{member.node}: does not copy {' and '.join(primaries)} ({_copying(member)})",
                nodes=(member.node,),
            )
        else:
            why = "commits do not wait for it, so it may not have every write"
            if member.behind.synchronous:
                why = "has every write, and the voters do not know that yet: it would not take over"
            yield Fault(text=f"{member.node}: {why}", nodes=(member.node,))


def _copying(member: Member) -> str:
    return member.behind.state if member.behind is not None else member.state


def _of_server(node: str, said: Server) -> Iterator[Fault]:
    if said.paused:
        yield Fault(text=f"{node}: Patroni is paused: nobody takes over; `patronictl resume` ends that")
    if said.unguarded:
        yield Fault(text=f"{node}: its watchdog does not work", nodes=(node,))

    if said.room < ROOM:
        text = f"{node}: {said.room:.0%} of its data volume are free; it takes no writes when it is full"
        yield Fault(text=text, nodes=(node,))


def _of_timelines(cluster: Cluster, members: Sequence[Member]) -> Iterator[Fault]:
    found = {member.node: member.timeline for member in members if member.timeline is not None}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{node} {timeline}" for node, timeline in found.items())
        yield Fault(text=f"{cluster.server_name}: its servers are on different timelines ({told})")


def _of_votes(cluster: Cluster, votes: Mapping[str, Voter | None]) -> Iterator[Fault]:
    for node, said in votes.items():
        if said is None:
            yield Fault(text=f"{node}: its vote in {cluster.server_name} is silent", nodes=(node,))
        elif said.learner:
            yield Fault(text=f"{node}: has no vote in {cluster.server_name} yet, it still copies", nodes=(node,))
        elif not said.healthy:
            yield Fault(text=f"{node}: finds no majority of {cluster.server_name}", nodes=(node,))
        elif set(said.members) != set(cluster.voters):
            known = ", ".join(said.members)
            text = f"{node}: the voters of {cluster.server_name} are {known}, not those of the plan"
            yield Fault(text=text, nodes=(node,))
    leading = [node for node, said in votes.items() if said is not None and said.leads]
    if set(votes) == set(cluster.voters) and all(votes.values()) and len(leading) != 1:
        who = f"{' and '.join(leading)} lead the voters at once" if leading else "nobody leads the voters"
        yield Fault(text=f"{cluster.server_name}: {who}")


def _of_sends(cluster: Cluster, sends: Mapping[str, tuple[str, ...]], primaries: Sequence[str]) -> Iterator[Fault]:
    for node, servers in sends.items():
        if primaries and servers != tuple(primaries):
            where = " and ".join(servers) or "nobody"
            yield Fault(
                text=f"{node}: sends {cluster.server_name} to {where}, the primary is {' and '.join(primaries)}",
                nodes=(node,),
            )

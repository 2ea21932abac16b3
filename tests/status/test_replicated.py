"""A replicated database in the status: what its machines say, and what is wrong with it."""

from __future__ import annotations

import dataclasses

import pytest

from infra.configure.services import services
from infra.status import database, look, model
from infra.status.database import Behind, ClusterStatus, Server, Voter
from infra.status.model import Answer, Asked
from tests.configure import replicated

PLAN = replicated.PLAN
CLUSTER = PLAN.network.clusters[0]
UP = model.Behind(status="UP", sessions=0)
VOTERS = ("juki-ap1", "juki-db1", "juki-db2")
STANDBY = Behind(state="streaming", synchronous=True, bytes=0, seconds=0.0)
PRIMARY = Server(
    state="running", primary=True, timeline=3, paused=False, unguarded=False, standbys={"juki-db2": STANDBY}
)
SECOND = Server(state="running", primary=False, timeline=3, paused=False, unguarded=False, standbys={}, chosen=True)
VOTE = Voter(healthy=True, leads=False, learner=False, members=VOTERS)
SERVERS: dict[str, Server | None] = {"juki-db1": PRIMARY, "juki-db2": SECOND}
VOTES: dict[str, Voter | None] = {
    "juki-db1": dataclasses.replace(VOTE, leads=True), "juki-db2": VOTE, "juki-ap1": VOTE,
}  # fmt: skip
SENDS = {"juki-ap1": ("juki-db1",), "juki-ap2": ("juki-db1",)}


def words(found: ClusterStatus) -> tuple[str, ...]:
    return tuple(map(str, found.faults))


def test_all_is_whole() -> None:
    found = database.judge(CLUSTER, SERVERS, VOTES, SENDS)
    assert found.faults == ()
    assert {member.node: member.role for member in found.members} == {
        "juki-db1": "primary", "juki-db2": "synchronous standby",
    }  # fmt: skip
    assert (found.primaries, found.timeline) == (("juki-db1",), 3)


def with_standby(**changed: object) -> dict[str, Server | None]:
    behind = dataclasses.replace(STANDBY, **changed)  # type: ignore[arg-type]  # by name
    return {**SERVERS, "juki-db1": dataclasses.replace(PRIMARY, standbys={"juki-db2": behind})}


@pytest.mark.parametrize(
    ("servers", "finding"),
    [
        ({**SERVERS, "juki-db2": dataclasses.replace(SECOND, primary=True)},
         "juki-database: juki-db1 and juki-db2 are primaries at once"),
        ({**SERVERS, "juki-db1": SECOND}, "juki-database: no primary"),
        ({"juki-db2": SECOND}, "juki-database: no primary among the machines that answer"),
        ({**SERVERS, "juki-db2": None}, "juki-db2: its database server does not answer"),
        ({**SERVERS, "juki-db1": dataclasses.replace(PRIMARY, standbys={})},
         "juki-db2: does not copy juki-db1 (running)"),
        (with_standby(state="catchup", synchronous=False), "juki-db2: does not copy juki-db1 (catchup)"),
        (with_standby(synchronous=False), "juki-db2: commits do not wait for it, so it may not have every write"),
        ({**SERVERS, "juki-db2": dataclasses.replace(SECOND, chosen=False)},
         "juki-db2: has every write, and the voters do not know that yet: it would not take over"),
        ({**SERVERS, "juki-db2": dataclasses.replace(SECOND, timeline=2)},
         "juki-database: its servers are on different timelines (juki-db1 3, juki-db2 2)"),
        ({**SERVERS, "juki-db2": dataclasses.replace(SECOND, paused=True)},
         "juki-db2: Patroni is paused: nobody takes over; `patronictl resume` ends that"),
        ({**SERVERS, "juki-db1": dataclasses.replace(PRIMARY, room=0.04)},
         "juki-db1: 4% of its data volume are free; it takes no writes when it is full"),
        ({**SERVERS, "juki-db2": dataclasses.replace(SECOND, unguarded=True)}, "juki-db2: its watchdog does not work"),
    ],
)  # fmt: skip
def test_a_server_in_a_wrong_state_is_found(servers: dict[str, Server | None], finding: str) -> None:
    assert finding in words(database.judge(CLUSTER, servers, VOTES, {}))


@pytest.mark.parametrize(
    ("votes", "finding"),
    [
        ({**VOTES, "juki-ap1": None}, "juki-ap1: its vote in juki-database is silent"),
        ({**VOTES, "juki-ap1": dataclasses.replace(VOTE, learner=True)},
         "juki-ap1: has no vote in juki-database yet, it still copies"),
        ({**VOTES, "juki-ap1": dataclasses.replace(VOTE, healthy=False)},
         "juki-ap1: finds no majority of juki-database"),
        ({**VOTES, "juki-ap1": dataclasses.replace(VOTE, members=("juki-db1", "juki-db2"))},
         "juki-ap1: the voters of juki-database are juki-db1, juki-db2, not those of the plan"),
        ({**VOTES, "juki-db1": VOTE}, "juki-database: nobody leads the voters"),
        ({**VOTES, "juki-db2": VOTES["juki-db1"]}, "juki-database: juki-db1 and juki-db2 lead the voters at once"),
    ],
)  # fmt: skip
def test_a_vote_in_a_wrong_state_is_found(votes: dict[str, Voter | None], finding: str) -> None:
    assert words(database.judge(CLUSTER, SERVERS, votes, SENDS)) == (finding,)


def test_an_application_that_is_sent_elsewhere_is_found() -> None:
    found = words(database.judge(CLUSTER, SERVERS, VOTES, {**SENDS, "juki-ap2": ()}))
    assert found == ("juki-ap2: sends juki-database to nobody, the primary is juki-db1",)
    found = words(database.judge(CLUSTER, SERVERS, VOTES, {"juki-ap1": ("juki-db2",)}))
    assert found == ("juki-ap1: sends juki-database to juki-db2, the primary is juki-db1",)


def test_a_tenth_of_free_room_is_enough() -> None:
    servers: dict[str, Server | None] = {**SERVERS, "juki-db1": dataclasses.replace(PRIMARY, room=0.1)}
    assert database.judge(CLUSTER, servers, VOTES, SENDS).faults == ()


def test_how_far_a_standby_is_behind() -> None:
    found = database.judge(CLUSTER, with_standby(bytes=16777216, seconds=1.5), VOTES, SENDS)
    behind = found.members[1].behind
    assert behind is not None
    assert (behind.bytes, behind.seconds) == (16777216, 1.5)


def questions() -> dict[str, Asked]:
    return {question.node: question for question in model.asked(PLAN.network, services(PLAN))}


def test_each_machine_is_asked_for_its_part() -> None:
    asked = questions()
    segment = CLUSTER.segment
    own = {name: PLAN.network.node_by_name[name].interface(segment).address.ip for name in VOTERS}
    assert (asked["juki-db1"].server, asked["juki-db1"].voter) == (own["juki-db1"], own["juki-db1"])
    assert (asked["juki-ap1"].server, asked["juki-ap1"].voter) == (None, own["juki-ap1"])
    assert asked["juki-ap2"].voter is None
    assert asked["juki-ap2"].follows == "juki-database"
    assert asked["juki-ap2"].backends == {"juki": ("juki-ap1", "juki-ap2")}
    assert asked["juki-db1"].backends == {}


def answers() -> dict[str, Answer | None]:
    """Return what whole machines answer."""
    found: dict[str, Answer | None] = {}
    for node, asked in questions().items():
        cluster = PLAN.network.cluster_by_node.get(node)
        first = cluster.databases[0] if cluster else ""
        server = voter = None
        if cluster is not None and asked.server is not None:
            standbys = {cluster.databases[1]: STANDBY}
            server = dataclasses.replace(PRIMARY, standbys=standbys) if node == first else SECOND
        if cluster is not None and asked.voter is not None:
            voter = Voter(healthy=True, leads=node == first, learner=False, members=tuple(sorted(cluster.voters)))
        found[node] = Answer(
            node=node,
            units=dict.fromkeys(asked.units, "active"),
            held=tuple(str(v.address.ip) for v in PLAN.network.vips if v.nodes[0] == node),
            sessions=dict.fromkeys(asked.peers, "Established"),
            backends={
                **{backend: dict.fromkeys(servers, UP) for backend, servers in asked.backends.items()},
                **({asked.follows: {first: UP}} if asked.follows else {}),
            },
            server=server,
            voter=voter,
        )
    return found


def test_the_whole_stack_is_judged() -> None:
    asked = tuple(questions().values())
    found = model.judge(PLAN.network, asked, answers())
    assert found.findings == ()
    assert [cluster.name for cluster in found.clusters] == ["juki-database", "zaimu-m1-database", "zaimu-m2-database"]
    lost = model.judge(PLAN.network, asked, {**answers(), "juki-db1": None}).findings
    assert lost == ("juki-db1: does not answer", "juki-database: no primary among the machines that answer")


def test_a_database_is_judged_only_when_all_of_it_is_asked() -> None:
    some = {node: answer for node, answer in answers().items() if node in ("juki-ap1", "juki-ap2")}
    asked = tuple(question for question in questions().values() if question.node in some)
    assert model.judge(PLAN.network, asked, some).clusters == ()


@pytest.mark.parametrize("status", ["DOWN", "DRAIN", "MAINT", "DOWN 1/2"])
def test_an_application_node_without_requests_is_found(status: str) -> None:
    said = answers()
    entry = said["juki-ap2"]
    assert entry is not None
    said["juki-ap2"] = dataclasses.replace(
        entry,
        backends={**entry.backends, "juki": {"juki-ap1": model.Behind(status=status, sessions=0), "juki-ap2": UP}},
    )
    found = model.judge(PLAN.network, tuple(questions().values()), said).findings
    assert found == (f"juki-ap2: sends no requests of juki to juki-ap1 ({status})",)


def test_what_the_program_on_a_machine_says_is_understood() -> None:
    """As Patroni 3.0 and 4.0, etcd 3.4 and HAProxy 2.6 write it."""
    patroni = {
        "state": "running", "role": "master", "timeline": 3, "xlog": {"location": 50331728},
        "standbys": {"juki-db2": {"state": "streaming", "sync": "sync", "bytes": 0, "seconds": None}},
    }  # fmt: skip
    etcd = {
        "health": {"health": "true"},
        "status": {"header": {"member_id": "793918050629910611"}, "version": "3.4.23", "leader": "793918050629910611"},
        "members": {"members": [{"ID": "1", "name": name} for name in ("juki-db1", "juki-db2", "juki-ap1")]},
    }
    said = {
        "units": {}, "held": [], "sessions": {}, "server": patroni, "voter": etcd,
        "backends": {"juki-database": {"juki-db1": {"status": "UP 1/3", "sessions": 4},
                                       "juki-db2": {"status": "DOWN", "sessions": 0}}},
    }  # fmt: skip
    found = look.answer("juki-db1", said)
    assert found.server == PRIMARY
    assert found.voter == VOTES["juki-db1"]
    assert found.sends_to("juki-database") == ("juki-db1",)
    newer = look.answer("juki-db1", {**said, "server": {**patroni, "role": "primary"}})
    assert newer.server == PRIMARY
    full = look.answer("juki-db1", {**said, "server": {**patroni, "room": 0.05}})
    assert full.server is not None
    assert full.server.room == 0.05
    standby = {"state": "running", "role": "replica", "timeline": 3, "sync_standby": True}
    assert look.answer("juki-db2", {**said, "server": standby}).server == SECOND
    crashed = look.answer("juki-db1", {**said, "server": {"state": "crashed", "role": "primary"}, "voter": None})
    assert crashed.server is not None
    assert not crashed.server.primary
    assert crashed.voter is None

"""A replicated database with the rendered files, killed and frozen while a client writes through HAProxy.

Expected times are those that the plan prints; expected rights are the domain's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from infra.maintenance import switchover
from infra.process import Completed
from infra.status import look
from infra.status.database import ClusterStatus
from network import timers
from network.errors import OperationError
from tests.database.place import PATIENCE_S, ROLE, Machine, Place, Writer, missing, place, planned, tell, until

pytestmark = pytest.mark.skipif(missing(), reason="needs root, etcd, patroni, PostgreSQL, HAProxy, nft")

TIMERS = planned()[0].network.timers.database
BUSY_S = 3.0
"""What a machine busy with other things may add to a computed time."""


@pytest.fixture(scope="module")
def running() -> Iterator[Place]:
    with place() as found:
        found.begin()
        for machine in found.databases:
            made = roles(machine)
            assert made == "", made
        yield found


def roles(machine: Machine) -> str:
    """Do what the role does with the members' databases; return what went wrong."""
    program = str(ROLE / "database_roles.py")
    account = ("runuser", "-u", "postgres", "--", "/usr/bin/python3")
    done = machine.sh(*account, program, "/etc/kumiai/database/roles.json", "--servers", timeout_s=PATIENCE_S)
    return "" if done.ok else done.stderr


@pytest.fixture
def writer(running: Place) -> Iterator[Writer]:
    running.wait_until_whole()
    found = running.writer()
    found.goes_on()
    yield found
    found.end()


def judge(running: Place, writer: Writer, begun: float, computed_s: float) -> None:
    """Nothing acknowledged is lost, it was as fast as computed, and the redundancy comes back by itself."""
    writer.goes_on()
    running.wait_until_whole()
    writer.goes_on()
    gap = writer.longest_gap_s(begun)
    acknowledged = writer.end()
    print(f"without a write for {gap:.1f} s, computed {computed_s:.1f} s; {len(acknowledged)} acknowledged")
    assert acknowledged - running.numbers() == set()
    if gap > computed_s + BUSY_S:
        tell(running.machines.values())
    assert gap <= computed_s + BUSY_S


WHO = "SELECT current_user || ' ' || current_database()"


def psql(machine: Machine, words: str, command: str = WHO, **environment: str) -> tuple[bool, str]:
    settings = {**os.environ, "PGCONNECT_TIMEOUT": "5", **environment}
    done = machine.sh("psql", "-AtqX", words, "-c", command, env=settings)
    return done.ok, done.stdout.strip() or done.stderr.strip()


def test_each_member_enters_its_own_database_and_no_other(running: Place) -> None:
    _, secrets, cluster = planned()
    client = running.machines[cluster.applications[0]]
    way = (
        "host=juki-database hostaddr=127.0.0.1 sslmode=verify-full "
        "sslrootcert=/etc/kumiai/tls/juki-database.authority.pem"
    )
    password = secrets.passwords["database/juki/m1"]
    assert psql(client, f"{way} dbname=juki_m1 user=juki_m1", PGPASSWORD=password) == (True, "juki_m1 juki_m1")
    for refused in ("dbname=juki_m2 user=juki_m1", "dbname=postgres user=juki_m1", "dbname=juki_m2 user=juki_m2"):
        entered, said = psql(client, f"{way} {refused}", PGPASSWORD=password)
        assert not entered, refused
        assert "no pg_hba.conf entry" in said or "password authentication failed" in said
    plain = way.replace("verify-full", "disable")
    entered, said = psql(client, f"{plain} dbname=juki_m1 user=juki_m1", PGPASSWORD=password)
    assert not entered
    assert "no encryption" in said


def test_only_servers_replicate_and_only_with_their_certificate(running: Place) -> None:
    voter, target = running.machines[running.cluster.voters[2]], running.primary()
    tls = "/etc/kumiai/etcd/tls"
    way = f"hostaddr={target.address} user=replicator replication=true sslmode=require"
    # The third voter has a certificate of the same authority, and is no server.
    entered, said = psql(voter, f"{way} sslcert={tls}/node.pem sslkey={tls}/node.key", "IDENTIFY_SYSTEM")
    assert not entered
    assert "no pg_hba.conf entry" in said
    standby = running.other(target)
    entered, said = psql(standby, f"{way} sslcert=/none sslkey=/none", "IDENTIFY_SYSTEM")
    assert not entered
    assert "certificate" in said
    entered, said = psql(standby, f"{way} sslcert={tls}/node.pem sslkey={tls}/node.key", "IDENTIFY_SYSTEM")
    assert entered, said


def test_who_has_no_certificate_is_told_who_is_the_primary_and_changes_nothing(running: Place) -> None:
    client = running.machines[running.cluster.applications[1]]
    server = running.primary()
    trusted = "/etc/kumiai/tls/juki-database.authority.pem"
    curl = ("curl", "-s", "--cacert", trusted, "-w", "%{http_code}", "-o", "/dev/null")
    asked = f"https://{server.address}:8008"
    assert client.sh(*curl, f"{asked}/primary").stdout == "200"
    assert client.sh(*curl, "-X", "PATCH", "-d", '{"ttl": 30}', f"{asked}/config").stdout == "403"
    plain = client.sh("curl", "-s", "--max-time", "3", f"http://{server.address}:8008/primary")
    assert not plain.ok
    voting = client.sh("curl", "-sk", "--max-time", "3", f"https://{server.address}:2379/version")
    assert not voting.ok, "the firewall lets only servers and voters ask"


def test_postgresql_crashes(running: Place, writer: Writer) -> None:
    lost, begun = running.primary(), time.monotonic()
    os.kill(lost.postmaster(), signal.SIGKILL)
    judge(running, writer, begun, timers.database_crash_s(TIMERS))
    assert running.primary() is running.other(lost), "the other one took over"


class Shell:
    """Runs commands on the machines of the place, as `kumiai switchover` does over SSH."""

    def __init__(self, running: Place) -> None:
        self._running = running

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        return self._running.machines[node].sh(*command, stdin=stdin, timeout_s=timeout_s)

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        done = self.probe(node, *command, stdin=stdin, timeout_s=timeout_s)
        if not done.ok:
            raise OperationError(f"{node}: {done.stderr}")
        return done.stdout


def test_switchover(running: Place, writer: Writer) -> None:
    # The standby tells its part as of Patroni's last round, a little later than the primary commits with it.
    until(lambda: not cluster_status(running).faults, "the status is whole")
    before, begun = running.primary(), time.monotonic()
    done = switchover.switchover(planned()[0], Shell(running), running.cluster)
    assert (done.before, done.after) == (before.node, running.other(before).node)
    assert running.primary() is running.other(before)
    judge(running, writer, begun, timers.switchover_s(TIMERS))


def cluster_status(running: Place) -> ClusterStatus:
    """Ask all machines as `kumiai status` does; units are systemd's, which these machines have not."""
    plan = planned()[0]
    asked = look.questions(plan, running.machines)
    (found,) = look.look(plan, Shell(running), asked).clusters
    return found


def test_the_status_tells_roles_votes_and_where_the_applications_are_sent(running: Place) -> None:
    running.wait_until_whole()
    primary = running.primary()
    standby, third = running.other(primary), running.machines[running.cluster.voters[2]]
    until(lambda: not cluster_status(running).faults, "the status is whole")
    found = cluster_status(running)
    assert {member.node: member.role for member in found.members} == {
        primary.node: "primary", standby.node: "synchronous standby",
    }  # fmt: skip
    assert len({member.timeline for member in found.members}) == 1
    assert found.sends == dict.fromkeys(running.cluster.applications, (primary.node,))
    assert sum(vote.leads for vote in found.votes.values() if vote is not None) == 1
    standby.lose()
    third.lose()
    alone = f"{primary.node}: finds no majority of juki-database"
    until(lambda: alone in map(str, cluster_status(running).faults), "no votes")
    third.boot()
    third.start("haproxy", "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
    standby.boot()
    until(lambda: not cluster_status(running).faults, "the status is whole again")


def test_machine_of_the_primary_is_lost(running: Place, writer: Writer) -> None:
    lost, begun = running.primary(), time.monotonic()
    lost.lose()
    writer.goes_on()
    assert [machine.node for machine in running.primaries()] == [running.other(lost).node]
    lost.boot()
    judge(running, writer, begun, timers.database_machine_lost_s(TIMERS))


@pytest.mark.soak
def test_a_frozen_patroni_never_gives_two_primaries(running: Place, writer: Writer) -> None:
    frozen, begun = running.primary(), time.monotonic()
    other, watchdog = running.other(frozen), frozen.watchdog
    assert watchdog is not None
    assert watchdog.timeout_s == TIMERS.ttl_s - TIMERS.watchdog_margin_s
    os.kill(frozen.patroni_pid(), signal.SIGSTOP)
    until(other.is_primary, "the standby takes over")
    assert frozen.pids() == [], "the watchdog has reset the machine before"
    assert watchdog.fired
    frozen.kill()
    frozen.boot()
    judge(running, writer, begun, timers.patroni_frozen_s(TIMERS))


@pytest.mark.soak
def test_standby_is_lost(running: Place, writer: Writer) -> None:
    lost, begun = running.other(running.primary()), time.monotonic()
    lost.lose()
    writer.goes_on()
    lost.boot()
    judge(running, writer, begun, timers.standby_lost_s(TIMERS))


@pytest.mark.soak
def test_two_machines_are_lost_and_nothing_is_written_until_one_is_back(running: Place, writer: Writer) -> None:
    """What is promised with two faults: the service stops, the data is safe."""
    lost = running.primary()
    third = running.machines[running.cluster.voters[2]]
    third.lose()
    lost.lose()
    time.sleep(TIMERS.ttl_s + TIMERS.loop_wait_s)
    assert running.primaries() == [], "one vote out of three makes no primary"
    third.boot()
    third.start("haproxy", "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
    writer.goes_on()
    lost.boot()
    running.wait_until_whole()
    assert writer.end() - running.numbers() == set()

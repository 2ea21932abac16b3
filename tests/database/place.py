"""A replicated database as it runs: etcd, Patroni, PostgreSQL and HAProxy read the rendered files, in namespaces.

A machine is a network namespace with the rendered firewall and folders of its own; what is mounted below /etc, /run and
/srv lets the files be used as they are. Two things differ from a guest: the version of PostgreSQL, and the watchdog,
which here is a pipe that Patroni keeps alive and a thread that kills the machine when it does not.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg2

from infra.configure import cluster as cluster_files
from infra.configure import files
from infra.configure.node_secrets import node_secrets
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from infra.process import Completed, probe, run
from infra.secrets import generate
from infra.secrets.model import Secrets
from network import render
from network.model import Cluster
from tests.network.render.routers import namespace
from tests.plan import factory
from tests.roles import postgresql

T = TypeVar("T")
PROGRAMS = ("etcd", "etcdctl", "patroni", "haproxy", "nft", "runuser")
ROLE = pathlib.Path(__file__).parents[2] / "roles" / "database" / "files"
MEMORY = pathlib.Path("/dev/shm")
"""Where the disks of the machines lie: writes there do not wait for the disk of a busy machine."""
PATIENCE_S = 240.0
"""For a busy machine; what is measured is far below."""
NODES = {
    "application": {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 1},
    "database": {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 2},
}
NOW = datetime.datetime.now(tz=datetime.UTC)
ENTER = """
mount --bind "$1/run" /run
mount --bind "$1/srv" /srv
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /dev/shm
shift
exec unshare --ipc "$@"
"""
ACCOUNT = threading.Lock()
"""Held while this process is another account for a moment, or may not be one."""
_numbers, _runs = itertools.count(), itertools.count()


def missing() -> bool:
    """Say whether these tests cannot run here."""
    return os.geteuid() != 0 or not MEMORY.is_dir() or not all(map(shutil.which, PROGRAMS)) or not postgresql.programs()


@functools.cache
def planned() -> tuple[Plan, Secrets, Cluster]:
    """Return a stack of two members with one replicated database, and its secrets."""
    declared = factory.declaration(2, [factory.service("juki", "multi_tenant", "mynumber", nodes=NODES)])
    plan = builder.build("f", declared, Lock(stack="f"), datetime.date(2026, 4, 1), clock=lambda: 0.0).plan
    return plan, generate.complete(plan.network, "dc1", None, NOW), plan.network.clusters[0]


def until(question: Callable[[], T | None], what: str, limit_s: float = PATIENCE_S) -> T:
    """Ask until there is an answer."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"no answer in {limit_s} s: {what}")


class Machine:
    """One node of the cluster; made by :func:`place`."""

    def __init__(self, node: str, namespace_: str, switch: str, folder: pathlib.Path) -> None:
        self.node, self.namespace, self.switch, self.folder = node, namespace_, switch, folder
        plan, secrets, cluster = planned()
        self.cluster = cluster
        self.card = plan.network.node_by_name[node].interface(cluster.segment)
        self.address = str(self.card.address.ip)
        self.port = f"p{next(_numbers)}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.watchdog: Watchdog | None = None
        self._connections: dict[str, Any] = {}
        for part in ("srv", "run/haproxy", "run/postgresql"):
            (folder / part).mkdir(parents=True)
        run("cp", "--archive", "/etc", str(folder / "etc"))
        shutil.chown(folder / "run/postgresql", "postgres", "postgres")
        (folder / "srv/postgresql").mkdir(mode=0o700)
        shutil.chown(folder / "srv/postgresql", "postgres", "postgres")
        own = node_secrets(plan, secrets, node)
        rendered = {**render.render_node(plan.network, node), **files.render_node(plan, node)}
        wanted = ("/etc/kumiai/", "/etc/haproxy/")
        self.install({path: text for path, text in rendered.items() if path.startswith(wanted)})
        for name in ("database_voter_certificates", "load_balancer_pems"):
            self.install(own[name], mode=0o600)  # type: ignore[arg-type]  # every one maps paths to texts
        self.install(own["load_balancer_authorities"])  # type: ignore[arg-type]
        self.install(own["database_certificates"], owner="postgres", mode=0o600)  # type: ignore[arg-type]
        self.install({"/etc/kumiai/database/roles.json": json.dumps(own["database_roles"])}, owner="postgres")
        self.rules = rendered["/etc/nftables.conf"]

    def install(self, texts: Mapping[str, str], owner: str = "root", mode: int = 0o644) -> None:
        for path, text in texts.items():
            target = self.folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            programs = str(postgresql.programs())
            text = text.replace(cluster_files.PROGRAMS, programs)  # noqa: PLW2901
            text = text.replace("device: /dev/watchdog", "driver: testing\n  device: /run/watchdog")  # noqa: PLW2901
            target.write_text(text)
            target.chmod(mode)
            shutil.chown(target, owner, owner)

    def connect(self) -> None:
        """Put its card on the segment's bridge, behind its firewall."""
        run("ip", "-n", self.namespace, "link", "add", self.card.name, "type", "veth",
            "peer", "name", self.port, "netns", self.switch)  # fmt: skip
        run("ip", "-n", self.namespace, "address", "add", str(self.card.address), "dev", self.card.name)
        run("ip", "-n", self.switch, "link", "set", self.port, "master", "segment", "up")
        run("ip", "-n", self.namespace, "link", "set", self.card.name, "up")
        run("ip", "netns", "exec", self.namespace, "nft", "-f", "-", stdin=self.rules)
        nonlocal_bind = "/proc/sys/net/ipv4/ip_nonlocal_bind"
        run("ip", "netns", "exec", self.namespace, "sh", "-c", f"echo 1 > {nonlocal_bind}")

    def plug(self, state: str) -> None:
        """Set its port on the segment's bridge ``up`` or ``down``."""
        run("ip", "-n", self.switch, "link", "set", self.port, state)

    def argv(self, *argv: str) -> list[str]:
        enter = ["sh", "-euc", ENTER, "sh", str(self.folder)]
        return ["/usr/bin/env", "ip", "netns", "exec", self.namespace, *enter, *argv]

    def sh(self, *argv: str, **options: Any) -> Completed:
        return probe(*self.argv(*argv), **options)

    def start(self, name: str, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program that stays in the foreground."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.argv(*argv), **{"stdout": log, "stderr": log, "start_new_session": True, **options}
            )
        self.processes[name] = process
        return process

    # --- the vote

    def voter_environment(self) -> dict[str, str]:
        texts = [(self.folder / "etc/kumiai/etcd/etcd.env").read_text()]
        join = self.folder / "run/join.env"
        texts += [join.read_text()] if join.exists() else []
        lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
        pairs = dict(line.split("=", 1) for line in lines)
        return {**os.environ, **pairs, "VOTER_JOIN": "/run/join.env"}

    def voter(self, step: str) -> Completed:
        program = ("/usr/bin/python3", str(ROLE / "voter.py"))
        return self.sh(*program, step, env=self.voter_environment(), timeout_s=PATIENCE_S)

    def start_voter(self, *, founding: bool = False) -> None:
        """Do what its unit does; with ``founding`` as in the first run of the play, which finds all voters empty."""
        data = self.folder / "srv/etcd"
        data.mkdir(mode=0o700, exist_ok=True)
        if founding:
            data.with_suffix(".founding").touch()
        joined = self.voter("join")
        assert joined.ok, joined.stderr
        self.start("etcd", "etcd", env=self.voter_environment())

    def settle(self) -> None:
        """Wait until the voter is one of the cluster: its unit counts as started then."""
        settled = self.voter("promote")
        assert settled.ok, settled.stderr

    def etcdctl(self, *argv: str) -> Completed:
        tls = "/etc/kumiai/etcd/tls"
        asked = f"https://{self.address}:2379"
        return self.sh("etcdctl", f"--endpoints={asked}", f"--cacert={tls}/authority.pem", f"--cert={tls}/node.pem",
                       f"--key={tls}/node.key", "--command-timeout=5s", *argv,
                       env={**os.environ, "ETCDCTL_API": "3"})  # fmt: skip

    # --- the server

    def start_server(self) -> None:
        self.watchdog = Watchdog(self)
        self.start("patroni", "runuser", "-u", "postgres", "--", "patroni", "/etc/kumiai/database/patroni.yml")

    def query(self, text: str, database: str = "postgres") -> str | None:
        """Ask PostgreSQL as its administrator, on its socket; None when it does not answer. Rows come a line each."""
        for _ in range(2):  # a connection from before a restart is broken
            kept = self._connections.pop(database, None)
            try:
                connection = kept or _as_administrator(self.folder / "run/postgresql", database)
                with connection.cursor() as cursor:
                    cursor.execute(text)
                    self._connections[database] = connection
                    return "\n".join(str(row[0]) for row in cursor.fetchall())
            except psycopg2.Error:
                if kept is None:
                    return None
                kept.close()
        return None

    def is_primary(self) -> bool:
        return self.query("SELECT pg_is_in_recovery()") == "False"

    def postmaster(self) -> int:
        return int((self.folder / "srv/postgresql/data/postmaster.pid").read_text().split()[0])

    def patroni_pid(self) -> int:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if line[0].endswith(b"python3") and any(word.endswith(b"/patroni") for word in line):
                    return pid
        raise AssertionError(f"{self.node}: no Patroni")

    # --- its end

    def pids(self) -> list[int]:
        return [int(pid) for pid in run("ip", "netns", "pids", self.namespace).split()]

    def lose(self) -> None:
        """Lose the machine: from one moment to the next nothing comes from it, and nobody is told."""
        self.plug("down")
        self.kill()

    def kill(self) -> None:
        with ACCOUNT:
            for _ in range(3):  # one that is just being made is found the next time
                for pid in self.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()
        if self.watchdog is not None:
            self.watchdog.close()
            self.watchdog = None

    def boot(self) -> None:
        """Start it again with what is on its disk."""
        for stale in (*(self.folder / "run/postgresql").iterdir(), *(self.folder / "run/postgresql").glob(".s.*")):
            stale.unlink(missing_ok=True)
        self.plug("up")
        self.start_voter()
        self.settle()
        if self.node in self.cluster.databases:
            self.start_server()


def _as_administrator(socket_directory: pathlib.Path, database: str) -> Any:
    """Connect as the account that PostgreSQL takes for its administrator: a program started each time costs more."""
    with ACCOUNT:
        os.seteuid(pwd.getpwnam(postgresql.ACCOUNT).pw_uid)
        try:
            options = "-c statement_timeout=5000"
            found = psycopg2.connect(
                host=str(socket_directory), user="postgres", dbname=database, connect_timeout=3, options=options
            )
        finally:
            os.seteuid(0)
    found.autocommit = True
    return found


class Watchdog:
    """What the kernel's softdog does: unless Patroni writes in time, the machine is reset."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.fired, self.timeout_s = machine, False, 60.0
        path = machine.folder / "run/watchdog"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        shutil.chown(path, "postgres", "postgres")
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if threading.current_thread() is not self._thread:
            os.write(self._end, b"x")
            self._thread.join(10)

    def _watch(self) -> None:
        deadline: float | None = None
        while True:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            poll.register(self._reader, select.POLLIN)
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poll.poll(left))
            if self._ended in ready:
                return
            if deadline is not None and time.monotonic() >= deadline:
                self.fired = True
                self.machine.kill()
                return
            if ready.get(self._reader, 0) & select.POLLIN:
                said = os.read(self._reader, 4096)
                if b"Ctimeout=" in said:
                    self.timeout_s = float(said.split(b"Ctimeout=")[1].split(b"\n")[0])
                # Closed with this mark, it is switched off; closed without, it goes on.
                deadline = None if said.endswith(b"V") else time.monotonic() + self.timeout_s
            elif ready:
                time.sleep(0.05)  # nobody has it open


WRITER = pathlib.Path(__file__).with_name("writer.py")


class Writer:
    """A client on an application node that writes one numbered row after the other through HAProxy."""

    def __init__(self, machine: Machine, password: str) -> None:
        self._acknowledged: dict[int, float] = {}
        self._process = machine.start(
            "writer", sys.executable, str(WRITER), password, str(next(_runs) * 1_000_000),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, at = line.split()
            self._acknowledged[int(number)] = float(at)
        self._process.stdout.close()

    def count(self) -> int:
        return len(self._acknowledged)

    def goes_on(self) -> None:
        """Wait until something is written that was begun from now on."""
        before = time.monotonic()
        until(lambda: any(at > before for at in list(self._acknowledged.values())), "the writer goes on")

    def longest_gap_s(self, since: float) -> float:
        """Return the longest time without an acknowledged write, from the last one before ``since``."""
        times = sorted(self._acknowledged.values())
        first = max((i for i, at in enumerate(times) if at <= since), default=0)
        return max(b - a for a, b in itertools.pairwise(times[first:]))

    def end(self) -> set[int]:
        """Stop it, and return the numbers that were acknowledged."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait(30)
            self._thread.join(10)
        return set(self._acknowledged)


class Place:
    """All machines."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.cluster = planned()[2]

    @property
    def databases(self) -> list[Machine]:
        return [self.machines[name] for name in self.cluster.databases]

    def primaries(self) -> list[Machine]:
        return [machine for machine in self.databases if machine.is_primary()]

    def primary(self) -> Machine:
        return until(lambda: found[0] if len(found := self.primaries()) == 1 else None, "one primary")

    def other(self, machine: Machine) -> Machine:
        return next(one for one in self.databases if one is not machine)

    def whole(self) -> bool:
        """Say whether there is a primary with a standby that its commits wait for, and the voters know of it."""
        state = "SELECT string_agg(application_name || ' ' || state || ' ' || sync_state, ',') FROM pg_stat_replication"
        found = self.primaries()
        if len(found) != 1 or found[0].query(state) != f"{self.other(found[0]).node} streaming sync":
            return False
        kept = found[0].etcdctl("get", "--print-value-only", f"/kumiai/{self.cluster.name}/sync")
        return kept.ok and json.loads(kept.stdout or "{}").get("sync_standby") == self.other(found[0]).node

    def begin(self) -> None:
        """Found the cluster, start everything, and wait until the servers with their members' roles are whole."""
        voters = [self.machines[name] for name in self.cluster.voters]
        for machine in voters:
            machine.start_voter(founding=True)
        for machine in voters:
            machine.settle()
        for machine in self.databases:
            machine.start_server()
        for name in self.cluster.applications:
            self.machines[name].start("haproxy", "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait for it; tell what the programs have said when it does not come."""
        try:
            until(self.whole, "a primary and a standby that commits wait for")
        except AssertionError:
            tell(self.machines.values())
            raise

    def writer(self) -> Writer:
        _, secrets, cluster = planned()
        return Writer(self.machines[cluster.applications[1]], secrets.passwords["database/juki/m1"])

    def numbers(self) -> set[int]:
        rows = self.primary().query("SELECT number FROM numbers", "juki_m1")
        assert rows is not None
        return {int(row) for row in rows.split()}


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Make the machines, with nothing running; end and remove everything afterwards."""
    cluster = planned()[2]
    base = pathlib.Path(tempfile.mkdtemp(prefix="f-", dir=MEMORY))
    base.chmod(0o755)
    mark = f"f-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        switch = stack.enter_context(namespace(f"{mark}-switch"))
        run("ip", "-n", switch, "link", "add", "segment", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "segment", "up")
        machines: dict[str, Machine] = {}
        for node in dict.fromkeys((*cluster.databases, *cluster.voters, *cluster.applications)):
            inside = stack.enter_context(namespace(f"{mark}-{node}"))
            machines[node] = Machine(node, inside, switch, base / node)
            stack.callback(machines[node].kill)
            machines[node].connect()
        yield Place(machines)


def tell(machines: Iterable[Machine]) -> None:
    """Print what the programs have said last; pytest shows it when a test has failed."""
    for machine in machines:
        for log in sorted(machine.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            wanted = [line for line in lines if "connection" not in line and "pkg/flags" not in line]
            print(f"--- {log.name} of {machine.node}", *wanted[-40:], sep="\n")

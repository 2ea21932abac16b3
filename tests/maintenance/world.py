"""A stack in memory: machines that answer as real ones do, and hosts that start and stop them.

kvm01 carries dc1-gw1b, juki-ap1 and kouhou-ap1, which stands alone; kvm02 juki-ap2 and juki-db2; kvm03 dc1-gw1a and
juki-db1.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

from infra.configure.services import services
from infra.maintenance.crew import PROGRAM as HAPROXY
from infra.maintenance.crew import Crew
from infra.operations.virsh import Hypervisor
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.process import Completed
from infra.resources import names
from network.errors import EnvironmentLackError, OperationError
from tests.plan import factory

ONE = {"vcpus": 1, "memory_gib": 1, "disk_gib": 1}
TWO = {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 2}
BUILT = builder.build(
    "test",
    factory.declaration(
        members=2,
        services=[
            factory.service(
                "juki", "multi_tenant", "mynumber", nodes={"application": {"count": 2, **ONE}, "database": TWO}
            ),
            factory.service("kouhou", "multi_tenant", "mynumber", nodes={"application": {"count": 1, **ONE}}),
        ],
    ),
    Lock(stack="test"),
    datetime.date(2026, 4, 1),
    clock=lambda: 0.0,
)
PLAN = BUILT.plan
UNITS = services(PLAN)
NOW = datetime.datetime(2026, 4, 1, 0, 30, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host(Hypervisor):
    """A host of the world."""

    world: World

    def running(self) -> frozenset[str]:
        if self.host in self.world.silent_hosts:
            raise EnvironmentLackError(f"host {self.host}: libvirtd does not answer")
        on = {node.name for node in PLAN.nodes_on(self.host)}
        return frozenset(names.domain("test", node) for node in on & self.world.up)

    def start(self, domain: str) -> None:
        self.world.log.append(f"start {domain.rpartition('.')[2]}")
        self.world.boot(domain.rpartition(".")[2])

    def shut_down(self, domain: str) -> None:
        self.world.log.append(f"power button of {domain.rpartition('.')[2]}")


@dataclasses.dataclass
class World:
    """What is, and what was done to it; whole in the beginning, with the first of each set at work."""

    up: set[str] = dataclasses.field(default_factory=lambda: {node.name for node in PLAN.nodes})
    primary: str = "juki-db1"
    behind: bool = False
    """Whether the standby has not every write."""
    held: dict[str, str] = dataclasses.field(default_factory=lambda: {v.name: v.nodes[0] for v in PLAN.network.vips})
    stopped: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    """Node and unit."""
    out: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    """Entry and the application that it sends nothing to."""
    open: int = 3
    """Requests that end one at each look, while an application is drained."""
    deaf: set[str] = dataclasses.field(default_factory=set)
    """Machines that do not shut down."""
    stubborn: bool = False
    """Whether nobody takes an address over."""
    powerless: bool = False
    """Whether HAProxy takes no orders."""
    silent_hosts: set[str] = dataclasses.field(default_factory=set)
    log: list[str] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)
    looks: int = 0

    def crew(self) -> Crew:
        times = iter(range(10_000))
        hosts = {host.id: Host(host=host.id, uri="", stack="test", world=self) for host in PLAN.hosts}
        return Crew(
            plan=PLAN, machines=self, hosts=hosts, progress=self.said.append,
            wait=lambda seconds: None, clock=lambda: float(next(times) * 10),
        )  # fmt: skip

    def boot(self, node: str) -> None:
        self.up.add(node)
        self.stopped -= {(node, unit) for unit in UNITS[node]}

    # --- machines

    def answers(self, node: str) -> bool:
        return node in self.up

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        done = self.probe(node, *command, stdin=stdin, timeout_s=timeout_s)
        if not done.ok:
            raise OperationError(f"{node} on host {PLAN.node_by_name[node].host}: {done.stderr}")
        return done.stdout

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        if node not in self.up:
            return Completed(argv=command, returncode=255, stdout="", stderr="no route to host")
        said: Any = ""
        match command:
            case ("python3", *_, program) if program == HAPROXY.read_text(encoding="utf-8"):
                said = json.dumps({order: self._told(node, order) for order in json.loads(stdin or "")})
            case ("python3", *_):
                said = json.dumps(self._status(node, json.loads(stdin or "")))
            case ("systemctl", "poweroff"):
                self._power_off(node)
            case ("systemctl", verb, *_, unit):
                self._unit(node, verb, unit)
            case ("runuser", *_, "--candidate", after, "--force", _):
                self.log.append(f"switch over to {after}")
                self.primary = after
            case _:
                raise AssertionError(f"{node}: unknown command {command}")
        return Completed(argv=command, returncode=0, stdout=said, stderr="")

    def _power_off(self, node: str) -> None:
        self.log.append(f"shut down {node}")
        if node not in self.deaf:
            self.up.discard(node)
            self._give_away(node)

    def _unit(self, node: str, verb: str, unit: str) -> None:
        was = (node, unit) in self.stopped
        if verb == "stop":
            self.stopped.add((node, unit))
            self._give_away(node)
        else:
            self.stopped.discard((node, unit))
        if verb == "restart" or was != ((node, unit) in self.stopped):
            self.log.append(f"{verb} {unit} on {node}")

    def _give_away(self, node: str) -> None:
        for vip in PLAN.network.vips:
            others = [one for one in vip.nodes if one != node and one in self.up]
            if self.held[vip.name] == node and others and not self.stubborn:
                self.held[vip.name] = others[0]

    def _told(self, node: str, order: str) -> str:
        if self.powerless:
            return "Permission denied"
        backend, server = order.split()[2].split("/")
        if backend.endswith("-plain"):
            return "No such backend."
        state = order.rsplit(maxsplit=1)[-1]
        self.log.append(f"{node}: {server} {state}")
        (self.out.add if state == "drain" else self.out.discard)((node, server))
        return ""

    def _status(self, node: str, orders: Mapping[str, Any]) -> Mapping[str, Any]:
        self.looks += 1
        vips = {str(vip.address.ip): vip.name for vip in PLAN.network.vips}
        return {
            "units": {u: "inactive" if (node, u) in self.stopped else "active" for u in orders["units"]},
            "held": [address for address in orders["addresses"] if self.held[vips[address]] == node],
            "sessions": dict.fromkeys((h["peer"] for h in _peers()), "Established") if orders["sessions"] else {},
            "backends": self._backends(node) if orders["balances"] else {},
            "server": self._server(node) if orders["server"] else None,
            "voter": self._voter(node) if orders["voter"] else None,
        }

    def _backends(self, node: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for endpoint in PLAN.network.endpoint_of_node(node):
            if node in endpoint.entry:
                found[endpoint.name] = {name: self._server_behind(node, name) for name in endpoint.application}
        cluster = PLAN.network.cluster_by_node.get(node)
        if cluster is not None and node in cluster.applications:
            found[cluster.server_name] = {
                name: {"status": "UP" if name == self.primary else "DOWN", "sessions": 0} for name in cluster.databases
            }
        return found

    def _server_behind(self, entry: str, name: str) -> Mapping[str, Any]:
        if (entry, name) not in self.out:
            return {"status": "UP" if name in self.up else "DOWN", "sessions": 1}
        self.open = max(self.open - 1, 0)
        return {"status": "DRAIN" if name in self.up else "DOWN", "sessions": self.open}

    def _server(self, node: str) -> Mapping[str, Any]:
        (other,) = {"juki-db1", "juki-db2"} - {node}
        copies = {"state": "streaming", "sync": "async" if self.behind else "sync", "bytes": 0, "seconds": None}
        primary = node == self.primary
        standbys = {other: copies} if primary and other in self.up else {}
        return {
            "state": "running", "role": "primary" if primary else "replica", "timeline": 1, "standbys": standbys,
            "sync_standby": not primary and not self.behind,
        }  # fmt: skip

    @staticmethod
    def _voter(node: str) -> Mapping[str, Any]:
        number = {"juki-db1": "1", "juki-db2": "2", "juki-ap1": "3"}
        return {
            "health": {"health": "true"},
            "status": {"header": {"member_id": number[node]}, "leader": "2"},
            "members": {"members": [{"name": name} for name in number]},
        }


def _peers() -> list[Mapping[str, str]]:
    return [{"peer": str(hand.peer)} for line in PLAN.network.lines for hand in line.handoffs]

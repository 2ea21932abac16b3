"""Planned work at the entry of the demo's resident register, with HAProxy and keepalived as they run in namespaces.

The client asks all the time. Its orders reach the machines as `kumiai` gives them over SSH; units are stand-ins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import infra.plan
from infra.maintenance import restart
from infra.maintenance.crew import Crew
from infra.maintenance.steps import HandOver
from infra.process import Completed, probe
from network.errors import OperationError
from tests.network.render import demo, test_entry_in_namespaces
from tests.network.render.test_entry_in_namespaces import APPLICATION, TAKEOVER_S, VIP, Pair, until

pytestmark = test_entry_in_namespaces.pytestmark
pair = test_entry_in_namespaces.pair
PLAN = infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan


@dataclasses.dataclass
class Machines:
    """Runs what `kumiai` would run over SSH."""

    pair: Pair
    folder: pathlib.Path

    def answers(self, node: str) -> bool:
        return True

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        done = self.probe(node, *command, stdin=stdin, timeout_s=timeout_s)
        if not done.ok:
            raise OperationError(f"{node}: {done.stderr}")
        return done.stdout

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        member = next(m for m in self.pair.members if m.machine.node.name == node)
        if command[0] == "systemctl":
            _, verb, unit = command
            program = {"keepalived.service": "keepalived"}.get(unit, "application")
            test_entry_in_namespaces._end(member.processes[program])
            if verb == "restart":
                self.start(node, "application", sys.executable, "-c", APPLICATION, node, str(member.own))
            return Completed(argv=command, returncode=0, stdout="", stderr="")
        words = [word.replace("/run/haproxy", str(self.folder / node)) for word in command]
        done = probe("ip", "netns", "exec", member.machine.inside, *words, stdin=stdin, timeout_s=timeout_s)
        if '"units"' not in done.stdout:
            return done
        said = json.loads(done.stdout)
        said["units"] = dict.fromkeys(json.loads(stdin or "{}")["units"], "active")
        return dataclasses.replace(done, stdout=json.dumps(said))

    def start(self, node: str, program: str, *argv: str) -> None:
        member = next(m for m in self.pair.members if m.machine.node.name == node)
        with (self.folder / node / f"{program}.log").open("ab") as log:
            inside = ["/usr/bin/env", "ip", "netns", "exec", member.machine.inside, *argv]
            member.processes[program] = subprocess.Popen(inside, stdout=log, stderr=log)


@dataclasses.dataclass
class Client:
    """What an office saw that asked all the time."""

    answered: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0

    @property
    def longest_s(self) -> float:
        """The longest time without an answer."""
        return max(b - a for a, b in zip(self.answered, self.answered[1:], strict=False))


@contextlib.contextmanager
def asking(pair: Pair) -> Iterator[Client]:
    found, stop = Client(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            if pair.ask() is None:
                found.failed += 1
            else:
                found.answered.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        until(lambda: len(found.answered) > 2)
        yield found
        before = len(found.answered)
        until(lambda: len(found.answered) > before + 2)
    finally:
        stop.set()
        thread.join(30)


@contextlib.contextmanager
def crew_of(pair: Pair, folder: pathlib.Path) -> Iterator[Crew]:
    """Yield what does the work; HAProxy takes orders from its administrator."""
    machines = Machines(pair, folder)
    for member in pair.members:
        node = member.machine.node.name
        path = folder / node / "haproxy.cfg"
        path.write_text(path.read_text().replace("level operator", "level admin"))
        test_entry_in_namespaces._end(member.processes["haproxy"])
        machines.start(node, "haproxy", "haproxy", "-db", "-f", str(path))
    try:
        pair.must_ask()
        crew = Crew(plan=PLAN, machines=machines, hosts={}, progress=print)
        until(lambda: not crew.look(("juki-ap1", "juki-ap2")).findings)
        yield crew
    finally:
        for member in pair.members:
            for process in member.processes.values():
                test_entry_in_namespaces._end(process)


def test_an_application_is_restarted_everywhere_and_no_request_fails(pair: Pair, tmp_path: pathlib.Path) -> None:
    before = {id(member.processes["application"]) for member in pair.members}
    with crew_of(pair, tmp_path) as crew, asking(pair) as client:
        restart.restart(crew, restart.find(PLAN.network, "juki"), accept_stop=False)
    assert before.isdisjoint({id(member.processes["application"]) for member in pair.members})
    print(f"{len(client.answered)} answered, {client.failed} failed, longest {client.longest_s:.2f} s")
    assert client.failed == 0


def test_an_address_that_is_handed_over_is_away_for_a_moment(pair: Pair, tmp_path: pathlib.Path) -> None:
    with crew_of(pair, tmp_path) as crew:
        holder = until(pair.holder).machine.node.name
        (other,) = {"juki-ap1", "juki-ap2"} - {holder}
        with asking(pair) as client:
            crew.hand_over(HandOver(node=holder, addresses=(VIP.name,), to=(other,)))
        assert until(pair.holder).machine.node.name == other
    print(f"{len(client.answered)} answered, {client.failed} failed, longest {client.longest_s:.2f} s")
    assert client.longest_s < TAKEOVER_S

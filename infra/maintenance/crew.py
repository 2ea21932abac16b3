"""Does the steps: on the machines over SSH, on their hosts by libvirt."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from infra.maintenance import groups, on_node, steps, switchover
from infra.maintenance.steps import Drain, HandOver, Step, SwitchOver, backends_of
from infra.operations.shell import python
from infra.operations.virsh import Hypervisor
from infra.operations.waiting import await_until
from infra.plan.model import Plan
from infra.process import Completed
from infra.resources import names
from infra.status import look
from infra.status.faults import unexplained
from infra.status.model import ACTIVE, Asked, Status
from network.errors import OperationError
from network.model import ServiceEndpoint

PROGRAM = pathlib.Path(on_node.__file__)
KEEPALIVED, HAPROXY = "keepalived.service", "haproxy.service"
DRAIN_S = 30.0
"""How long requests under way may take to end; what is still open then ends with the machine."""
TAKEOVER_S = 30.0
"""A planned takeover takes less than an advertisement; an emulated machine may stand still for seconds."""
STOP_S = 300.0
"""How long machines may take to shut down: a database writes down what it has (its unit has 120 s)."""
BOOT_S = 600.0
"""An emulated machine takes one to three minutes to its services."""
POLL_S = 1.0
NO_BACKEND = "No such backend."


class Machines(Protocol):
    """Runs commands as root on nodes; `infra.operations.shell.Shell` does."""

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Return the command's stdout; OperationError when it fails or the node does not answer."""

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> Completed:
        """Return how the command ended."""

    def answers(self, node: str) -> bool:
        """Say whether ``node`` runs commands."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What would be done to take machines out, and what speaks against it."""

    nodes: tuple[str, ...]
    steps: tuple[Step, ...]
    faults: tuple[str, ...]
    """What is not whole of that which stands in for them."""
    stops: tuple[str, ...]
    """What nothing stands in for."""

    def require_allowed(self, *, accept_stop: bool) -> None:
        """Raise OperationError while a partner is not whole, or something would stop that nobody has accepted."""
        if self.faults:
            listed = "\n".join(f"  {fault}" for fault in self.faults)
            raise OperationError(
                f"what stands in for {', '.join(self.nodes)} is not whole, so nothing is taken out:\n{listed}"
            )
        if self.stops and not accept_stop:
            listed = "\n".join(f"  {text}" for text in self.stops)
            raise OperationError(f"this would stop:\n{listed}\nNothing was touched. To accept it: --accept-stop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crew:
    """A way to the machines of a stack and their hosts."""

    plan: Plan
    machines: Machines
    hosts: Mapping[str, Hypervisor]
    progress: Callable[[str], None]
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @functools.cached_property
    def _questions(self) -> tuple[Asked, ...]:
        return look.questions(self.plan)

    def look(self, nodes: Collection[str]) -> Status:
        """Return what ``nodes`` say now."""
        return look.look(self.plan, self.machines, [q for q in self._questions if q.node in nodes])

    def prepare(self, nodes: Collection[str], host: str | None = None) -> Prepared:
        """Return what would be done to take ``nodes`` out (all those of ``host``, when one is given); touch nothing."""
        for node in nodes:
            self._host(node).running()  # a silent host ends it here, before anything changes
        status = self.look(groups.concerned(self.plan, nodes))
        faults = tuple(map(str, unexplained(status.faults, nodes)))
        return Prepared(
            nodes=tuple(nodes),
            # What is not whole may lack what the steps need, and is refused anyway.
            steps=() if faults else steps.before_stop(self.plan, nodes, status),
            faults=faults,
            stops=groups.stopping(self.plan, nodes, host),
        )

    def take_out(self, prepared: Prepared) -> tuple[str, ...]:
        """Do the steps, then shut the machines down in good order; return those that do not listen and still run."""
        for step in prepared.steps:
            self.progress(str(step))
            match step:
                case SwitchOver():
                    switchover.switchover(
                        self.plan, self.machines, step.cluster, step.after, wait=self.wait, clock=self.clock
                    )
                case Drain():
                    self.drain(step)
                case HandOver():
                    self.hand_over(step)
        return self._stop(prepared.nodes)

    def put_back(self, nodes: Collection[str]) -> None:
        """Start ``nodes``, have requests sent to them again, and wait until they and their partners are whole."""
        for node in nodes:
            if self._domain(node) not in self._host(node).running():
                self.progress(f"starting {node}")
                self._host(node).start(self._domain(node))
        for node in nodes:
            self._until(f"{node} runs commands", functools.partial(self.machines.answers, node), BOOT_S)
        self.serve_again(nodes)

    def serve_again(self, nodes: Collection[str]) -> None:
        """Have running machines take part again, and wait until they and their partners are whole."""
        for question in self._questions:
            if question.node in nodes and KEEPALIVED in question.units:
                self._start_keepalived(question.node)
        for node in nodes:
            for endpoint in self.plan.network.endpoint_of_node(node):
                if node in endpoint.application:
                    self.ready(endpoint, node)
        self.await_whole(groups.concerned(self.plan, nodes))

    def ready(self, endpoint: ServiceEndpoint, node: str) -> None:
        """Have the entries of ``endpoint`` send requests to ``node`` again, when their HAProxy runs."""

        def balanced() -> bool:
            answers = self.look(endpoint.entry).answers.values()
            return all(answer is not None and answer.units.get(HAPROXY) == ACTIVE for answer in answers)

        self._until(f"HAProxy runs on {', '.join(endpoint.entry)}", balanced, BOOT_S)
        self._set(node, backends_of(endpoint), endpoint.entry, "ready")

    def await_whole(self, nodes: Collection[str]) -> None:
        """Wait until everything about ``nodes`` is whole; OperationError that names what is missing."""
        self.progress(f"waiting until {', '.join(nodes)} are whole")
        asked = [q for q in self._questions if q.node in nodes]
        look.await_whole(self.plan, self.machines, asked, wait=self.wait, clock=self.clock)

    def drain(self, step: Drain) -> None:
        """Have no more requests sent to an application, and wait within a bound until those under way have ended."""
        self._set(step.node, step.backends, step.entries, "drain")
        end = self.clock() + DRAIN_S
        while left := self._sessions(step, self.look(step.entries)):
            if self.clock() > end:
                self.progress(f"{step.node} still has {left} open after {DRAIN_S:g} s; they end with it")
                return
            self.wait(POLL_S)

    @staticmethod
    def _sessions(step: Drain, status: Status) -> int:
        return sum(
            behind.sessions
            for answer in status.answers.values()
            if answer is not None
            for backend in step.backends
            for server, behind in answer.backends.get(backend, {}).items()
            if server == step.node
        )

    def _set(self, node: str, backends: Iterable[str], entries: Iterable[str], state: str) -> None:
        """Tell the HAProxy of each entry what to do with ``node``: ``drain``, or ``ready``."""
        orders = [f"set server {backend}/{node} state {state}" for backend in backends]
        for entry in entries:
            said = self.machines.run(entry, *python(PROGRAM.read_text(encoding="utf-8")), stdin=json.dumps(orders))
            answers: dict[str, str] = json.loads(said)
            refused = {order: answer for order, answer in answers.items() if answer not in ("", NO_BACKEND)}
            for order, answer in refused.items():
                raise OperationError(f"{entry}: HAProxy does not obey “{order}”: {answer}")

    def hand_over(self, step: HandOver) -> None:
        """Have a machine give its addresses away, and wait until the others hold them."""
        vips = [self.plan.network.vip_by_name[name] for name in step.addresses]
        nodes = {node for vip in vips for node in vip.nodes}
        self.machines.run(step.node, "systemctl", "stop", KEEPALIVED)

        def taken_over() -> bool:
            holders = {one.vip.name: one.holders for one in self.look(nodes).holdings}
            return all(len(holders[name]) == 1 and holders[name][0] in step.to for name in step.addresses)

        try:
            self._until(f"{' or '.join(step.to)} holds {', '.join(step.addresses)}", taken_over, TAKEOVER_S)
        except OperationError:
            self._start_keepalived(step.node)
            raise

    def _start_keepalived(self, node: str) -> None:
        # It waits for others of a machine that has just started; whether it came is seen afterwards.
        self.machines.run(node, "systemctl", "start", "--no-block", KEEPALIVED)

    def _stop(self, nodes: Collection[str]) -> tuple[str, ...]:
        for node in nodes:
            if self._domain(node) in self._host(node).running():
                self.progress(f"shutting down {node}")
                # By itself; the power button is for those that cannot be asked.
                if not self.machines.probe(node, "systemctl", "poweroff").ok:
                    self._host(node).shut_down(self._domain(node))
        end = self.clock() + STOP_S
        while left := tuple(node for node in nodes if self._domain(node) in self._host(node).running()):
            if self.clock() > end:
                break
            self.wait(POLL_S)
        return left

    def _until(self, what: str, true: Callable[[], bool], limit_s: float) -> None:
        await_until(what, true, limit_s, POLL_S, wait=self.wait, clock=self.clock)

    def _host(self, node: str) -> Hypervisor:
        return self.hosts[self.plan.node_by_name[node].host]

    def _domain(self, node: str) -> str:
        return names.domain(self.plan.stack, node)

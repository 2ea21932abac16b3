"""The faults that drills know: how each is made and repaired. Pure words and one edge, `ready`."""

from __future__ import annotations

import contextlib
import enum
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from infra import process
from infra.drills import on_node
from infra.drills.scene import Scene
from infra.hosts import access
from infra.operations.shell import python
from infra.resources import names
from network.errors import OperationError

Strike = Callable[[], None]
DATA = "/srv"
"""Where a machine's data volume is mounted."""
READY_S = 30.0
"""How long the program on a machine may take to repair what it has broken."""
DISABLED, FORWARDING = "0", "3"
"""States of a bridge port (IEEE 802.1D; bridge(8))."""


class Fault(enum.StrEnum):
    """One vocabulary for all kinds of drills; which of them a kind takes stands in its module."""

    POWER = "power"
    CUT = "cut"
    FREEZE_KEEPALIVED = "freeze-keepalived"
    FREEZE_HAPROXY = "freeze-haproxy"
    FREEZE_PATRONI = "freeze-patroni"
    FREEZE_POSTGRESQL = "freeze-postgresql"
    CRASH = "crash"
    ETCD = "etcd"
    DISK = "disk"
    STANDBY = "standby"
    SWITCHOVER = "switchover"


WORDS: Mapping[Fault, str] = {
    Fault.POWER: "power lost (virsh destroy), started again",
    Fault.CUT: "all cards but the management one discard silently",
    Fault.FREEZE_KEEPALIVED: "keepalived stands still (SIGSTOP)",
    Fault.FREEZE_HAPROXY: "HAProxy stands still (SIGSTOP)",
    Fault.FREEZE_PATRONI: "Patroni stands still (SIGSTOP)",
    Fault.FREEZE_POSTGRESQL: "PostgreSQL stands still, all of its processes (SIGSTOP)",
    Fault.CRASH: "PostgreSQL killed (SIGKILL)",
    Fault.ETCD: "the voter killed (SIGKILL of etcd)",
    Fault.DISK: "the data volume is full",
    Fault.STANDBY: "power of the standby lost (virsh destroy), started again",
    Fault.SWITCHOVER: "handed over as planned",
}
ORDERS: Mapping[Fault, Mapping[str, str]] = {
    Fault.FREEZE_KEEPALIVED: {"act": "freeze", "unit": "keepalived.service", "program": "keepalived"},
    Fault.FREEZE_HAPROXY: {"act": "freeze", "unit": "haproxy.service", "program": "haproxy"},
    Fault.FREEZE_PATRONI: {"act": "freeze", "unit": "kumiai-database.service", "program": "patroni"},
    Fault.FREEZE_POSTGRESQL: {"act": "freeze", "unit": "kumiai-database.service", "program": "postgres"},
    Fault.CRASH: {"act": "kill", "unit": "kumiai-database.service", "program": "postgres"},
    Fault.ETCD: {"act": "kill", "unit": "kumiai-etcd.service", "program": "etcd"},
    Fault.DISK: {"act": "fill", "folder": DATA},
}
"""What `on_node` is told for the faults that are made on the machine itself."""


@contextlib.contextmanager
def ready(scene: Scene, fault: Fault, nodes: Sequence[str]) -> Iterator[Strike]:
    """Yield what breaks ``nodes``, prepared so that it takes a moment only; with the block all of it is repaired.

    A machine that was switched off is switched on, and may still be starting afterwards.
    """
    with contextlib.ExitStack() as stack:
        strikes = [stack.enter_context(_one(scene, fault, node)) for node in nodes]

        def strike() -> None:
            for each in strikes:
                each()

        yield strike


def _one(scene: Scene, fault: Fault, node: str) -> contextlib.AbstractContextManager[Strike]:
    if fault in (Fault.POWER, Fault.STANDBY):
        return _powerless(scene, node)
    if fault is Fault.CUT:
        return silent(scene, [(node, card.segment) for card in scene.plan.network.node_by_name[node].interfaces])
    return _on_node(scene, fault, node)


@contextlib.contextmanager
def _powerless(scene: Scene, node: str) -> Iterator[Strike]:
    try:
        yield lambda: scene.kill(node)
    finally:
        scene.start(node)


@contextlib.contextmanager
def silent(scene: Scene, cards: Sequence[tuple[str, str]]) -> Iterator[Strike]:
    """Let the bridge ports of ``cards`` (node, segment) discard everything, while every interface stays up.

    Cards on management segments are left out: by those the machines are asked what they do.
    """
    ports = [_port(scene, node, segment) for node, segment in cards if not _manages(scene, segment)]

    def turn(state: str) -> None:
        with contextlib.ExitStack() as stack:  # every host is told, whatever becomes of the others
            for host in dict.fromkeys(host for host, _ in ports):
                commands = "".join(f"link set dev {port} state {state}\n" for on, port in ports if on == host)
                stack.callback(access.run_on, scene.plan, host, "bridge", "-force", "-batch", "-", stdin=commands)

    try:
        yield lambda: turn(DISABLED)
    finally:
        turn(FORWARDING)


def _manages(scene: Scene, segment: str) -> bool:
    return scene.plan.network.segment_by_name[segment].kind == "management"


def _port(scene: Scene, node: str, segment: str) -> tuple[str, str]:
    """Return host and bridge port of a machine's card."""
    host = scene.plan.node_by_name[node].host
    mac = scene.plan.network.node_by_name[node].interface(segment).mac.lower()
    for line in scene.hosts[host].call("domiflist", names.domain(scene.plan.stack, node)).splitlines():
        fields = line.split()
        if fields and fields[-1].lower() == mac:
            return host, fields[0]
    raise OperationError(f"{node} on host {host}: no card with the address {mac}")


@contextlib.contextmanager
def _on_node(scene: Scene, fault: Fault, node: str) -> Iterator[Strike]:
    source = pathlib.Path(on_node.__file__).read_text(encoding="utf-8")
    argv = scene.shell.argv(node, *python(source, json.dumps(ORDERS[fault])))
    with process.started(*argv) as child:
        if child.hear() != "ready":
            raise OperationError(f"{node}: cannot be broken: {child.finish(READY_S).stderr.strip() or 'no answer'}")

        def strike() -> None:
            child.tell("now")
            hit = child.hear()
            if not hit:
                raise OperationError(f"{node}: there is nothing to break: {WORDS[fault]}")
            scene.progress(f"{node}: {WORDS[fault]}: {hit}")

        try:
            yield strike
        finally:
            with contextlib.suppress(BrokenPipeError):  # the machine has gone with it
                child.finish(READY_S)

"""First contact: waits until the machines answer on SSH as themselves, then wipes their first-boot disks."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from infra import memory, process
from infra.hosts import access
from infra.image import cloud_init
from infra.operations.virsh import Hypervisor, Thing
from infra.plan.model import Node, Plan
from infra.resources import domain_xml, names
from infra.secrets.model import Secrets
from network import errors

LIMIT_S = 900.0
"""An emulated machine takes one to three minutes; more is a fault."""
MARKER_LIMIT_S = 120.0
"""How long after its first answer a machine may still be busy with its first boot."""
POLL_S = 2.0
CONNECT_S = 10
ISO_MAGIC_OFFSET = 32769
"""An ISO 9660 volume says ``CD001`` here; a wiped one has zeros."""
ISO_MAGIC = b"CD001"
CONSOLE_LINES = 8

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one machine answered."""

    node: str
    seconds: float | None
    """Since the wait began; None: it never did."""
    booted: bool
    """Whether its first boot is over."""
    cause: str
    """The last thing that ssh said."""


def wait_ssh(
    plan: Plan,
    site: str,
    secrets: Secrets,
    *,
    only: Collection[str] | None = None,
    lost: Sequence[str] = (),
    progress: Progress = lambda _: None,
    limit_s: float = LIMIT_S,
) -> Mapping[str, Answer]:
    """Wait until the machines of ``site``, or ``only`` some of them, answer on SSH as themselves; return how each did.

    A machine that does not show the host key it was given does not count: nobody trusts on first use.
    """
    nodes = [node for node in plan.nodes if node.site == site and node.host not in lost]
    nodes = [node for node in nodes if only is None or node.name in only]
    answers: dict[str, Answer] = {}
    # Interrupted, the pool must not wait for its threads to run into their limit.
    stop = threading.Event()
    with ssh_files(plan, secrets, nodes) as options, ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        arguments = (*options, *access.station_ssh_args(plan, site, lost))
        waits = [
            pool.submit(_await_one, plan, node, arguments, limit_s=limit_s, stop=stop, progress=progress)
            for node in nodes
        ]
        try:
            for wait in as_completed(waits):
                answer = wait.result()
                answers[answer.node] = answer
        except BaseException:
            stop.set()
            raise
    return answers


def require_answers(plan: Plan, answers: Mapping[str, Answer], limit_s: float = LIMIT_S) -> None:
    """Raise an error that names every machine that did not answer, with the last lines of its console."""
    silent = [answer for answer in answers.values() if answer.seconds is None]
    if not silent:
        return
    lines = [f"{len(silent)} of {len(answers)} machines did not answer on SSH within {limit_s:g} s"]
    for answer in sorted(silent, key=lambda a: a.node):
        host = plan.node_by_name[answer.node].host
        lines.append(f"  {answer.node} on host {host}: {answer.cause}")
        lines += [f"    | {line}" for line in console_tail(plan, answer.node)]
    raise errors.OperationError("\n".join(lines))


def console_tail(plan: Plan, node: str) -> tuple[str, ...]:
    """Return the last lines that a machine wrote to its console, as far as the host tells."""
    log = domain_xml.console_log(names.domain(plan.stack, node))
    with contextlib.suppress(errors.KumiaiError):
        text = access.run_on(plan, plan.node_by_name[node].host, "tail", "-n", str(CONSOLE_LINES), log)
        return tuple("".join(c for c in line if c.isprintable()) for line in text.splitlines() if line.strip())
    return ()


@contextlib.contextmanager
def ssh_files(plan: Plan, secrets: Secrets, nodes: Sequence[Node]) -> Iterator[tuple[str, ...]]:
    """Yield ssh options with the station's key and the pinned host keys, in files that end with this block."""
    with memory.private_folder("ssh") as folder:
        key, known = folder / "key", folder / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(secrets.station.private)
        addresses = {node.name: plan.network.node_by_name[node.name].management.address.ip for node in nodes}
        known.write_text("".join(f"{addresses[n.name]} {secrets.hosts[n.name].public}\n" for n in nodes))
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(key),
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
        }
        yield ("-F", "/dev/null", *(part for pair in settings.items() for part in ("-o", "=".join(pair))))


def _await_one(
    plan: Plan, node: Node, options: Sequence[str], *, limit_s: float, stop: threading.Event, progress: Progress
) -> Answer:
    address = plan.network.node_by_name[node.name].management.address.ip
    command = ("ssh", *options, f"{cloud_init.ACCOUNT}@{address}", "test", "-e", cloud_init.DONE_MARKER)
    start = time.monotonic()
    answered: float | None = None
    cause = "no answer"
    while not stop.is_set():
        done = process.probe(*command, timeout_s=3 * CONNECT_S)
        now = time.monotonic() - start
        if done.returncode in (0, 1):
            if answered is None:
                answered = now
                progress(f"{node.name} answers on SSH after {now:.0f} s")
            if done.ok:
                return Answer(node=node.name, seconds=answered, booted=True, cause="")
        else:
            cause = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        if (answered is None and now > limit_s) or (answered is not None and now - answered > MARKER_LIMIT_S):
            break
        stop.wait(POLL_S)
    return Answer(node=node.name, seconds=answered, booted=False, cause=cause)


def unwiped(
    plan: Plan, site: str, hosts: Mapping[str, Hypervisor], present: Mapping[str, frozenset[Thing]]
) -> Mapping[str, tuple[str, ...]]:
    """Return the first-boot disks that still say something: node → volumes; nodes without any are left out."""
    planned = {(node.host, node.name) for node in plan.nodes if node.site == site}
    found: dict[str, tuple[str, ...]] = {}
    for host, hypervisor in hosts.items():
        for thing in sorted(present[host]):
            mark = names.volume_mark(plan.stack, thing.name) if thing.kind == "volume" else None
            if mark is None or mark.kind != "seed" or (host, mark.subject) not in planned:
                continue
            if hypervisor.read_volume(thing.name, ISO_MAGIC_OFFSET, len(ISO_MAGIC)) == ISO_MAGIC:
                found[mark.subject] = (*found.get(mark.subject, ()), thing.name)
    return found


def wipe(plan: Plan, hosts: Mapping[str, Hypervisor], disks: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Overwrite first-boot disks (node → volumes) with zeros; return the volumes.

    They hold the machines' SSH host keys, and nothing reads them again: the first boot has turned cloud-init off.
    """
    for node, volumes in disks.items():
        for volume in volumes:
            hosts[plan.node_by_name[node].host].wipe_volume(volume)
    return tuple(volume for volumes in disks.values() for volume in volumes)

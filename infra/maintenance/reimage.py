"""A new guest image is rolled through a stack, group by group; data volumes stay. The way of patches, too."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Collection, Mapping

from infra.maintenance import groups, record
from infra.maintenance.crew import Crew
from infra.maintenance.groups import Groups
from infra.maintenance.record import Record
from infra.plan.model import Plan
from network.errors import InputError, KumiaiError, OperationError

Work = Callable[[Collection[str]], None]
ORDER = ("application", "witness", "load_balancer", "database", "gateway")
"""Roles by how many would notice: a faulty image is to be seen where one machine of a service has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """What is to be done."""

    image: str
    groups: Groups
    begun: tuple[str, ...]
    """The first group, when an interrupted run has begun with it: its machines may be half made."""
    before: Mapping[str, str | None]
    """Machine → the image that it was made from."""
    stops: tuple[str, ...]
    """What stops meanwhile, since nothing stands in for it."""

    def require_allowed(self, *, accept_stop: bool) -> None:
        """Raise OperationError while something would stop that nobody has accepted."""
        if self.stops and not accept_stop:
            listed = "\n".join(f"  {text}" for text in self.stops)
            raise OperationError(f"this would stop:\n{listed}\nNothing was touched. To accept it: --accept-stop")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a machine is made anew with; each takes the machines of one group."""

    pin: Work
    """Writes the image into the lock."""
    replace: Work
    """Makes the machines anew from what the lock says, data volumes kept, and waits until they answer."""
    configure: Work


def prepare(plan: Plan, root: pathlib.Path, wanted: Collection[str], image: str) -> Rolling:
    """Return the order in which ``wanted`` machines (empty: all) get ``image``; what has it already is left out.

    What an interrupted run had begun comes first. Raises InputError for unknown machines, OperationError while a host
    is in maintenance.
    """
    unknown = sorted(set(wanted) - plan.node_by_name.keys())
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such node; the plan has {', '.join(plan.node_by_name)}")
    known = record.load(root, plan.stack)
    if known is not None and known.kind != "reimage":
        record.require_none(root, plan.stack)
    begun = tuple(node for node in known.nodes if node in plan.node_by_name) if known is not None else ()
    todo = [
        node.name
        for node in sorted(plan.nodes, key=lambda node: ORDER.index(node.role) if node.role in ORDER else len(ORDER))
        if (not wanted or node.name in wanted) and node.image != image and node.name not in begun
    ]
    found = groups.rolling(plan, todo)
    return Rolling(
        image=image,
        groups=((begun, *found) if begun else found),
        begun=begun,
        before={node: plan.node_by_name[node].image for node in (*begun, *todo)},
        stops=groups.stopping(plan, (*begun, *todo)),
    )


def roll(
    crew: Crew, tools: Tools, root: pathlib.Path, rolling: Rolling, now: datetime.datetime, *, accept_stop: bool
) -> None:
    """Do it, one group after the other; the next one begins when the last one and its partners are whole.

    Stops at the first failure: OperationError says which machines it is about and how to go on.
    """
    rolling.require_allowed(accept_stop=accept_stop)
    for number, group in enumerate(rolling.groups, start=1):
        crew.progress(f"group {number} of {len(rolling.groups)}: {', '.join(group)}")
        try:
            _renew(crew, tools, root, group, now, accept_stop=accept_stop)
        except KumiaiError as error:
            raise OperationError(f"{error}\n{_left(crew.plan.stack, root, rolling, number)}") from None


def _renew(
    crew: Crew, tools: Tools, root: pathlib.Path, group: tuple[str, ...], now: datetime.datetime, *, accept_stop: bool
) -> None:
    prepared = crew.prepare(group)
    prepared.require_allowed(accept_stop=accept_stop)
    record.save(root, crew.plan.stack, Record(kind="reimage", host=None, nodes=group, since=now))
    running = crew.take_out(prepared)
    if running:
        crew.progress(f"did not shut down, so their power will go: {', '.join(running)}")
    tools.pin(group)
    tools.replace(group)
    tools.configure(group)
    crew.serve_again(group)
    record.remove(root, crew.plan.stack)


def _left(stack: str, root: pathlib.Path, rolling: Rolling, number: int) -> str:
    """Return what the failure leaves, and how to go on."""
    known = record.load(root, stack)
    done = [node for group in rolling.groups[: number - 1] for node in group]
    rest = [node for group in rolling.groups[number - 1 :] for node in group]
    state = f"{', '.join(known.nodes)} may be out" if known is not None else "nothing is out"
    return (
        f"with the new image: {', '.join(done) or 'none'}; {state}; to go on when the cause is gone: "
        f"kumiai reimage {stack} {' '.join(rest)}"
    )

"""A host is drained for planned work, and takes its machines back."""

from __future__ import annotations

import datetime
import pathlib

from infra.maintenance import groups, record
from infra.maintenance.crew import Crew, Prepared
from infra.maintenance.record import Record
from network.errors import InputError, OperationError


def prepare(crew: Crew, root: pathlib.Path, host: str) -> Prepared:
    """Return what would be done to drain ``host``; OperationError while something else is out."""
    nodes = groups.nodes_of(crew.plan, host)
    known = record.load(root, crew.plan.stack)
    if known is not None and (known.kind, known.host) != ("maintenance", host):
        record.require_none(root, crew.plan.stack)
    return crew.prepare(nodes, host)


def begin(
    crew: Crew, root: pathlib.Path, host: str, prepared: Prepared, now: datetime.datetime, *, accept_stop: bool
) -> Record:
    """Drain ``host`` and shut its machines down; what was begun before goes on.

    Raises OperationError when a partner is not whole, something would stop, or a machine does not shut down.
    """
    stack = crew.plan.stack
    prepared.require_allowed(accept_stop=accept_stop)
    known = record.load(root, stack) or Record(kind="maintenance", host=host, nodes=prepared.nodes, since=now)
    record.save(root, stack, known)
    try:
        running = crew.take_out(prepared)
        if running:
            raise OperationError(f"{', '.join(running)}: did not shut down; look at their consoles")
    except OperationError as error:
        raise OperationError(
            f"{error}\nhost {host} is half drained: run the same command again to go on, or take it back: "
            f"{known.way_out(stack)}"
        ) from None
    return known


def end(crew: Crew, root: pathlib.Path, host: str) -> Record:
    """Start the machines of ``host`` again and wait until they and their partners are whole."""
    groups.nodes_of(crew.plan, host)  # for its words about a misspelt one
    known = record.load(root, crew.plan.stack)
    if known is None or known.host != host:
        raise InputError(f"host {host} is not in maintenance" + (f"; {known}" if known is not None else ""))
    crew.put_back([node for node in known.nodes if node in crew.plan.node_by_name])
    record.remove(root, crew.plan.stack)
    return known

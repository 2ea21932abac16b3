"""After an interrupted run: what does libvirt hold that the state does not know, and the other way round? Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from infra.operations import state
from infra.operations.state import Known
from infra.operations.virsh import Thing
from infra.operations.workspace import Deployment
from infra.resources import names

_REMOVAL_ORDER = {"domain": 0, "volume": 1, "network": 2, "pool": 3}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How state and hosts differ."""

    leftover: tuple[Thing, ...]
    """Made by an interrupted run that did not live to write it down: to be removed, in this order."""
    foreign: tuple[Thing, ...]
    """Marked as ours, unknown to the state, and nothing says that a run of ours has just made them."""
    forget: tuple[str, ...]
    """URNs of what no longer exists: to be dropped from the state, so that it is made again."""
    lost_data: Mapping[str, tuple[str, ...]]
    """Node → its volumes that vanished although nobody asked for it."""
    stale_operations: bool
    """Whether the state carries operations of an interrupted run."""

    @property
    def clean(self) -> bool:
        """Whether state and hosts agree."""
        return not (self.leftover or self.foreign or self.forget or self.stale_operations)


def in_removal_order(things: Iterable[Thing]) -> tuple[Thing, ...]:
    """Return ``things`` in the order in which they can be removed: machines, their volumes, networks, the pool."""
    return tuple(sorted(things, key=lambda thing: (_REMOVAL_ORDER[thing.kind], thing)))


def compare(
    stack: str,
    deployment: Deployment,
    present: Mapping[str, frozenset[Thing]],
    before: frozenset[Thing] | None,
) -> Differences:
    """Compare the state with what the answering hosts hold.

    ``before`` is what existed when an interrupted run began, or None when no run of this machine was interrupted: what
    is unknown and was not there yet can only come from that run.
    """
    held: frozenset[Thing] = frozenset().union(*present.values())
    told = [entry for entry in state.known(deployment) if entry.thing.host in present]
    unknown = held - {entry.thing for entry in told}
    begun = state.pending_creates(deployment)
    leftover = {thing for thing in unknown if thing in begun or (before is not None and thing not in before)}
    gone = [entry for entry in told if entry.thing not in held]
    forget, more = _consequences(stack, told, gone, held)
    return Differences(
        leftover=in_removal_order(leftover | more),
        foreign=tuple(sorted(unknown - leftover)),
        forget=tuple(sorted(forget)),
        lost_data=_lost_data(stack, [entry for entry in gone if entry.expected]),
        stale_operations=bool(state.pending(deployment)),
    )


def _consequences(
    stack: str, told: Sequence[Known], gone: Sequence[Known], held: frozenset[Thing]
) -> tuple[set[str], set[Thing]]:
    """Return the URNs to forget and the objects to remove: a machine without its disk is no machine any more.

    A root disk that is made again needs its cloud-init disk again, which was wiped after the first boot.
    """
    forget = {entry.urn for entry in gone}
    remove: set[Thing] = set()
    broken: set[tuple[str, str]] = set()
    for entry in gone:
        mark = names.volume_mark(stack, entry.thing.name) if entry.thing.kind == "volume" else None
        if mark is not None and mark.kind in ("root", "data"):
            broken.add((entry.thing.host, mark.subject))
    for entry in told:
        if entry.thing.kind == "domain":
            node = entry.thing.name.removeprefix(f"{names.pool(stack)}.")
        elif (
            entry.thing.kind == "volume"
            and (mark := names.volume_mark(stack, entry.thing.name))
            and mark.kind == "seed"
        ):
            node = mark.subject
        else:
            continue
        if (entry.thing.host, node) in broken:
            forget.add(entry.urn)
            if entry.thing in held:
                remove.add(entry.thing)
    return forget, remove


def _lost_data(stack: str, gone: Sequence[Known]) -> Mapping[str, tuple[str, ...]]:
    lost: dict[str, tuple[str, ...]] = {}
    for entry in gone:
        mark = names.volume_mark(stack, entry.thing.name) if entry.thing.kind == "volume" else None
        if mark is not None and mark.kind in ("root", "data"):
            lost[mark.subject] = (*lost.get(mark.subject, ()), entry.thing.name)
    return lost

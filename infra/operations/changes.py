"""What a preview means for people: create, live, restart, replace with loss of data, refused. Pure.

The engine speaks of resources. A machine is several of them, and what matters is what happens to it as a whole: its
domain alone replaced is a restart, a volume replaced or deleted is data lost.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from infra.resources.components import ANY_NODE


class Impact(enum.IntEnum):
    """What a change does, from harmless to final."""

    NONE = 0
    LIVE = 1
    CREATE = 2
    RESTART = 3
    DELETE = 4
    """A part without data goes: a network, an unused image."""
    DATA_LOSS = 5
    """Volumes are replaced."""
    DATA_DELETED = 6
    """Volumes are deleted for good."""

    @property
    def words(self) -> str:
        """As a person reads it."""
        return _WORDS[self]


_WORDS = {
    Impact.NONE: "no change",
    Impact.LIVE: "live",
    Impact.CREATE: "create",
    Impact.RESTART: "restart",
    Impact.DELETE: "delete",
    Impact.DATA_LOSS: "replace: data loss",
    Impact.DATA_DELETED: "delete: data loss",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the engine."""

    operation: str
    """create, update, replace, create-replacement, delete-replaced, delete, same …"""
    urn: str
    type: str
    keys: tuple[str, ...] = ()
    """Changed properties as paths: ``memory``, ``networkInterfaces[0].bridge``."""
    old: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Inputs before."""
    new: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one machine, segment or host."""

    kind: str
    """node, segment or host."""
    name: str
    impact: Impact
    reasons: tuple[str, ...]
    refused: bool
    """Whether it loses data and nobody has allowed that."""
    lost: tuple[str, ...] = ()
    """Parts of a machine that are replaced or deleted: ``data``, ``root``."""

    @property
    def words(self) -> str:
        """The class of the change as a person reads it."""
        return f"refused ({self.impact.words})" if self.refused else self.impact.words


_OWNER = re.compile(r"::kumiai:infra:(?P<kind>Host|Segment|Node)\$")
_REPLACING = {"replace", "create-replacement", "delete-replaced"}
_QUIET = {"same", "read", "refresh", "discard", "remove-pending-replace"}
_SAID = {
    "memory": ("memory", "MiB"),
    "vcpu": ("virtual CPUs", ""),
    "size": ("size", "bytes"),
    "machine": ("machine type", ""),
    "kernel": ("kernel", ""),
    "initrd": ("initial RAM disk", ""),
}


def classify(steps: Iterable[Step], allowed: Collection[str], reimaged: Collection[str] = ()) -> tuple[Change, ...]:
    """Return what ``steps`` do to each machine, segment and host, sorted.

    ``allowed`` nodes may lose data, ``reimaged`` ones their root disk and nothing else.
    """
    by_subject: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        subject = _subject(step)
        if subject is not None and step.operation not in _QUIET:
            by_subject.setdefault(subject, []).append(step)
    changes = []
    for (kind, name), own in sorted(by_subject.items()):
        impact, reasons = _node(own) if kind == "node" else _part(own)
        lost = _lost(own) if kind == "node" else ()
        losing = impact >= Impact.DATA_LOSS and kind == "node"
        only_root = impact is Impact.DATA_LOSS and lost == ("root",) and name in reimaged
        refused = losing and not only_root and not {name, ANY_NODE} & set(allowed)
        changes.append(Change(kind=kind, name=name, impact=impact, reasons=reasons, refused=refused, lost=lost))
    return tuple(change for change in changes if change.impact is not Impact.NONE)


def node_of(urn: str) -> str | None:
    """Return the node that a resource belongs to: of ``…Node$…::juki-ap1.root`` it is ``juki-ap1``."""
    match = _OWNER.search(urn)
    return urn.rsplit("::", 1)[-1].partition(".")[0] if match and match["kind"] == "Node" else None


def part_of(urn: str) -> str:
    """Return which part of a node a resource is: of ``…::juki-ap1.root`` it is ``root``; empty for the machine."""
    return urn.rsplit("::", 1)[-1].partition(".")[2].partition(".")[0]


def _lost(steps: Sequence[Step]) -> tuple[str, ...]:
    found = {_part_name(step) for step in steps if step.operation in {*_REPLACING, "delete"}}
    return tuple(part for part in ("data", "root") if part in found)


def _subject(step: Step) -> tuple[str, str] | None:
    match = _OWNER.search(step.urn)
    if match is None:
        return None
    name = step.urn.rsplit("::", 1)[-1]
    return match["kind"].lower(), name.partition(".")[0]


def _node(steps: Sequence[Step]) -> tuple[Impact, tuple[str, ...]]:
    """Judge one machine by all of its parts."""
    operations: dict[str, set[str]] = {}
    for step in steps:
        operations.setdefault(_part_name(step), set()).add(step.operation)
    reasons: list[str] = []
    impact = Impact.NONE
    for part in ("data", "root"):
        done = operations.get(part, set())
        if done & _REPLACING:
            impact = max(impact, Impact.DATA_LOSS)
            reasons.append(_volume_reason(part, [step for step in steps if _part_name(step) == part]))
        elif "delete" in done:
            impact = max(impact, Impact.DATA_DELETED)
            reasons.append(f"{_PARTS[part]} is deleted")
    if impact == Impact.DATA_LOSS and "data" not in operations:
        reasons.append("the data volume stays")
    domain = operations.get("domain", set())
    if domain & _REPLACING:
        impact = max(impact, Impact.RESTART)
        said = _domain_reasons([step for step in steps if _part_name(step) == "domain"])
        reasons += [] if said == [_DISKS_CHANGE] and reasons else said
    elif "create" in domain:
        # A machine whose disks are there already is started again, not made.
        made_anew = "create" in operations.get("root", set())
        impact = max(impact, Impact.CREATE if made_anew or impact >= Impact.DATA_LOSS else Impact.RESTART)
    elif "delete" in domain:
        impact = max(impact, Impact.DELETE)
    elif "update" in domain:
        impact = max(impact, Impact.LIVE)
        reasons += _domain_reasons([step for step in steps if _part_name(step) == "domain"])
    if "create" in operations.get("data", set()) and "create" not in operations.get("root", set()):
        reasons.append("a data volume is added")
    if impact is Impact.NONE and any(done & {"create", "delete", *_REPLACING} for done in operations.values()):
        impact = Impact.CREATE if any("create" in done for done in operations.values()) else Impact.DELETE
    return impact, tuple(dict.fromkeys(reasons))


_DISKS_CHANGE = "its disks change"
_PARTS = {"root": "the root disk", "data": "the data volume"}


def _part_name(step: Step) -> str:
    if step.type.endswith(":Domain"):
        return "domain"
    return part_of(step.urn)


def _volume_reason(part: str, steps: Sequence[Step]) -> str:
    step = _richest(steps)
    old, new = str(step.old.get("name", "")), str(step.new.get("name", ""))
    why = "the machine moves to another host or its parts are made anew"
    if step.old.get("size") != step.new.get("size") and step.new:
        why = f"size {_gib(step.old.get('size'))} → {_gib(step.new.get('size'))} GiB"
    elif new and old != new:
        old_image, _, old_digest = old.rpartition("-")
        new_image, _, new_digest = new.rpartition("-")
        if part == "data":
            why = "another generation of the node"
        elif old_image != new_image:
            why = f"guest image {old_image.rpartition('.root.')[2]} → {new_image.rpartition('.root.')[2]}"
        elif old_digest != new_digest:
            why = "what its first boot is told changes (cloud-init: keys, management address), or its host"
    return f"{_PARTS[part]} is replaced: {why}"


def _domain_reasons(steps: Sequence[Step]) -> list[str]:
    step = _richest(steps)
    reasons = []
    top = {re.split(r"[.\[]", key)[0] for key in step.keys}
    for key, (label, unit) in _SAID.items():
        if key in top and step.old.get(key) != step.new.get(key):
            reasons.append(f"{label} {step.old.get(key)} → {step.new.get(key)} {unit}".rstrip())
    if "networkInterfaces" in top:
        reasons.append(_cards_reason(step))
    if "cmdlines" in top:
        reasons.append("kernel arguments change")
    if "xml" in top and "networkInterfaces" not in top:
        reasons.append("machine settings change")
    if "disks" in top and not reasons:
        reasons.append(_DISKS_CHANGE)
    if not reasons:
        reasons.append(f"changed: {', '.join(sorted(top))}" if top else "what it depends on is made anew")
    return reasons


def _cards_reason(step: Step) -> str:
    def bridges(inputs: Mapping[str, Any]) -> dict[str, str]:
        cards = inputs.get("networkInterfaces") or []
        return {str(card.get("mac")): str(card.get("bridge")) for card in cards if isinstance(card, Mapping)}

    old, new = bridges(step.old), bridges(step.new)
    moved = [f"{mac} from {old[mac]} to {new[mac]}" for mac in sorted(old.keys() & new.keys()) if old[mac] != new[mac]]
    added, removed = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    parts = [*(f"card {text}" for text in moved)]
    if added:
        parts.append(f"{added} card(s) added")
    if removed:
        parts.append(f"{removed} card(s) removed")
    return "; ".join(parts) or "network cards change"


def _richest(steps: Sequence[Step]) -> Step:
    """Return the step that says most: the engine repeats a replacement as delete, create and replace."""
    return max(steps, key=lambda step: (bool(step.old) and bool(step.new), len(step.keys)))


def _gib(size: object) -> str:
    return f"{int(size) / 1024**3:g}" if isinstance(size, int | float) else "?"


def _part(steps: Sequence[Step]) -> tuple[Impact, tuple[str, ...]]:
    """Judge a segment or a host: its machines, if they are hit, are judged by themselves."""
    operations = {step.operation for step in steps}
    if operations & _REPLACING:
        changed = sorted({key for step in steps for key in step.keys})
        return Impact.RESTART, (f"made anew: {', '.join(changed)}" if changed else "made anew",)
    for operation, impact in (("create", Impact.CREATE), ("delete", Impact.DELETE), ("update", Impact.LIVE)):
        if operation in operations:
            return impact, ()
    return Impact.NONE, ()

"""Pure functions on a stack's exported state: what it knows, and states with something left out or put back."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from infra.operations.virsh import Kind, Thing
from infra.operations.workspace import Deployment

Record = dict[str, Any]
"""One resource of a state."""

KINDS: Mapping[str, Kind] = {
    "libvirt:index/domain:Domain": "domain",
    "libvirt:index/network:Network": "network",
    "libvirt:index/pool:Pool": "pool",
    "libvirt:index/volume:Volume": "volume",
}
PROVIDER_TYPE = "pulumi:providers:libvirt"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An object of libvirt that the state speaks of."""

    thing: Thing
    urn: str
    expected: bool
    """False when the state itself says that it is on its way out."""


def records(deployment: Deployment) -> list[Record]:
    """Return the resources of a state; an empty state has none."""
    found = (deployment.get("deployment") or {}).get("resources") or []
    return list(found)


def pending(deployment: Deployment) -> list[Record]:
    """Return the operations that an interrupted run had begun: ``{"resource": …, "type": "creating"}``."""
    found = (deployment.get("deployment") or {}).get("pending_operations") or []
    return list(found)


def resource_name(urn: str) -> str:
    """Return the last part of a URN: ``juki-ap1.root``."""
    return urn.rsplit("::", 1)[-1]


def host_of(record: Record) -> str | None:
    """Return the host whose provider manages ``record``; the reference is URN and identifier, joined by ``::``."""
    reference = str(record.get("provider") or "")
    if f"{PROVIDER_TYPE}::" not in reference:
        return None
    return reference.rsplit("::", 2)[-2]


def thing_of(record: Record) -> Thing | None:
    """Return the object of libvirt that ``record`` describes, or None for components and providers."""
    kind, host = KINDS.get(str(record.get("type"))), host_of(record)
    name = (record.get("inputs") or {}).get("name") or (record.get("outputs") or {}).get("name")
    return Thing(host, kind, str(name)) if kind and host and name else None


def known(deployment: Deployment) -> tuple[Known, ...]:
    """Return every object of libvirt that the state holds."""
    leaving = {op["resource"]["urn"] for op in pending(deployment) if op.get("type") == "deleting"}
    found = []
    for record in records(deployment):
        thing = thing_of(record)
        if thing is not None:
            expected = not (record.get("delete") or record.get("pendingReplacement") or record["urn"] in leaving)
            found.append(Known(thing=thing, urn=record["urn"], expected=expected))
    return tuple(found)


def pending_creates(deployment: Deployment) -> frozenset[Thing]:
    """Return what an interrupted run had begun to create."""
    things = (thing_of(op["resource"]) for op in pending(deployment) if op.get("type") in ("creating", "importing"))
    return frozenset(thing for thing in things if thing is not None)


def without(deployment: Deployment, drop: Callable[[Record], bool]) -> Deployment:
    """Return the state without the resources that ``drop`` chooses, and without any reference to them.

    Pending operations go as well: the caller has looked at what became of them.
    """
    rest = copy.deepcopy(deployment)
    body = rest.get("deployment") or {}
    gone = {record["urn"] for record in records(deployment) if drop(record)}
    gone -= {record["urn"] for record in records(deployment) if not drop(record)}  # an old copy bears the same name
    kept = [record for record in body.get("resources") or [] if not drop(record)]
    for record in kept:
        if "dependencies" in record:
            record["dependencies"] = [urn for urn in record["dependencies"] if urn not in gone]
        for key, urns in (record.get("propertyDependencies") or {}).items():
            record["propertyDependencies"][key] = [urn for urn in urns or [] if urn not in gone]
    body["resources"] = kept
    body.pop("pending_operations", None)
    return rest


def split_host(deployment: Deployment, host: str) -> tuple[Deployment, list[Record]]:
    """Return the state without everything on ``host``, and what was taken out, in its order."""
    aside = {
        record["urn"]
        for record in records(deployment)
        if host_of(record) == host or (record["type"] == PROVIDER_TYPE and resource_name(record["urn"]) == host)
    }
    children: dict[str, set[str]] = {}
    for record in records(deployment):
        children.setdefault(str(record.get("parent") or ""), set()).add(record["urn"])
    for record in records(deployment):
        # A component goes with the last of its parts; the stack itself stays.
        own = children.get(record["urn"], set())
        if not record.get("custom") and own and own <= aside and record["type"] != "pulumi:pulumi:Stack":
            aside.add(record["urn"])
    taken = [copy.deepcopy(record) for record in records(deployment) if record["urn"] in aside]
    return without(deployment, lambda record: record["urn"] in aside), taken


def put_back(deployment: Deployment, taken: Iterable[Record]) -> tuple[Deployment, tuple[str, ...]]:
    """Return the state with ``taken`` in it again, and the URNs that were left out because the state has them anew.

    What leans on something left out is left out too: it belongs to the machine that is gone.
    """
    merged = copy.deepcopy(deployment)
    body = merged["deployment"]
    body.setdefault("resources", [])
    present = {record["urn"] for record in body["resources"]}
    refused: list[str] = []
    conflicts = {record["urn"] for record in taken if record["urn"] in present and record.get("custom")}
    for record in taken:
        urn = record["urn"]
        leans = set(record.get("dependencies") or []) | {str(record.get("parent") or "")}
        if urn in present and not record.get("custom"):
            continue  # a component: the one that is there now has the same name and the same meaning
        if urn in conflicts or leans & conflicts:
            refused.append(urn)
            conflicts.add(urn)
            continue
        body["resources"].append(copy.deepcopy(record))
        present.add(urn)
    return merged, tuple(refused)


def drop_urns(deployment: Deployment, urns: Collection[str]) -> Deployment:
    """Return the state without ``urns``."""
    return without(deployment, lambda record: record["urn"] in urns)

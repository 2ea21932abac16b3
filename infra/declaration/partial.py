"""The part of a file whose shape is good, so that its rules can be checked beside the shape errors of the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from infra.declaration import model
from infra.declaration.checks import Ids
from infra.declaration.findings import Path

_LISTS: dict[str, type[model.Record]] = {
    "members": model.Member,
    "sites": model.Site,
    "hosts": model.Host,
    "closed_networks": model.ClosedNetwork,
    "lines": model.Line,
    "services": model.Service,
    "flows": model.Flow,
    "translations": model.Translation,
}
_OBJECTS: dict[str, type[model.Record]] = {
    "group": model.Group,
    "availability": model.Availability,
    "addressing": model.Addressing,
    "sla": model.Sla,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SoundPart:
    """A declaration without the damaged objects, and how its indexes map to the file's."""

    declaration: model.Declaration
    damaged: frozenset[str]
    """Top-level keys that lack something: rules that would find an absence there do not run."""
    ids: Ids
    """Every id that the file names, damaged objects included, so that references to them are not called dangling."""
    kept: Mapping[str, tuple[int, ...]]

    def path_in_file(self, path: Path) -> Path:
        """Return ``path`` of the reduced declaration as a path in the file."""
        if len(path) > 1 and isinstance(path[1], int):
            return (path[0], self.kept[str(path[0])][path[1]], *path[2:])
        return path


def sound_part(tree: Mapping[str, object], damage: frozenset[Path]) -> SoundPart:
    """Return what remains of ``tree`` without the objects at the paths of ``damage`` (at most two parts long)."""
    kept: dict[str, tuple[int, ...]] = {}
    fields: dict[str, Any] = {"kumiai": 1, "assumed": False}
    known: dict[str, frozenset[str] | None] = {}
    for key, record in _LISTS.items():
        raw = tree.get(key, [])
        usable = isinstance(raw, list) and (key,) not in damage
        entries = raw if isinstance(raw, list) else []
        kept[key] = tuple(i for i in range(len(entries)) if (key, i) not in damage) if usable else ()
        fields[key] = tuple(record.model_validate(entries[i]) for i in kept[key])
        known[key] = _ids(entries) if isinstance(raw, list) else None
    for key, record in _OBJECTS.items():
        sound = key in tree and not any(path[0] == key for path in damage if path)
        fields[key] = record.model_validate(tree[key]) if sound else _stand_in(key)
    return SoundPart(
        declaration=model.Declaration.model_construct(**fields),
        damaged=frozenset(str(path[0]) for path in damage if path),
        ids=Ids(**{key: known[key] for key in ("members", "sites", "hosts", "closed_networks", "services")}),
        kept=kept,
    )


def _ids(entries: list[object]) -> frozenset[str] | None:
    """Return the ids of ``entries``, or None when one of them does not tell its id."""
    ids: set[str] = set()
    for entry in entries:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            return None
        ids.add(name)
    return frozenset(ids)


def _stand_in(key: str) -> model.Record | None:
    """Return a harmless value for a damaged object; the rules about it do not run."""
    if key == "group":
        return model.Group(name="unknown", title="unknown")
    if key == "addressing":
        return model.Addressing.model_validate({"supernet": "0.0.0.0/32"})
    return model.Availability() if key == "availability" else None

"""A dead host must not stop the others: what the state knows of it is set aside, and put back when it answers again."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterable

from infra.operations import state
from infra.operations.workspace import Workspace
from network import errors

FORMAT = 1


def folder(place: Workspace) -> pathlib.Path:
    """Return where the parts of dead hosts are kept."""
    return place.private / "lost" / place.name


def set_aside(place: Workspace, hosts: Iterable[str], progress: Callable[[str], None]) -> None:
    """Take what the state knows of ``hosts`` out of it, into one file a host.

    The file is complete before the state changes: after an interruption in between, the next run overwrites it.
    """
    for host in hosts:
        deployment = place.export()
        rest, taken = state.split_host(deployment, host)
        if not taken:
            continue
        target = folder(place) / f"{host}.json"
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = target.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "host": host, "resources": taken}, file)
        draft.replace(target)
        place.replace_state(rest)
        progress(f"host {host} set aside: {len(taken)} resources are kept in {target}")


def hosts_aside(place: Workspace) -> tuple[str, ...]:
    """Return the hosts that are set aside."""
    return tuple(sorted(path.stem for path in folder(place).glob("*.json")))


def put_back(place: Workspace, hosts: Iterable[str], progress: Callable[[str], None]) -> None:
    """Put what was set aside of ``hosts`` into the state again; the file goes when the state holds it."""
    for host in hosts:
        path = folder(place) / f"{host}.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.get("format") != FORMAT:
            raise errors.OperationError(f"{path}: written by another version of Kumiai")
        merged, refused = state.put_back(place.export(), document["resources"])
        place.replace_state(merged)
        path.unlink()
        progress(f"host {host} answers again: {len(document['resources']) - len(refused)} resources put back")
        for urn in refused:
            progress(f"  {state.resource_name(urn)} was made anew elsewhere; the old one on {host} is left over")

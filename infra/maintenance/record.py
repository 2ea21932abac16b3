"""What is out on purpose, kept beside the project: one piece of planned work a stack at a time."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from typing import Literal

from network.clock import JST
from network.errors import OperationError

FORMAT = 1
Kind = Literal["maintenance", "reimage"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One piece of planned work."""

    kind: Kind
    host: str | None
    """The host that is in maintenance; None when it is about single machines."""
    nodes: tuple[str, ...]
    """Machines that are, or may be, out."""
    since: datetime.datetime

    def __str__(self) -> str:
        since = f"{self.since.astimezone(JST):%Y-%m-%d %H:%M}"
        if self.kind == "reimage":
            return f"{', '.join(self.nodes)}: a new guest image is on its way since {since}"
        return f"host {self.host} is in maintenance since {since} ({', '.join(self.nodes)})"

    def way_out(self, stack: str) -> str:
        """Return what ends it."""
        if self.kind == "reimage":
            return f"kumiai reimage {stack} {' '.join(self.nodes)}"
        return f"kumiai maintenance {stack} {self.host} --end"


def path_of(root: pathlib.Path, stack: str) -> pathlib.Path:
    """Return where it is kept; ``root`` is the project's folder."""
    return root / ".kumiai" / "maintenance" / f"{stack}.json"


def load(root: pathlib.Path, stack: str) -> Record | None:
    """Return what is out, or None; OperationError when the file cannot be read."""
    path = path_of(root, stack)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if document.get("format") != FORMAT:
        raise OperationError(f"{path}: written by another version of Kumiai")
    return Record(
        kind=document["kind"],
        host=document["host"],
        nodes=tuple(document["nodes"]),
        since=datetime.datetime.fromisoformat(document["since"]),
    )


def save(root: pathlib.Path, stack: str, record: Record) -> None:
    """Keep ``record``, in one step."""
    path = path_of(root, stack)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, **dataclasses.asdict(record), "since": record.since.isoformat()}
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def remove(root: pathlib.Path, stack: str) -> None:
    """Forget it: nothing is out any more."""
    path_of(root, stack).unlink(missing_ok=True)


def require_none(root: pathlib.Path, stack: str) -> None:
    """Raise OperationError while something is out, with what ends it."""
    found = load(root, stack)
    if found is not None:
        raise OperationError(f"{found}; first: {found.way_out(stack)}")

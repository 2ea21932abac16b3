"""Results of drills, kept as dated JSON: one file a drill, below ``.kumiai/drills/STACK``."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib

from infra.drills.model import Result
from network.errors import InputError

FOLDER = pathlib.Path(".kumiai") / "drills"
FORMAT = 1


def keep(root: pathlib.Path, result: Result) -> pathlib.Path:
    """Write ``result`` below ``root`` (the project's folder) and return its file."""
    folder = root / FOLDER / result.stack
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.at:%Y%m%dT%H%M%SZ}-{result.kind}-{result.subject}.json"
    path.write_text(json.dumps(document(result), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def document(result: Result) -> dict[str, object]:
    """Return ``result`` as a document for machines."""
    return {"format": FORMAT, **dataclasses.asdict(result), "at": result.at.isoformat(), "passed": result.passed}


def read(root: pathlib.Path, stack: str) -> tuple[Result, ...]:
    """Return all kept results of a stack, the oldest first; InputError that names a file which is none."""
    return tuple(_read(path) for path in sorted((root / FOLDER / stack).glob("*.json")))


def _read(path: pathlib.Path) -> Result:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = [field.name for field in dataclasses.fields(Result)]
        fields = {name: found[name] for name in known if name != "told" or "told" in found}  # younger than the others
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path}: not the result of a drill: {e!r}") from None
    fields |= {
        "at": datetime.datetime.fromisoformat(found["at"]),
        "findings": tuple(found["findings"]),
        "told": tuple(fields.get("told", ())),
    }
    return Result(**fields)

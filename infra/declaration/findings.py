"""What is wrong with a declaration, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from network import errors

Path = tuple[str | int, ...]
"""Keys and indexes from the top of the file, such as ``("lines", 0, "handoff", "lgwan", "vip")``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What a check found, told by the path of the value; ``at_key`` points to its key instead."""

    path: Path
    message: str
    at_key: bool = False


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One error in a stack file; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str
    path: Path = dataclasses.field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    def as_json(self) -> Mapping[str, object]:
        """Return the finding as plain data."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": path_text(self.path),
            "message": self.message,
        }


class DeclarationError(errors.InputError):
    """A stack file is wrong; ``findings`` are all its errors, sorted by place."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(set(findings)))
        super().__init__("\n".join(str(finding) for finding in self.findings))


def path_text(path: Path) -> str:
    """Return ``path`` as people write it: ``lines[0].handoff.lgwan``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")

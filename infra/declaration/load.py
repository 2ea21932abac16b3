"""A stack file to a declaration, or to all of its errors at once."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping

import pydantic

from infra.declaration import checks, partial, shape, source
from infra.declaration.findings import DeclarationError, Finding, Path
from infra.declaration.model import Declaration

_STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_MAX_BYTES = 32 * 1024 * 1024
"""About 60,000 services; a larger file is a mistake."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A declaration that passed all checks, and the places of its values for whoever finds something later."""

    path: pathlib.Path
    name: str
    """The stack's name: the file's stem."""
    declaration: Declaration
    source: source.Source

    def locate(self, path: Path) -> tuple[int, int]:
        """Return line and column of ``path``, or of the deepest object on the way that the file has."""
        place = self.source.place(path)
        return place.line, place.column

    def finding(self, path: Path, message: str) -> Finding:
        """Return a finding about the value at ``path``."""
        return self.source.finding(path, message)

    def error(self, path: Path, message: str) -> DeclarationError:
        """Return an error to raise about the value at ``path``."""
        return DeclarationError([self.finding(path, message)])


def load(path: pathlib.Path) -> Declaration:
    """Return the declaration in ``path``; raise DeclarationError with all findings."""
    return load_located(path).declaration


def load_located(path: pathlib.Path) -> Loaded:
    """Return the declaration in ``path`` with its places; raise DeclarationError with all findings."""
    name = _stack_name(path)
    return parse_located(read(path), path, name)


def parse_located(data: bytes, path: pathlib.Path, name: str) -> Loaded:
    """Return the declaration that ``data``, the content of ``path``, holds."""
    parsed = source.parse(data, str(path))
    if not isinstance(parsed.tree, dict):
        saw = shape.found(parsed.tree, parsed.root.text)
        raise DeclarationError([parsed.finding((), f"a stack file begins with `kumiai: 1`; found {saw}")])
    try:
        declaration = Declaration.model_validate(parsed.tree)
    except pydantic.ValidationError as error:
        raise DeclarationError(_shape_and_rule_findings(parsed, parsed.tree, error)) from None
    if parsed.findings:
        raise DeclarationError(_shape_and_rule_findings(parsed, parsed.tree, None))
    findings = [
        parsed.finding(p.path, p.message, at_key=p.at_key)
        for p in checks.problems(declaration, ids=checks.Ids.of(declaration))
    ]
    if findings:
        raise DeclarationError(findings)
    return Loaded(path=path, name=name, declaration=declaration, source=parsed)


def _stack_name(path: pathlib.Path) -> str:
    name = path.stem
    if _STACK_NAME.fullmatch(name):
        return name
    if name.endswith((".lock", ".links")):
        kind = "a lock file" if name.endswith(".lock") else "a file of links"
        message = f"this is {kind}; name the stack file beside it"
    else:
        message = (
            f"the file's name is the stack's name, and {name} is none; "
            "use lower-case letters, digits and hyphens, a letter first, at most 31 characters"
        )
    raise DeclarationError([Finding(str(path), 1, 1, message)])


def read(path: pathlib.Path) -> bytes:
    """Return the content of ``path``; raise DeclarationError when it cannot be read or is no stack file by its size."""
    try:
        if path.is_dir():
            raise DeclarationError([Finding(str(path), 1, 1, "this is a directory; name a stack file")])
        if path.stat().st_size > _MAX_BYTES:
            raise DeclarationError([Finding(str(path), 1, 1, "the file is larger than 32 MiB; it is no stack file")])
        return path.read_bytes()
    except FileNotFoundError:
        message = "no such file"
    except OSError as error:
        message = f"cannot read the file: {error.strerror or error}"
    raise DeclarationError([Finding(str(path), 1, 1, message)])


def _shape_and_rule_findings(
    parsed: source.Source, tree: Mapping[str, object], error: pydantic.ValidationError | None
) -> list[Finding]:
    """Return the shape errors, and the rule errors among the objects whose shape is good."""
    told = {finding.path for finding in parsed.findings}
    details = [
        detail
        for detail in (error.errors(include_url=False) if error else ())
        # A key without a value is told by the parser already; what pydantic says about its None adds nothing.
        if detail["loc"] not in told and not shape.is_echo(detail)
    ]
    findings = [*parsed.findings, *(shape.finding(parsed, detail) for detail in details)]
    sound = partial.sound_part(tree, frozenset(finding.path[:2] for finding in findings))
    for problem in checks.problems(sound.declaration, damaged=sound.damaged, ids=sound.ids):
        findings.append(parsed.finding(sound.path_in_file(problem.path), problem.message, at_key=problem.at_key))
    return findings

"""The links between members that were opened: the file beside a stack file, and which of them hold at a moment.

A flow of kind ``mutual_support`` is declared for the day on which it will be needed, and closed until then (R15, TZ-7).
An entry of ``NAME.links.yaml`` opens it on request and until an end; when it is closed, the entry stays as evidence.
Only ``kumiai link`` writes the file. A link whose end has passed is never part of a plan again, whatever day the plan
is for, and is reported until it is recorded as closed: the rules of gateways and hosts end by themselves at that
moment, but their files hold the link until they are configured.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import pydantic

from infra.declaration import shape, source
from infra.declaration.findings import DeclarationError, Finding, Path, Problem
from infra.declaration.load import read
from infra.declaration.model import Declaration, Flow
from infra.declaration.scalars import Id, Moment, Text
from network.clock import JST

HEADER = "# Written by `kumiai link`: commit it, do not edit it. Closed links stay as evidence.\n"

_MOMENTS = ("opened_at", "until", "closed_at")


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Link(_Record):
    """One opening of a declared link (災害時の相互応援の接続)."""

    from_: Annotated[Text, pydantic.Field(alias="from")]
    """The ends of the declared flow, as it writes them."""
    to: Text
    requested_by: Id
    """The member that asked for it."""
    event: Text
    """What happened, such as 台風第10号による回線の断."""
    scope: Text
    """What it is used for, such as 証明書の発行."""
    opened_at: Moment
    until: Moment
    """The first minute in which it is closed again."""
    closed_at: Moment | None = None
    """When its closing was recorded; None while it is open, or past its end and not recorded yet."""

    def opens(self, flow: Flow) -> bool:
        """Say whether this is the opening of ``flow``."""
        return flow.kind == "mutual_support" and (flow.from_, flow.to) == (self.from_, self.to)

    def __str__(self) -> str:
        return f"{self.from_} → {self.to}"

    def as_json(self) -> Mapping[str, str | None]:
        """Return the link as plain data, as the file writes it."""
        return {
            key: _minute(value) if isinstance(value, datetime.datetime) else value
            for key, value in self.model_dump(by_alias=True).items()
        }


class _File(_Record):
    kumiai_links: Literal[1]
    stack: Id
    links: tuple[Link, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The content of a links file, in the order of opening, with the places of its entries."""

    path: pathlib.Path
    stack: str
    links: tuple[Link, ...] = ()
    source: source.Source | None = None
    """None when there is no file."""

    def finding(self, index: int, message: str) -> Finding:
        """Return a finding about the entry ``index``."""
        if self.source is None:
            raise ValueError(f"{self.path}: no file, and so no entry {index}")
        return self.source.finding(("links", index), message)

    def open(self, as_of: datetime.date, now: datetime.datetime) -> tuple[Link, ...]:
        """Return the links that a plan of ``as_of`` holds at ``now``.

        A day other than today shows the links whose period touches it, but an end that has passed is not undone.
        """
        return tuple(
            link
            for link in self.links
            if link.closed_at is None
            and now < link.until
            and link.opened_at.astimezone(JST).date() <= as_of <= link.until.astimezone(JST).date()
        )

    def overdue(self, now: datetime.datetime) -> tuple[tuple[int, Link], ...]:
        """Return the links past their end that nobody has recorded as closed, each with its index."""
        return tuple(
            (index, link) for index, link in enumerate(self.links) if link.closed_at is None and link.until <= now
        )

    def overdue_words(self, link: Link) -> str:
        """Return what to say of an overdue link, and what to do about it."""
        return (
            f"the link {link} ended at {_minute(link.until)} and is not recorded as closed; run "
            f"`kumiai configure {self.stack}`, then `kumiai link close {self.stack} {link.from_} {link.to}`"
        )


def path_of(stack_file: pathlib.Path) -> pathlib.Path:
    """Return the links file that belongs to ``stack_file``."""
    return stack_file.with_name(f"{stack_file.stem}.links.yaml")


def load(stack_file: pathlib.Path, declaration: Declaration) -> Links:
    """Return the links of ``stack_file``, none when there is no file; raise DeclarationError with all findings."""
    path = path_of(stack_file)
    if not path.exists():
        return Links(path=path, stack=stack_file.stem)
    return parse(read(path), path, stack_file.stem, declaration)


def parse(data: bytes, path: pathlib.Path, stack: str, declaration: Declaration) -> Links:
    """Return the links that ``data``, the content of ``path``, holds."""
    parsed = source.parse(data, str(path))
    if not isinstance(parsed.tree, dict):
        saw = shape.found(parsed.tree, parsed.root.text)
        raise DeclarationError([parsed.finding((), f"a links file begins with `kumiai_links: 1`; found {saw}")])
    try:
        file = _File.model_validate(parsed.tree)
    except pydantic.ValidationError as error:
        told = {finding.path for finding in parsed.findings}
        details = [detail for detail in error.errors(include_url=False) if detail["loc"] not in told]
        found = [shape.finding(parsed, detail, _File) for detail in details]
        raise DeclarationError([*parsed.findings, *found]) from None
    problems = _problems(file, stack, declaration)
    findings = [*parsed.findings, *(parsed.finding(p.path, p.message) for p in problems)]
    if findings:
        raise DeclarationError(findings)
    return Links(path=path, stack=stack, links=file.links, source=parsed)


def dump(links: Links) -> str:
    """Return the text of the links file: the same links give the same bytes."""
    lines = [HEADER, f"kumiai_links: 1\nstack: {links.stack}\nlinks:{'' if links.links else ' []'}\n"]
    for link in links.links:
        # A text in JSON's quotes is the same text in YAML, whatever it looks like without them.
        texts = [
            f"{key}: {value if key in _MOMENTS else json.dumps(value, ensure_ascii=False)}"
            for key, value in link.as_json().items()
            if value is not None
        ]
        lines.append(f"  - {texts[0]}\n" + "".join(f"    {text}\n" for text in texts[1:]))
    return "".join(lines)


def write(links: Links, declaration: Declaration) -> None:
    """Write the file in one step, so that an interrupted run leaves the old one.

    What is written was read back first, since a file that stops every command would be a poor record; raise
    DeclarationError when that finds something.
    """
    text = dump(links)
    parse(text.encode(), links.path, links.stack, declaration)
    temporary = links.path.with_name(f".{links.path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(links.path)


def declared(declaration: Declaration) -> tuple[Flow, ...]:
    """Return the flows that a link can open."""
    return tuple(flow for flow in declaration.flows if flow.kind == "mutual_support")


def problems_of_opening(at: Path, link: Link, declaration: Declaration) -> Iterator[Problem]:
    """Yield why ``link`` cannot be open: nothing declares it, it outlives its flow, or nobody of the group asked."""
    flows = [flow for flow in declared(declaration) if link.opens(flow)]
    if not flows:
        known = sorted({f"{flow.from_} → {flow.to}" for flow in declared(declaration)})
        hint = f"declared are {', '.join(known)}" if known else "none is declared at all"
        yield Problem(at, f"no flow of kind mutual_support is declared for {link}; {hint}")
    for flow in flows:
        if link.until.astimezone(JST).date() > flow.expires:
            message = f"the link {link} is open until {_minute(link.until)}, but its flow expires on {flow.expires}"
            yield Problem((*at, "until"), message)
    members = [member.id for member in declaration.members]
    if link.requested_by not in members:
        message = f"no member {link.requested_by}, who requested the link; declared are {', '.join(members)}"
        yield Problem((*at, "requested_by"), message)


def _problems(file: _File, stack: str, declaration: Declaration) -> Iterator[Problem]:
    if file.stack != stack:
        yield Problem(("stack",), f"these are the links of the stack {file.stack}, not of {stack}")
    for index, link in enumerate(file.links):
        at: Path = ("links", index)
        yield from _problems_of_times(at, link)
        for earlier in file.links[:index]:
            same = (earlier.from_, earlier.to) == (link.from_, link.to)
            if same and link.opened_at < (earlier.closed_at or earlier.until):
                message = f"the link {link} was open already at {_minute(link.opened_at)}"
                yield Problem((*at, "opened_at"), f"{message}, since {_minute(earlier.opened_at)}")
        if link.closed_at is None:  # what is closed is history: the declaration may have moved on
            yield from problems_of_opening(at, link, declaration)


def _problems_of_times(at: Path, link: Link) -> Iterator[Problem]:
    opened = _minute(link.opened_at)
    if link.until <= link.opened_at:
        yield Problem((*at, "until"), f"the end {_minute(link.until)} is not after the opening ({opened})")
    if link.closed_at is not None and link.closed_at < link.opened_at:
        yield Problem((*at, "closed_at"), f"closed at {_minute(link.closed_at)}, before it was opened ({opened})")


def _minute(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="minutes")

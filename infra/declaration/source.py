"""YAML text to plain values, with the place of every value and key.

The values follow the core schema of YAML 1.2: ``yes`` and ``12:30`` are text, ``012`` is twelve, dates are text.
What makes a file mean something else than it shows is refused: duplicate keys, anchors, aliases, merge keys, tags,
keys without a value, several documents. PyYAML's parser delivers events (in C where it was built with libyaml); its
constructors, which follow YAML 1.1, are not used.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from typing import Any

import yaml

from infra.declaration.findings import DeclarationError, Finding, Path

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DEPTH = 40
"""Format 1 nests 6 deep; this only keeps a hostile file from exhausting the stack of those who walk the tree."""

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGERS = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_MAX_DIGITS = 30
"""A longer row of digits is text: no quantity needs it, and Python limits the length of what it converts."""
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Also refuses U+0085, U+2028 and U+2029: YAML 1.1 breaks lines there, editors do not, and places would be wrong."""
_NUMBER_START = frozenset("+-.0123456789")


@dataclasses.dataclass(slots=True)
class Place:
    """Where a value stands, from 1; ``text`` is how a plain scalar is written."""

    line: int
    column: int
    text: str = ""
    key_line: int = 0
    key_column: int = 0
    children: dict[str | int, Place] | None = None
    """None for a scalar."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A parsed file: plain values, their places, and what the text itself does wrong without making it unreadable."""

    file: str
    tree: object
    root: Place
    findings: tuple[Finding, ...]

    def place(self, path: Path) -> Place:
        """Return the place of ``path``, or of the deepest object on the way that the file really has."""
        place = self.root
        for part in path:
            below = (place.children or {}).get(part)
            if below is None:
                break
            place = below
        return place

    def finding(self, path: Path, message: str, *, at_key: bool = False) -> Finding:
        """Return a finding at the value (or the key) of ``path``."""
        place = self.place(path)
        if at_key and place.key_line:
            return Finding(self.file, place.key_line, place.key_column, message, path)
        return Finding(self.file, place.line, place.column, message, path)


def parse(data: bytes, file: str) -> Source:
    """Return the tree of ``data``; raise DeclarationError when it cannot be read as one YAML document."""
    text = _decoded(data, file)
    parser = _PARSER(text)
    builder = _Builder(parser, file)
    try:
        return builder.document()
    except yaml.MarkedYAMLError as error:
        raise DeclarationError([*builder.findings, _syntax_finding(error, text, file)]) from None
    finally:
        parser.dispose()


def scalar(text: str) -> object:
    """Return what the plain scalar ``text`` means in the core schema."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in _NUMBER_START:
        for form, base in _INTEGERS:
            if form.fullmatch(text):
                return int(text, base) if len(text) <= _MAX_DIGITS else text
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _start(event: Any) -> tuple[int, int]:  # noqa: ANN401 — the stubs leave out that an event always has its mark
    """Return line and column of ``event``, from 1."""
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


class _Builder:
    """Builds the tree from the parser's events and collects findings on the way."""

    def __init__(self, parser: Any, file: str) -> None:  # noqa: ANN401 — PyYAML's loaders have no common type
        self.next_event = parser.get_event
        self.file = file
        self.path: list[str | int] = []
        """Where the builder is; a tuple is made of it only when something is refused there."""
        self.findings: list[Finding] = []
        self.unreadable = False
        """True when the tree does not hold what the file seems to say: an alias or merge key was left out."""

    def document(self) -> Source:
        self.next_event()  # stream start
        event = self.next_event()
        if isinstance(event, yaml.StreamEndEvent):
            raise DeclarationError(
                [Finding(self.file, 1, 1, "the file is empty; a stack file begins with `kumiai: 1`")]
            )
        tree, root = self._value(self.next_event())
        self.next_event()  # document end
        event = self.next_event()
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document begins here; one file holds one stack")
            raise DeclarationError(self.findings)
        if self.unreadable:
            raise DeclarationError(self.findings)
        return Source(self.file, tree, root, tuple(self.findings))

    def _value(self, event: Any) -> tuple[object, Place]:  # noqa: ANN401 — every event has its own attributes
        place = Place(*_start(event))
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"`*{event.anchor}` repeats another part of the file; write the values out")
            self.unreadable = True
            return None, place
        if event.anchor is not None or event.tag is not None:
            self._refuse_decoration(event)
        if isinstance(event, yaml.ScalarEvent):
            place.text = text = event.value
            # Any quote or block style makes it text; style is None (pure) or "" (C) for a plain scalar.
            return (text if event.style else scalar(text)), place
        if len(self.path) >= _MAX_DEPTH:
            self._refuse(event, "nested too deeply for a stack file")
            raise DeclarationError(self.findings)
        place.children = {}
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place.children), place
        return self._mapping(place.children), place

    def _sequence(self, children: dict[str | int, Place]) -> list[object]:
        items: list[object] = []
        while not isinstance(event := self.next_event(), yaml.SequenceEndEvent):
            index = len(items)
            self.path.append(index)
            value, children[index] = self._value(event)
            if value is None and isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "an entry of a list has no value; give one or remove it")
            items.append(value)
            self.path.pop()
        return items

    def _mapping(self, children: dict[str | int, Place]) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(key_event := self.next_event(), yaml.MappingEndEvent):
            key = self._key(key_event)
            self.path.append(key)
            value, place = self._value(self.next_event())
            place.key_line, place.key_column = _start(key_event)
            if key == "<<":
                self._refuse(key_event, "the merge key `<<` is not allowed; write the keys out")
                self.unreadable = True
            elif key in values:
                where = f"line {children[key].key_line}, column {children[key].key_column}"
                self._refuse(key_event, f"key `{key}` stands here a second time; the first is at {where}")
            else:
                if value is None and not self.unreadable:
                    self._refuse(key_event, f"`{key}` has no value; give one or remove the key")
                values[key] = value
                children[key] = place
            self.path.pop()
        return values

    def _key(self, event: Any) -> str:  # noqa: ANN401 — every event has its own attributes
        """Return the key as it is written: ``true`` and ``1`` are names here like any other."""
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, "a key must be a single word; check brackets and braces here")
            raise DeclarationError(self.findings)
        if event.anchor is not None or event.tag is not None:
            self._refuse_decoration(event)
        return event.value

    def _refuse_decoration(self, event: Any) -> None:  # noqa: ANN401 — three event types share these
        if event.anchor is not None:
            self._refuse(event, f"the anchor `&{event.anchor}` is not allowed; write the values out")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, f"the tag `{tag}` is not allowed; remove it")

    def _refuse(self, event: Any, message: str) -> None:  # noqa: ANN401 — every event has a start
        self.findings.append(Finding(self.file, *_start(event), message, tuple(self.path)))


def _decoded(data: bytes, file: str) -> str:
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"the file is not UTF-8 text (byte 0x{data[error.start]:02X} here); save it as UTF-8"
        raise DeclarationError([Finding(file, *_position(before, len(before)), message)]) from None
    if (found := _UNPRINTABLE.search(text)) is not None:
        message = f"the control character U+{ord(found[0]):04X} cannot stand in a stack file; remove it"
        raise DeclarationError([Finding(file, *_position(text, found.start()), message)])
    return text


def _position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of a character offset."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


_SYNTAX = (
    ("mapping values are not allowed", "a `:` cannot stand here; check the indentation, or put the text in quotes"),
    ("expected ',' or '}'", "expected `,` or `}` here; the braces open at {context}"),
    ("expected ',' or ']'", "expected `,` or `]` here; the brackets open at {context}"),
    ("expected key", "expected a new key here; check the quotes and the indentation of the lines around"),
    ("expected <block end>", "expected a new key here; check the quotes and the indentation of the lines around"),
    ("expected '-' indicator", "expected `-` here, as in the list that begins at {context}; check the indentation"),
    ("expected node content", "expected a value here; check the commas and brackets around"),
    ("expected the node content", "expected a value here; check the commas and brackets around"),
    ("expected ':'", "expected `key: value` here; a `:` is missing"),
    ("sequence entries are not allowed", "a `-` cannot stand here; check the indentation"),
    ("unexpected end of stream", "the quotes that open at {context} are never closed"),
    ("unknown escape character", "an unknown `\\` escape; use single quotes for text with backslashes"),
    ("invalid Unicode character escape", "an invalid `\\` escape; use single quotes for text with backslashes"),
    ("expected <document start>", "expected the end of the file here; check the indentation"),
    ("expected '<document start>'", "expected the end of the file here; check the indentation"),
    ("undefined tag handle", "tags (`!…`) are not allowed; remove it"),
    ("incompatible YAML document", "only YAML 1.1 and 1.2 are read; remove the %YAML line"),
    ("tab character that violates", "a tab cannot indent or separate here; use spaces"),
)
"""What the parser says, and what to tell the person who wrote the file."""


def _syntax_finding(error: yaml.MarkedYAMLError, text: str, file: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Finding(file, 1, 1, f"not valid YAML: {error.problem}")
    line, column = mark.line + 1, mark.column + 1
    opened = (
        f"line {error.context_mark.line + 1}, column {error.context_mark.column + 1}" if error.context_mark else "?"
    )
    problem = error.problem or ""
    if "cannot start any token" in problem:
        return Finding(file, line, column, _bad_start(_character(text, line, column)))
    for said, words in _SYNTAX:
        if said in problem:
            return Finding(file, line, column, words.replace("{context}", opened))
    return Finding(file, line, column, f"not valid YAML: {problem}")


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line - 1][column - 1 : column] if line <= len(lines) else ""


def _bad_start(character: str) -> str:
    if character == "\t":
        return "a tab cannot indent or separate here; use spaces"
    return f'text cannot begin with "{character}"; put it in quotes'

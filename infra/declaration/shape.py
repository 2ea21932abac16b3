"""Shape errors in words that a person can act on: what was expected, what was found, what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic
import pydantic_core

from infra.declaration.findings import Finding, Path
from infra.declaration.model import Declaration
from infra.declaration.source import Source

_KEY = "[key]"
"""Last part of pydantic's location when the key itself is wrong."""


def finding(source: Source, error: pydantic_core.ErrorDetails, top: type[pydantic.BaseModel] = Declaration) -> Finding:
    """Return ``error`` with its place in ``source``, a file that should be a ``top``."""
    path: Path = error["loc"]
    kind = error["type"]
    if kind == "extra_forbidden":
        return source.finding(path, unknown_key(str(path[-1]), _keys_at(path[:-1], top)), at_key=True)
    if path and path[-1] == _KEY:
        return source.finding(path[:-1], unknown_key(str(path[-2]), _keys_at(path[:-2], top)), at_key=True)
    if kind == "missing":
        return source.finding(path, f"missing key `{path[-1]}`")  # placed at the object that lacks it
    return source.finding(path, _words(error, source.place(path).text))


def is_echo(error: pydantic_core.ErrorDetails) -> bool:
    """Say whether ``error`` only counts the entries that remain after others were found wrong one by one."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message for ``key`` where only ``known`` are keys."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f"unknown key `{key}`; did you mean `{close[0]}`?"
    return f"unknown key `{key}`; the keys here are {', '.join(names)}"


def alternatives(values: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    names = list(values)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def found(value: object, text: str) -> str:
    """Return how to call ``value``; ``text`` is how the file writes it."""
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= 40 else f'the text "{value[:40]}…"'
    if value is None:
        return "nothing"
    return text or str(value)


def _words(error: pydantic_core.ErrorDetails, text: str) -> str:
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "value_error":
        words = str(context["error"])
        return words if isinstance(value, str) else f"{words}, found {found(value, text)}"
    if kind in ("too_short", "too_long"):
        wanted = context["min_length"] if kind == "too_short" else context["max_length"]
        limit = "at least" if kind == "too_short" else "at most"
        return f"expected {limit} {wanted} {'entry' if wanted == 1 else 'entries'}, found {context['actual_length']}"
    if kind == "literal_error":
        expected = _unquoted(context["expected"])
    elif kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        expected = f"{words} {context[key]}"
    else:
        expected = _EXPECTED.get(kind, error["msg"])
    hint = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
    return f"expected {expected}, found {found(value, text)}{hint}"


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list (`[…]`, or lines that begin with `-`)",
    "dict_type": "keys with values (`key: value`)",
    "model_type": "keys with values (`key: value`)",
    "model_attributes_type": "keys with values (`key: value`)",
}
_BOUNDS = {
    "greater_than": ("a number greater than", "gt"),
    "greater_than_equal": ("a number of at least", "ge"),
    "less_than": ("a number less than", "lt"),
    "less_than_equal": ("a number of at most", "le"),
}


def _unquoted(expected: str) -> str:
    """Return pydantic's ``'a', 'b' or 'c'`` without the quotes."""
    return expected.replace("'", "")


def _keys_at(path: Path, top: type[pydantic.BaseModel]) -> tuple[str, ...]:
    """Return the keys that an object at ``path`` may have."""
    shape: object = top
    for part in path:
        shape = _below(_plain(shape), part)
    shape = _plain(shape)
    if isinstance(shape, type) and issubclass(shape, pydantic.BaseModel):
        return tuple(field.alias or name for name, field in shape.model_fields.items())
    if get_origin(shape) is dict:
        return tuple(get_args(_plain(get_args(shape)[0])))
    return ()


def _below(shape: object, part: str | int) -> object:
    if isinstance(shape, type) and issubclass(shape, pydantic.BaseModel):
        fields = {field.alias or name: name for name, field in shape.model_fields.items()}
        name = fields.get(str(part))
        return typing.get_type_hints(shape, include_extras=True)[name] if name else None
    if get_origin(shape) is dict:
        return get_args(shape)[1]
    if get_origin(shape) is tuple:
        return get_args(shape)[0]
    return None


def _plain(shape: object) -> object:
    """Return ``shape`` without Annotated and without ``| None``."""
    while True:
        if get_origin(shape) is Annotated:
            shape = get_args(shape)[0]
        elif get_origin(shape) in (Union, types.UnionType):
            (shape,) = (option for option in get_args(shape) if option is not type(None))
        else:
            return shape

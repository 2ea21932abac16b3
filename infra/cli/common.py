"""What every command shares: arguments, consoles and the path of a stack file."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import sys
from typing import Annotated

import rich.console
import typer

from network import errors
from network.clock import JST


def _console(*, stderr: bool) -> rich.console.Console:
    stream = sys.stderr if stderr else sys.stdout
    # A file or a pipe has no width; what the tables are made for beats the 80 columns that are assumed otherwise.
    width = None if stream.isatty() or "COLUMNS" in os.environ else 100
    return rich.console.Console(stderr=stderr, highlight=False, width=width)


out = _console(stderr=False)
"""Results for people."""
err = _console(stderr=True)
"""Progress, warnings and errors; stdout stays clean for pipes."""

StackArgument = Annotated[str, typer.Argument(metavar="STACK", help="A name in stacks/, or the path of a stack file.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="The day that the plan is for, such as 2026-04-01; default: today."),
]


def stack_file(text: str) -> pathlib.Path:
    """Return the stack file that ``text`` means: a path, or a name in ``stacks/`` of the working directory."""
    if text.endswith((".yaml", ".yml")) or "/" in text:
        return pathlib.Path(text)
    path = pathlib.Path("stacks") / f"{text}.yaml"
    if not path.exists():
        names = sorted(p.stem for p in path.parent.glob("*.yaml") if "." not in p.stem and p.stem[0].islower())
        known = f"known stacks: {', '.join(names)}" if names else "there is no folder stacks/ with stack files here"
        raise errors.InputError(f"{text}: no such stack ({path} does not exist); {known}")
    return path


def as_of_date(text: str | None) -> datetime.date:
    """Return the day of ``--as-of``; this is the only place that reads the clock for it."""
    if text is None:
        return datetime.datetime.now(tz=JST).date()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise errors.InputError(f"--as-of {text}: not a date; write year-month-day, such as 2026-04-01") from None


def print_json(document: object) -> None:
    """Print ``document`` as indented UTF-8 JSON on stdout."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))

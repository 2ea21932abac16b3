"""What the commands around the engine share: the request, the table of changes, lines of progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import rich.table
import rich.text

from infra.cli import common
from infra.operations.changes import Change, Impact
from infra.operations.preview import Preview
from infra.operations.run import Request
from infra.plan.model import Plan
from infra.resources.components import ANY_NODE

_STYLES = {
    Impact.LIVE: "green",
    Impact.CREATE: "green",
    Impact.RESTART: "yellow",
    Impact.DELETE: "yellow",
    Impact.DATA_LOSS: "bold red",
    Impact.DATA_DELETED: "bold red",
}


def request_of(stack: str, as_of: str | None, allow_data_loss: list[str] | None, lost: list[str] | None) -> Request:
    """Return what the person asked for."""
    allowed = {ANY_NODE if name == "all" else name for name in allow_data_loss or []}
    return Request(
        stack_file=common.stack_file(stack),
        as_of=common.as_of_date(as_of),
        allow_data_loss=frozenset(allowed),
        lost=frozenset(lost or []),
    )


def changes_table(title: str, changes: Sequence[Change]) -> rich.table.Table | rich.text.Text:
    """Return the table of changes, or one line when there are none."""
    if not changes:
        return rich.text.Text(f"{title}: no change")
    table = rich.table.Table(title=title, title_justify="left")
    for column in ("what", "change", "why"):
        table.add_column(column, overflow="fold")
    for change in changes:
        subject = change.name if change.kind == "node" else f"{change.kind} {change.name}"
        style = "bold red" if change.refused else _STYLES[change.impact]
        table.add_row(subject, rich.text.Text(change.words, style=style), "\n".join(change.reasons))
    return table


def changes_document(plan: Plan, found: Mapping[str, Preview]) -> dict[str, object]:
    """Return the changes as a document for machines."""
    return {
        "format": 1,
        "stack": plan.stack,
        "changes": [
            {
                "site": site,
                "kind": change.kind,
                "name": change.name,
                "class": change.impact.words,
                "refused": change.refused,
                "reasons": list(change.reasons),
            }
            for site, result in found.items()
            for change in result.changes
        ],
        "notes": [note for result in found.values() for note in result.notes],
    }


class Lines:
    """Progress as plain lines on stderr, each with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one line."""
        common.err.print(f"{time.monotonic() - self._start:6.1f} s  {text}", markup=False, soft_wrap=True)

"""A run as a person sees it: one line a node, live on a terminal, else a line whenever a node is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import rich.console
import rich.live
import rich.markup
import rich.table

from infra.configure.outcome import NodeProgress, State
from infra.configure.runner import Progress
from infra.plan.model import Plan

_STYLES: Mapping[State, str] = {
    "waiting": "dim",
    "running": "cyan",
    "ok": "green",
    "changed": "yellow",
    "failed": "bold red",
    "unreachable": "bold red",
}


def table(plan: Plan, nodes: Mapping[str, NodeProgress]) -> rich.table.Table:
    """Return the state of every node as a table."""
    found = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("node", "host", "state"):
        found.add_column(heading, no_wrap=True)
    found.add_column("tasks", justify="right")
    found.add_column("changed", justify="right")
    found.add_column("task", overflow="ellipsis", no_wrap=True)
    for name, node in nodes.items():
        state = f"[{_STYLES[node.state]}]{node.state}[/]"
        task = "" if node.state in ("ok", "changed") else node.task
        found.add_row(
            name, plan.node_by_name[name].host, state, str(node.tasks), str(node.changed), rich.markup.escape(task)
        )
    return found


@contextlib.contextmanager
def live(plan: Plan, console: rich.console.Console) -> Iterator[Progress]:
    """Show a run on ``console`` while it lasts."""
    if console.is_terminal:
        with rich.live.Live(console=console, refresh_per_second=8, transient=True) as shown:
            yield lambda nodes: shown.update(table(plan, nodes))
        return
    told: dict[str, str] = {}

    def tell(nodes: Mapping[str, NodeProgress]) -> None:
        for name, node in nodes.items():
            line = f"{name}: {node.task}" if node.state == "running" else f"{name}: {node.state}"
            if node.state != "waiting" and told.get(name) != line:
                told[name] = line
                console.print(line, markup=False)

    yield tell

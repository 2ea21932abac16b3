"""``kumiai lines``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import rich.box
import typer
from rich.table import Table

from infra.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.lines.model import Path, Row


def command(
    stack: common.StackArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Measure every line from every office, and fail on what is not as planned.")
    ] = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Show the lines of STACK per office LAN; with --check, test them as groups do before going live.

    The test reads the routes of offices and carriers, opens connections to every service, and transfers data over every
    line for a second or two each way. That takes a way into the offices, which only the lab has: anywhere else --check
    exits with 3 and says what to measure by hand.

    Example: kumiai lines demo --check
    """
    import infra.plan
    from infra.lines import evaluate, measure
    from infra.lines.model import paths
    from network.errors import OperationError

    plan = infra.plan.current(common.stack_file(stack), common.as_of_date(as_of))
    planned = paths(plan.network)
    if not check:
        if as_json:
            common.print_json({"format": 1, "stack": plan.stack, "paths": [_path(path) for path in planned]})
        else:
            common.out.print(_planned(planned))
        return
    with common.err.status("measuring") as status:
        measured = measure.measure(plan, status.update)
    rows = evaluate.evaluate(planned, measured)
    wrong = [row for row in rows if row.findings]
    if as_json:
        verdict = "fail" if wrong or not rows else "pass"
        documents = [
            {
                **_path(row.path),
                "measured": None if row.measured is None else dataclasses.asdict(row.measured),
                "findings": list(row.findings),
            }
            for row in rows
        ]
        common.print_json({"format": 1, "stack": plan.stack, "verdict": verdict, "paths": documents})
    else:
        common.out.print(_measured(rows))
        for row in wrong:
            for finding in row.findings:
                common.out.print(f"{row.path.line}, {row.path.lan}: {finding}", markup=False, soft_wrap=True)
    if wrong or not rows:
        lines = dict.fromkeys(row.path.line for row in wrong)
        raise OperationError(f"not as planned: {', '.join(lines) or 'no line was examined'}")


def _path(path: Path) -> dict[str, object]:
    return {
        "member": path.member,
        "office": path.office,
        "zone": path.zone,
        "line": path.line,
        "role": path.role,
        "class": path.line_class,
        "mbps": path.mbps,
        "site": path.site,
        "services": [{"name": t.service, "address": str(t.address), "port": t.port} for t in path.targets],
    }


def _planned(planned: Sequence[Path]) -> Table:
    table = _table("回線 (lines)", "office LAN", "line", "role", "class", "Mbit/s", "services")
    for path in planned:
        services = ", ".join(f"{target.service} {target.address}" for target in path.targets)
        table.add_row(path.lan, path.line, path.role, path.line_class, str(path.mbps), services or "none")
    return table


def _measured(rows: Sequence[Row]) -> Table:
    table = _table("回線の試験 (test of lines)", "office LAN", "line", "role", "route", "carries", "ms", "Mbit/s", "")
    for row in rows:
        found, path = row.measured, row.path
        if found is None:
            table.add_row(path.lan, path.line, path.role, "?", "?", "", "", "not measured", style="bold red")
            continue
        rate = "–" if found.mbps_up is None else f"{found.mbps_up:.0f}↑ {found.mbps_down or 0:.0f}↓ of {path.mbps}"
        table.add_row(
            path.lan,
            path.line,
            path.role,
            "yes" if found.office_known and found.services_known and found.office_route else "no",
            "yes" if found.carries else "no",
            "–" if found.response_ms is None else f"{found.response_ms:.1f}",
            rate,
            "wrong" if row.findings else "ok",
            style="bold red" if row.findings else None,
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in ("ms", "Mbit/s")
        table.add_column(column, overflow="fold", no_wrap=column == "office LAN", justify="right" if number else "left")
    return table

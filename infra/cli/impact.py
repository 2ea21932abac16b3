"""``kumiai impact``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import rich.box
import rich.markup
import typer
from rich.table import Table

from infra.cli import common

if TYPE_CHECKING:
    from infra.plan.impact import Impact
    from infra.plan.model import Plan

WORDS = {"stops": "停止 (stops)", "degrades": "縮退 (degrades)", "goes_on": "継続 (goes on)"}
_STYLES = {"stops": "bold red", "degrades": "yellow", "goes_on": "green"}


def command(
    stack: common.StackArgument,
    kind: Annotated[Literal["site", "host", "gateway", "line", "node"], typer.Argument(help="What is lost.")],
    name: Annotated[str, typer.Argument(help="Which one. A pair of gateways has a name too, such as dc1-gw1.")],
    *,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Say which members lose which business when something of STACK breaks, and why; nothing is touched.

    A business stops, degrades (what stood twice stands once) or goes on. The gap is the longest time without an answer
    until what is left has taken over, computed from the configured timers; `kumiai drill` measures it.

    Example: kumiai impact demo host kvm01
    """
    import infra.plan
    from infra.plan.impact import impact

    plan = infra.plan.compute(common.stack_file(stack), common.as_of_date(as_of)).plan
    found = impact(plan, kind, name)
    if as_json:
        common.print_json(document(plan, found))
    else:
        common.out.print(table(plan, found))
        for node, host in sorted((found.moves or {}).items()):
            common.out.print(f"until the repair, {node} can run on {host}", markup=False, soft_wrap=True)


def document(plan: Plan, found: Impact) -> dict[str, object]:
    """Return ``found`` for machines."""
    return {
        "format": 1,
        "stack": plan.stack,
        "kind": found.kind,
        "name": found.name,
        "nodes": list(found.nodes),
        "lines": list(found.lines),
        "state": found.state,
        "effects": [
            {
                "member": effect.member,
                "service": effect.service,
                "state": effect.state,
                "gap_s": effect.gap_s,
                "reasons": [reason.text for reason in effect.reasons],
            }
            for effect in found.effects
        ],
        "moves": None if found.moves is None else dict(found.moves),
    }


def table(plan: Plan, found: Impact) -> Table:
    """Return a row for each member and business, the worst first."""
    from infra.plan.impact import STATES

    shown = Table(
        title=f"影響範囲 (blast radius): {found.kind} {found.name}",
        title_justify="left",
        title_style="bold",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("member", no_wrap=True)
    shown.add_column("service", no_wrap=True)
    shown.add_column("state", no_wrap=True)
    shown.add_column("gap", justify="right", no_wrap=True)
    shown.add_column("why", overflow="fold")
    for effect in sorted(found.effects, key=lambda effect: STATES.index(effect.state)):
        shown.add_row(
            plan.members[effect.member],
            effect.service,
            f"[{_STYLES[effect.state]}]{WORDS[effect.state]}[/]",
            f"{effect.gap_s:g} s" if effect.gap_s else "–",
            rich.markup.escape("\n".join(reason.text for reason in effect.reasons)),
        )
    return shown

"""``kumiai configure``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import common

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Collection

    from infra.configure.runner import Outcome, Strategy
    from infra.plan.model import Plan


def command(
    stack: common.StackArgument,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="NODE", help="Only this node; may be given several times.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="mitogen, or stock for Ansible's own (about four times as long).")
    ] = "mitogen",
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Configure the machines of STACK as planned; a second run changes nothing.

    A machine that cannot be reached does not stop the others. An interrupted run is finished by the next one.

    Example: kumiai configure demo --limit juki-ap1

    By hand: KUMIAI_STACK=demo ansible-playbook -i inventories/stack.py site.yml
    """
    import infra.plan
    from infra.configure import display, runner

    if strategy not in ("mitogen", "stock"):
        raise typer.BadParameter("mitogen or stock", param_hint="--strategy")
    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    outcome = run(plan, stack_file, limit=limit or (), strategy="mitogen" if strategy == "mitogen" else "stock")
    if as_json:
        common.print_json(
            {
                "format": 1,
                "stack": plan.stack,
                "strategy": outcome.strategy,
                "seconds": round(outcome.seconds, 1),
                "nodes": [dataclasses.asdict(node) for node in outcome.nodes],
            }
        )
    else:
        common.out.print(display.table(plan, {node.node: node for node in outcome.nodes}))
        common.out.print(f"{len(outcome.nodes)} nodes in {outcome.seconds:.1f} s, changed: {len(outcome.changed)}")
    runner.require_success(plan, outcome)


def run(
    plan: Plan, stack_file: pathlib.Path, *, limit: Collection[str] = (), strategy: Strategy = "mitogen"
) -> Outcome:
    """Configure the machines of ``plan``, or those in ``limit``, with progress on the terminal."""
    from infra.configure import display, runner
    from infra.hosts import access
    from infra.secrets import store

    with display.live(plan, common.err) as progress:
        return runner.configure(
            plan,
            store.load_all(stack_file, plan),
            {site: access.station_ssh_args(plan, site) for site in plan.sites},
            limit=limit,
            progress=progress,
            strategy=strategy,
        )

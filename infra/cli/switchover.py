"""``kumiai switchover``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from infra.cli import common


def command(
    stack: common.StackArgument,
    service: Annotated[str, typer.Argument(help="A service, or one member's set of it such as zaimu-nishiki.")],
    to: Annotated[str | None, typer.Option("--to", metavar="NODE", help="The database node to become primary.")] = None,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Hand the replicated database of SERVICE over to its standby, before planned work on the primary's machine.

    Applications wait for a moment; no write is lost.

    Example: kumiai switchover nishiki juki
    """
    import infra.plan
    from infra.maintenance import switchover
    from infra.operations import shell
    from infra.secrets import store

    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    cluster = switchover.find(plan.network, service)
    with shell.open_shell(plan, store.load_all(stack_file, plan)) as machines:
        done = switchover.switchover(plan, machines, cluster, to)
    if as_json:
        common.print_json({"format": 1, "stack": plan.stack, **dataclasses.asdict(done)})
    else:
        common.out.print(f"{cluster.server_name}: the primary is {done.after}, it was {done.before}", markup=False)

"""``kumiai preview``."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli import common

AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-data-loss",
        metavar="NODE",
        help="NODE may lose its disks; repeat it, or say `all`.",
    ),
]
LostOption = Annotated[
    list[str] | None,
    typer.Option("--lost", metavar="HOST", help="HOST is dead: leave it out, and keep what is known of it for later."),
]


def command(
    stack: common.StackArgument,
    *,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
    allow_data_loss: AllowOption = None,
    lost: LostOption = None,
) -> None:
    """Show what `up` would do to every machine: create, live, restart, replace with loss of data, or refused.

    Example: kumiai preview demo
    """
    import infra.plan
    from infra.cli.steps import changes_document, changes_table, request_of
    from infra.operations import preview
    from network.errors import OperationError

    request = request_of(stack, as_of, allow_data_loss, lost)
    plan = infra.plan.current(request.stack_file, request.as_of)
    request.check(plan)
    found = {}
    for site in plan.sites:
        with common.err.status(f"{plan.stack}.{site}: asking the engine"):
            found[site] = preview.preview_site(plan, site, request)
    if as_json:
        common.print_json(changes_document(plan, found))
    else:
        for site, result in found.items():
            for note in result.notes:
                common.err.print(note, markup=False, soft_wrap=True)
            common.out.print(changes_table(f"{plan.stack}.{site}", result.changes))
    refused = [change.name for result in found.values() for change in result.changes if change.refused]
    if refused:
        flags = " ".join(f"--allow-data-loss {name}" for name in refused)
        raise OperationError(f"`kumiai up {stack}` would refuse this; to accept the loss of data: {flags}")

"""``kumiai restart``."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli import common
from infra.cli.maintenance import AcceptOption, crew_of


def command(
    stack: common.StackArgument,
    service: Annotated[str, typer.Argument(help="The business, such as juki, or zaimu-nishiki for one member's.")],
    *,
    accept_stop: AcceptOption = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Restart the application of SERVICE on one machine after the other, without a failed request.

    HAProxy sends the machine no new requests, those under way end, the application restarts, and the next machine
    follows when this one serves again.

    Example: kumiai restart nishiki juki
    """
    import infra.plan
    from infra.maintenance import record, restart
    from infra.operations import workspace

    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    endpoint = restart.find(plan.network, service)
    record.require_none(workspace.ROOT, plan.stack)
    with crew_of(plan, stack_file) as crew:
        done = restart.restart(crew, endpoint, accept_stop=accept_stop)
    if as_json:
        common.print_json({"format": 1, "stack": plan.stack, "service": service, "restarted": list(done)})
    else:
        common.out.print(f"{service}: restarted on {', '.join(done)}", markup=False)

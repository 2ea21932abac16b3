"""``kumiai maintenance``."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import common

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from infra.maintenance.crew import Crew, Prepared
    from infra.plan.model import Plan

AcceptOption = Annotated[bool, typer.Option("--accept-stop", help="Accept that businesses stop meanwhile.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask on the terminal before it begins.")]


def command(
    stack: common.StackArgument,
    host: Annotated[str, typer.Argument(help="The host that is worked on.")],
    *,
    end: Annotated[bool, typer.Option("--end", help="The work is done: start everything, wait until it is whole.")] = (
        False
    ),
    accept_stop: AcceptOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Take HOST out for planned work: everything on it is handed over without losing a write, then shut down.

    A database gets another primary, HAProxy sends an application no more requests, a gateway gives its addresses to its
    partner; then the machines shut down. Refused while a partner is not whole, while something else is out, and where
    a business would stop. `status` and `verify` show what is out.

    Example: kumiai maintenance nishiki kvm01
    """
    import datetime

    import infra.plan
    from infra.maintenance import host as work
    from infra.operations import workspace

    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    with crew_of(plan, stack_file) as crew:
        if end:
            work.end(crew, workspace.ROOT, host)
            if as_json:
                common.print_json({"format": 1, "stack": plan.stack, "host": host, "out": False})
            else:
                common.out.print(f"host {host}: its machines and their partners are whole", markup=False)
            return
        prepared = work.prepare(crew, workspace.ROOT, host)
        if not as_json:
            show(prepared)
        if not dry_run:
            prepared.require_allowed(accept_stop=accept_stop)
            confirm(yes=yes)
            now = datetime.datetime.now(tz=datetime.UTC)
            work.begin(crew, workspace.ROOT, host, prepared, now, accept_stop=accept_stop)
    if as_json:
        common.print_json({"format": 1, "stack": plan.stack, "host": host, "out": not dry_run, **document(prepared)})
    elif not dry_run:
        back = f"kumiai maintenance {stack} {host} --end"
        common.out.print(f"host {host}: its machines are off; afterwards: {back}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def crew_of(plan: Plan, stack_file: pathlib.Path) -> Iterator[Crew]:
    """Yield what planned work is done with; its way to the machines ends with the block."""
    from infra.cli.steps import Lines
    from infra.maintenance.crew import Crew
    from infra.operations import shell, virsh
    from infra.secrets import store

    hosts = {name: host for site in plan.sites for name, host in virsh.hypervisors(plan, site).items()}
    with shell.open_shell(plan, store.load_all(stack_file, plan)) as machines:
        yield Crew(plan=plan, machines=machines, hosts=hosts, progress=Lines())


def show(prepared: Prepared) -> None:
    """Print what would be done, what speaks against it, and what would stop."""
    for step in prepared.steps:
        common.out.print(str(step), markup=False, soft_wrap=True)
    common.out.print(f"shut down {', '.join(prepared.nodes)}", markup=False, soft_wrap=True)
    for fault in prepared.faults:
        common.out.print(f"not whole: {fault}", markup=False, soft_wrap=True, style="bold red")
    for text in prepared.stops:
        common.out.print(f"stops: {text}", markup=False, soft_wrap=True, style="yellow")


def document(prepared: Prepared) -> dict[str, object]:
    """Return the same for machines."""
    return {
        "nodes": list(prepared.nodes),
        "steps": list(map(str, prepared.steps)),
        "not_whole": list(prepared.faults),
        "stops": list(prepared.stops),
    }


def confirm(*, yes: bool) -> None:
    """Ask the person at the terminal; a program that has none has decided already."""
    if not yes and sys.stdin.isatty():
        typer.confirm("Begin?", abort=True, err=True)

"""``kumiai drill``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Literal

import rich.box
import typer
from rich.table import Table

from infra.cli import common

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator, Sequence

    from infra.drills.faults import Fault
    from infra.drills.model import Result
    from infra.drills.scene import Scene
    from infra.plan.model import Plan


def command(
    stack: common.StackArgument,
    kind: Annotated[
        Literal["gateway", "node", "line", "sync", "database", "host", "site"], typer.Argument(help="What breaks.")
    ],
    subject: Annotated[
        str | None, typer.Argument(metavar="[NODE|MEMBER|SERVICE|HOST|SITE]", help="Which one; default: the first.")
    ] = None,
    *,
    fault: Annotated[
        str | None, typer.Option("--fault", metavar="FAULT", help="How it breaks; default: the first of its kind.")
    ] = None,
    twice: Annotated[
        bool, typer.Option("--twice", help="Its partners too, at once: the service stops, and no data may be lost.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Break something of STACK on purpose while a client works, and compare what it saw with what was computed.

    gateway: the one that holds the addresses (faults: power, cut, freeze-keepalived); node: the entry node of a service
    (power, cut, freeze-haproxy, freeze-keepalived); line: the main line of a member (cut); sync: the segment between
    the two gateways of a pair (cut); database: a replicated one (power, crash, standby, switchover, cut,
    freeze-patroni, freeze-postgresql, etcd, disk); host: one with all of its machines, which are made anew on others as
    the plan has stored it, and then brought back (power); site: all of its machines (power).

    The client knocks ten times a second, writes numbered records and keeps one connection open; what was acknowledged
    must be there afterwards. The result is kept below .kumiai/drills. Exit 1 when it is not as promised. The client
    works on a terminal of an office, which only the lab has.

    Example: kumiai drill demo gateway --fault cut
    """
    import infra.plan
    from infra.configure.private import ROOT
    from infra.drills import database, gateway, host, line, node, records, site, sync
    from network.errors import OperationError

    modules = {"gateway": gateway, "node": node, "line": line, "sync": sync}
    module = {**modules, "database": database, "host": host, "site": site}[kind]
    how = fault_of(kind, fault, module.FAULTS)
    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    words = module.words(plan, subject, how, twice=twice)
    if dry_run:
        common.out.print(f"would break {words}", markup=False, soft_wrap=True)
        return
    with scene_of(plan, stack_file) as scene:
        result = module.drill(scene, subject, how, twice=twice)
    path = records.keep(ROOT, result)
    if as_json:
        common.print_json(records.document(result))
    else:
        common.out.print(table(result))
        common.out.print(f"kept in {path}", markup=False)
    if not result.passed:
        raise OperationError("\n".join(f"{result.subject}: {finding}" for finding in result.findings))


def fault_of(kind: str, name: str | None, known: Sequence[Fault]) -> Fault:
    """Return the fault of that name, or the first one; InputError for one that ``kind`` does not have."""
    from network.errors import InputError

    for fault in known:
        if name in (None, fault.value):
            return fault
    raise InputError(f"--fault {name}: {kind} has {', '.join(fault.value for fault in known)}")


@contextlib.contextmanager
def scene_of(plan: Plan, stack_file: pathlib.Path) -> Iterator[Scene]:
    """Yield what drills work with, with a way to every machine while the block lasts."""
    from infra.drills.scene import Scene
    from infra.operations import shell, virsh
    from infra.secrets import store

    secrets = store.load_all(stack_file, plan)
    with shell.open_shell(plan, secrets) as opened:
        yield Scene(
            plan=plan,
            shell=opened,
            hosts={name: host for site in plan.sites for name, host in virsh.hypervisors(plan, site).items()},
            secrets=secrets,
            stack_file=stack_file,
            progress=lambda text: common.err.print(text, markup=False),
        )


def table(result: Result) -> Table:
    """Return what a drill found beside what was computed."""
    shown = Table(
        title=f"障害訓練 (drill): {result.kind} {result.subject}",
        title_justify="left",
        title_style="bold" if result.passed else "bold red",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=False,
    )
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    shown.add_row("fault", result.fault)
    shown.add_row("seen from", result.client)
    shown.add_row("took over", result.took_over)
    computed = "the service stops" if result.computed_s is None else f"computed {result.computed_s:.1f} s"
    what = "without a write" if result.kind == "database" else "without an answer"
    shown.add_row(what, f"{result.down_s:.1f} s ({computed})")
    target = "none is set" if result.target_s is None else f"{result.target_s:.1f} s"
    shown.add_row("target", f"{target} (timers: {result.timers}, machines: {result.accelerator})")
    shown.add_row("at the repair", f"{result.restored_s:.1f} s; everything as before after {result.returned_s:.0f} s")
    writes = f"{result.writes_acknowledged} acknowledged, {result.writes_lost} of them lost"
    shown.add_row("writes", f"{writes}; longest gap {result.write_gap_s:.1f} s")
    shown.add_row("open connection", f"broke {result.connections_broken} times")
    if result.kind != "line":
        shown.add_row("two holders at once", f"{result.split_brain} times in {result.samples} answers")
    for text in result.told:
        shown.add_row("found", text)
    for finding in result.findings:
        shown.add_row("not as promised", finding, style="bold red")
    return shown

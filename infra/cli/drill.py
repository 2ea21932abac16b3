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

MOST = 20
"""Most repetitions that one command makes: an emulated database takes minutes for each."""


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
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", min=1, max=MOST, help="Do it N times; median and worst at the end.")
    ] = 1,
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
    works on a terminal of an office, which only the lab has. --repeat ends at the first drill that loses a write, finds
    two machines to be what only one may be, or leaves the redundancy not whole.

    Example: kumiai drill demo gateway --fault cut
    """
    import infra.plan
    from infra.configure.private import ROOT
    from infra.drills import database, gateway, host, node, records, repeats, site, sync
    from infra.drills import line as lines
    from infra.drills.repeats import Series
    from network.errors import OperationError

    modules = {"gateway": gateway, "node": node, "line": lines, "sync": sync}
    module = {**modules, "database": database, "host": host, "site": site}[kind]
    how = fault_of(kind, fault, module.FAULTS)
    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    words = module.words(plan, subject, how, twice=twice)
    if dry_run:
        times = f", {repeat} times" if repeat > 1 else ""
        common.out.print(f"would break {words}{times}", markup=False, soft_wrap=True)
        return
    done: list[Result] = []
    try:
        with scene_of(plan, stack_file) as scene:
            while len(done) < repeat and not any(map(repeats.must_end, done)):
                done.append(module.drill(scene, subject, how, twice=twice))
                path = records.keep(ROOT, done[-1])
                if repeat > 1:
                    common.err.print(line(len(done), repeat, done[-1]), markup=False, soft_wrap=True)
    finally:  # what was found before something went wrong is told too
        if done and as_json:
            one = repeat == 1
            common.print_json(records.document(done[0]) if one else repeats.document(Series(results=tuple(done))))
        elif done:
            common.out.print(table(*done))
            common.out.print(f"kept in {path if repeat == 1 else path.parent}", markup=False)
    found = [f"{one.subject}: {finding}" for one in done for finding in one.findings]
    if len(done) < repeat:
        found.append(f"ended after {len(done)} of {repeat}: nothing more is broken on purpose")
    if found:
        raise OperationError("\n".join(found))


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


def line(number: int, of: int, result: Result) -> str:
    """Return one of several drills in one line."""
    outcome = "as promised" if result.passed else "not as promised"
    lost = f"{result.writes_lost} of {result.writes_acknowledged} writes lost"
    return f"{number}/{of} {result.subject}: {result.down_s:.1f} s {without(result)}, {lost}; {outcome}"


def without(result: Result) -> str:
    """Return what was missing in the time that was measured."""
    return "without a write" if result.kind == "database" else "without an answer"


def table(*results: Result) -> Table:
    """Return what drills of the same found, at least one, beside what was computed."""
    from infra.drills.repeats import Series

    found, first = Series(results=results), results[0]
    several = len(results) > 1

    def seconds(figure: str, digits: int = 1) -> str:
        worst = f"{found.worst_s(figure):.{digits}f} s"
        return f"median {found.median_s(figure):.{digits}f} s, worst {worst}" if several else worst

    def together(*texts: str) -> str:
        return "; ".join(dict.fromkeys(texts))

    shown = Table(
        title=f"障害訓練 (drill): {first.kind} {together(*(one.subject for one in results))}"
        + (f", {len(results)} times" if several else ""),
        title_justify="left",
        title_style="bold red" if found.failed else "bold",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=False,
    )
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    shown.add_row("fault", first.fault)
    shown.add_row("seen from", first.client)
    shown.add_row("took over", together(*(one.took_over for one in results)))
    computed = "the service stops" if first.computed_s is None else f"computed {first.computed_s:.1f} s"
    shown.add_row(without(first), f"{seconds('down_s')} ({computed})")
    target = "none is set" if first.target_s is None else f"{first.target_s:.1f} s"
    shown.add_row("target", f"{target} (timers: {first.timers}, machines: {first.accelerator})")
    shown.add_row("at the repair", seconds("restored_s"))
    shown.add_row("as before after", seconds("returned_s", 0))
    acknowledged, lost = (sum(getattr(one, f"writes_{what}") for one in results) for what in ("acknowledged", "lost"))
    shown.add_row("writes", f"{acknowledged} acknowledged, {lost} of them lost")
    shown.add_row("longest gap", seconds("write_gap_s"))
    shown.add_row("open connection", f"broke {sum(one.connections_broken for one in results)} times")
    if first.kind != "line":
        holders, answers = sum(one.split_brain for one in results), sum(one.samples for one in results)
        shown.add_row("two holders at once", f"{holders} times in {answers} answers")
    for text in () if several else first.told:
        shown.add_row("found", text)
    for number, one in enumerate(results, start=1):
        for finding in one.findings:
            shown.add_row(
                "not as promised", f"{number}/{len(results)}: {finding}" if several else finding, style="bold red"
            )
    return shown

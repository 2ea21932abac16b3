"""``kumiai lab``."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated, Literal

import rich.box
import typer
from rich.table import Table

from infra.cli import common

if TYPE_CHECKING:
    from infra.lab import LabStatus
    from infra.lab.traffic import Traffic
    from infra.plan.model import Plan

app = typer.Typer(no_args_is_help=True, help="Simulate hosts, carriers and offices on this machine, in namespaces.")


@app.command()
def up(stack: common.StackArgument, as_of: common.AsOfOption = None) -> None:
    """Bring the lab of STACK up, with the bridges of its hosts; a second run repairs what is missing.

    Example: kumiai lab up demo
    """
    import infra.plan
    from infra import lab
    from infra.hosts import apply, views

    plan = infra.plan.current(common.stack_file(stack), common.as_of_date(as_of))
    changes = len(lab.up(plan, lambda text: common.err.print(text, markup=False)))
    applied = apply.apply(plan, views.plan_views(plan, {}))
    apply.require_success(applied)
    changes += sum(len(one.changes) for one in applied)
    common.err.print(f"the lab of {plan.stack} is up: {changes} changes, guests run with {lab.accelerator(plan.stack)}")


@app.command()
def down(stack: common.StackArgument) -> None:
    """Take the lab of STACK away with everything in it: machines, their disks, namespaces, files.

    Example: kumiai lab down demo
    """
    from infra import lab

    lab.down(_name(stack), lambda text: common.err.print(text, markup=False))


@app.command()
def status(stack: common.StackArgument, as_json: common.JsonFlag = False) -> None:
    """Show what of the lab of STACK is there; exit 1 when it is not up.

    Example: kumiai lab status demo
    """
    from infra import lab
    from network.errors import OperationError

    found = lab.status(_name(stack))
    if as_json:
        common.print_json({"format": 1, **dataclasses.asdict(found)})
    elif found.hosts:
        common.out.print(*_tables(found))
        for name in found.dead_routers:
            common.out.print(f"dead: {name}; `kumiai lab up {stack}` starts it again", markup=False, style="bold red")
    if not found.up:
        raise OperationError(f"the lab of {found.stack} is not up; run: kumiai lab up {stack}")


@app.command()
def cut(
    stack: common.StackArgument,
    line: Annotated[str, typer.Argument(metavar="LINE", help="The line's id, such as nishiki-main.")],
    at: Annotated[
        Literal["access", "carrier", "handoff"],
        typer.Option(help="Between office and carrier, inside the carrier, or between carrier and data center."),
    ] = "carrier",
) -> None:
    """Cut LINE in the lab of STACK: packets vanish in both directions, and no interface goes down.

    Example: kumiai lab cut demo nishiki-main --at access
    """
    from infra.lab import faults

    faults.cut(_plan(stack), line, at)
    said = f"{line} is cut at the {at}; `kumiai lab restore {stack} {line}` restores it"
    common.err.print(said, markup=False, soft_wrap=True)


@app.command()
def restore(
    stack: common.StackArgument,
    line: Annotated[str, typer.Argument(metavar="LINE", help="The line's id, such as nishiki-main.")],
) -> None:
    """Restore LINE in the lab of STACK, wherever it was cut.

    Example: kumiai lab restore demo nishiki-main
    """
    from infra.lab import faults

    undone = faults.restore(_plan(stack), line)
    where = " and ".join(f"at the {one.place}" for one in undone)
    common.err.print(f"{line} was cut {where}; it is whole again" if undone else f"{line} is not cut", markup=False)


def _plan(stack: str) -> Plan:
    import infra.plan

    return infra.plan.current(common.stack_file(stack), common.as_of_date(None))


def _name(stack: str) -> str:
    """Return the stack's name; its file may be gone by now, the lab must go all the same."""
    from infra.lab import places

    name = pathlib.Path(stack).stem
    return name if places.existing(name) or places.run_folder(name).exists() else common.stack_file(stack).stem


def _tables(found: LabStatus) -> tuple[Table, ...]:
    hosts = _table(f"Hosts ({found.accelerator or 'not probed'})", "host", "libvirtd", "machines")
    for host in found.hosts:
        daemon = f"process {host.libvirtd}" if host.answers else "does not answer" if host.libvirtd else "not running"
        hosts.add_row(host.id, daemon, ", ".join(host.domains) or "none")
    carriers = _table("Carriers", "closed network", "member")
    for carrier in found.carriers:
        network, _, member = carrier.partition(" ")
        carriers.add_row(network, member or "all (shared)")
    offices = _table("Offices", "member", "office", "terminals on")
    for office in found.offices:
        offices.add_row(office.member, office.office, ", ".join(office.zones))
    lines = _table("Lines, and what they carried (users' packets only)", "line", "zone", "", "up", "down")
    for one in found.lines:
        cuts = ", ".join(f"cut at the {cut.place}" for cut in found.cuts if cut.line == one.line)
        up, down = (f"{packets} packets, {_size(size)}" for packets, size in _directions(one))
        lines.add_row(one.line, one.zone, cuts or "whole", up, down, style="bold red" if cuts else None)
    return hosts, carriers, offices, lines


def _directions(one: Traffic) -> tuple[tuple[int, int], tuple[int, int]]:
    return (one.packets_up, one.bytes_up), (one.packets_down, one.bytes_down)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

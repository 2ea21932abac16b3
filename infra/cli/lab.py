"""``kumiai lab``."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import rich.box
import typer
from rich.table import Table

from infra.cli import common

if TYPE_CHECKING:
    from infra.lab import LabStatus

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
    if not found.up:
        raise OperationError(f"the lab of {found.stack} is not up; run: kumiai lab up {stack}")


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
    return hosts, carriers, offices


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

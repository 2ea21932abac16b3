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
    from collections.abc import Iterator

    from infra.drills.model import Result
    from infra.drills.scene import Scene
    from infra.plan.model import Plan


def command(
    stack: common.StackArgument,
    kind: Annotated[Literal["gateway", "line", "sync"], typer.Argument(help="What breaks.")],
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[NODE|MEMBER]", help="A gateway of the pair, or the member whose line; default: the first."
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Break something of STACK on purpose while a client works, and compare what it saw with what was computed.

    gateway: the power of the gateway that holds the addresses; line: the main line of a member; sync: the segment
    between the two gateways of a pair. The client knocks ten times a second, writes numbered records and keeps one
    connection open; what was acknowledged must be there afterwards. The result is kept below .kumiai/drills. Exit 1
    when it is not as promised. The client works on a terminal of an office, which only the lab has.

    Example: kumiai drill demo gateway
    """
    import infra.plan
    from infra.configure.private import ROOT
    from infra.drills import gateway, line, records, sync
    from network.errors import OperationError

    drills = {"gateway": gateway, "line": line, "sync": sync}
    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    words = drills[kind].words(plan, subject)
    if dry_run:
        common.out.print(f"would {words}", markup=False, soft_wrap=True)
        return
    with scene_of(plan, stack_file) as scene:
        result = drills[kind].drill(scene, subject)
    path = records.keep(ROOT, result)
    if as_json:
        common.print_json(records.document(result))
    else:
        common.out.print(table((result,)))
        common.out.print(f"kept in {path}", markup=False)
    if not result.passed:
        raise OperationError("\n".join(f"{result.subject}: {finding}" for finding in result.findings))


@contextlib.contextmanager
def scene_of(plan: Plan, stack_file: pathlib.Path) -> Iterator[Scene]:
    """Yield what drills work with, with a way to every machine while the block lasts."""
    from infra.drills.scene import Scene
    from infra.operations import shell, virsh
    from infra.secrets import store

    secrets = {site: store.load(stack_file, site) for site in plan.sites}
    with shell.open_shell(plan, secrets) as opened:
        yield Scene(
            plan=plan,
            shell=opened,
            hosts={name: host for site in plan.sites for name, host in virsh.hypervisors(plan, site).items()},
            authorities={site: found.ca.certificate_pem for site, found in secrets.items()},
            progress=lambda text: common.err.print(text, markup=False),
        )


def table(results: tuple[Result, ...]) -> Table:
    """Return results side by side with what was computed."""
    profile = ", ".join(dict.fromkeys(f"timers: {r.timers}, {r.accelerator}" for r in results))
    shown = Table(
        title=f"障害訓練 (drills; {profile})",
        title_justify="left",
        title_style="bold",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
    )
    numbers = ("s down", "computed", "target", "s at repair", "writes kept", "lost", "connections broken")
    for column in ("broken", "seen from", *numbers, "took over"):
        shown.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for one in results:
        shown.add_row(
            one.subject, one.client, f"{one.down_s:.1f}", f"{one.computed_s:.1f}", f"{one.target_s:.1f}",
            f"{one.restored_s:.1f}", str(one.writes_acknowledged - one.writes_lost), str(one.writes_lost),
            str(one.connections_broken), one.took_over, style=None if one.passed else "bold red",
        )  # fmt: skip
    return shown

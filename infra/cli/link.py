"""``kumiai link``."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import common

if TYPE_CHECKING:
    from infra.declaration.links import Link, Links
    from infra.declaration.model import Declaration, Flow

app = typer.Typer(
    no_args_is_help=True, help="Open and close declared links between members (相互応援), with a record of each."
)

FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="Where the flow begins, as the stack file says it.")]
ToArgument = Annotated[str, typer.Argument(metavar="TO", help="Where the flow ends.")]


@app.command("open")
def open_(
    stack: common.StackArgument,
    source: FromArgument,
    target: ToArgument,
    *,
    until: Annotated[
        str,
        typer.Option(metavar="TIME", help="When it closes, such as 2026-08-22T18:00 (Japan's time unless it says so)."),
    ],
    requested_by: Annotated[str, typer.Option(metavar="MEMBER", help="The member that asks for it.")],
    event: Annotated[str, typer.Option(metavar="TEXT", help="What happened.")],
    scope: Annotated[str, typer.Option(metavar="TEXT", help="What it is used for.")],
) -> None:
    """Open a flow of kind mutual_support until TIME; `kumiai configure STACK` puts it on the gateways.

    Example: kumiai link open demo office:nishiki/lgwan service:zaimu@tsuno --until 2026-08-22T18:00
    --requested-by nishiki --event 台風第10号 --scope 証明書の発行
    """
    import dataclasses

    import pydantic

    from infra.declaration import links as links_file
    from network.errors import InputError

    declaration, links = _load(stack)
    now, end = _now(), _moment(until)
    if end <= now:
        raise InputError(f"--until {until}: this has passed; a link is opened until a later time")
    last = _last(links, source, target)
    if last is not None and last[1].closed_at is None:
        raise InputError(
            f"the link {last[1]} is open until {last[1].until.isoformat(timespec='minutes')}; "
            f"close it first: `kumiai link close {links.stack} {source} {target}`"
        )
    try:
        link = links_file.Link.model_validate(
            {
                "from": source,
                "to": target,
                "requested_by": requested_by,
                "event": event,
                "scope": scope,
                "opened_at": now.isoformat(timespec="minutes"),
                "until": end.isoformat(timespec="minutes"),
            }
        )
    except pydantic.ValidationError as error:
        options = [
            f"--{str(detail['loc'][0]).replace('_', '-')}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors()
        ]
        raise InputError("\n".join(options)) from None
    problems = [problem.message for problem in links_file.problems_of_opening((), link, declaration)]
    if problems:
        raise InputError("\n".join(problems))
    _require_possible(stack, declaration, (*links.open(now.date(), now), link), now.date())
    links_file.write(dataclasses.replace(links, links=(*links.links, link)), declaration)
    _say_next(links, f"{link}: opened until {end:%Y-%m-%d %H:%M %Z}".rstrip(), "it passes no packet before that")


@app.command()
def close(stack: common.StackArgument, source: FromArgument, target: ToArgument) -> None:
    """Close a link that is open, or record that one past its end is closed.

    Example: kumiai link close demo office:nishiki/lgwan service:zaimu@tsuno
    """
    import dataclasses

    from infra.declaration import links as links_file
    from network.errors import InputError

    declaration, links = _load(stack)
    last = _last(links, source, target)
    if last is None or last[1].closed_at is not None:
        raise InputError(f"{source} → {target}: no such link is open; `kumiai link list {links.stack}` shows all")
    index, link = last
    closed = link.model_copy(update={"closed_at": _now()})
    links_file.write(
        dataclasses.replace(links, links=(*links.links[:index], closed, *links.links[index + 1 :])), declaration
    )
    _say_next(links, f"{link}: closed", "open sessions end with it")


@app.command("list")
def list_(stack: common.StackArgument, as_json: common.JsonFlag = False) -> None:
    """Show every declared link with its state, and the record of all openings.

    Example: kumiai link list demo
    """
    import rich.table

    from infra.declaration import links as links_file

    declaration, links = _load(stack)
    now = _now()
    states = [(flow, _state(links, flow, now)) for flow in links_file.declared(declaration)]
    if as_json:
        common.print_json(
            {
                "format": 1,
                "stack": links.stack,
                "declared": [
                    {"from": f.from_, "to": f.to, "allow": [str(port) for port in f.allow], "state": state}
                    for f, state in states
                ],
                "links": [link.as_json() for link in links.links],
            }
        )
        return
    table = rich.table.Table(title="declared", title_justify="left")
    for column in ("from", "to", "allow", "state", "reason"):
        table.add_column(column, overflow="fold")
    for flow, state in states:
        table.add_row(flow.from_, flow.to, " ".join(str(port) for port in flow.allow), state, flow.reason)
    common.out.print(table if states else f"{links.stack}: no flow of kind mutual_support is declared")
    if links.links:
        history = rich.table.Table(title="record", title_justify="left")
        for column in ("link", "request"):
            history.add_column(column, overflow="fold")
        for column in ("opened", "until", "closed"):
            history.add_column(column, no_wrap=True)
        for link in links.links:
            times = [f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (link.opened_at, link.until, link.closed_at)]
            history.add_row(str(link), f"{link.event}\n{link.scope}\n({link.requested_by})", *times)
        common.out.print(history)


def _load(stack: str) -> tuple[Declaration, Links]:
    from infra.declaration import links as links_file
    from infra.declaration.load import load

    path = common.stack_file(stack)
    declaration = load(path)
    return declaration, links_file.load(path, declaration)


def _require_possible(stack: str, declaration: Declaration, links: Sequence[Link], day: datetime.date) -> None:
    """Plan with ``links`` open: what no gateway could hold must not stop a `configure` in the middle of an event."""
    import time

    from infra.plan import build as builder
    from infra.plan import lock
    from network import flows
    from network.errors import OperationError

    path = common.stack_file(stack)
    plan = builder.build(path.stem, declaration, lock.load(path), day, time.perf_counter, links=links).plan
    reason = flows.resolve(plan.network).unopened.get((links[-1].from_, links[-1].to))
    if reason is not None:
        raise OperationError(f"{reason}; the link cannot be opened, and nothing is recorded")


def _last(links: Links, source: str, target: str) -> tuple[int, Link] | None:
    """Return the last opening of a link with its index; only that one can be open."""
    found = [(i, link) for i, link in enumerate(links.links) if (link.from_, link.to) == (source, target)]
    return found[-1] if found else None


def _state(links: Links, flow: Flow, now: datetime.datetime) -> str:
    last = _last(links, flow.from_, flow.to)
    if last is None or last[1].closed_at is not None:
        return "closed"
    end = f"{last[1].until:%Y-%m-%d %H:%M}"
    return f"open until {end}" if now < last[1].until else f"overdue since {end}"


def _say_next(links: Links, what: str, why: str) -> None:
    common.out.print(f"{what} ({links.path})", markup=False, soft_wrap=True)
    common.err.print(f"next: `kumiai configure {links.stack}`; {why}", markup=False, soft_wrap=True)


def _now() -> datetime.datetime:
    from network.clock import JST

    return datetime.datetime.now(tz=JST).replace(second=0, microsecond=0)


def _moment(text: str) -> datetime.datetime:
    from network.clock import JST
    from network.errors import InputError

    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or len(text) < len("2026-08-22T18:00"):
        raise InputError(f"--until {text}: not a time; write one such as 2026-08-22T18:00")
    moment = moment.replace(second=0, microsecond=0)
    return moment if moment.tzinfo else moment.replace(tzinfo=JST)

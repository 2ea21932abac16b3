"""``kumiai status``."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import rich.box
import rich.live
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infra.cli import common
from infra.status.faults import unexplained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.maintenance.record import Record
    from infra.plan.model import Plan
    from infra.status.database import Member, Voter
    from infra.status.faults import Fault
    from infra.status.model import Status

PAUSE_S = 2.0


def command(
    stack: common.StackArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Show the redundant parts of STACK: services, virtual addresses, sessions, lines, replicated databases.

    Exit 1 when a part is not whole: a machine that is silent, a service that does not run, a session that is down, an
    address with no holder or with two, a database without a standby that has every write, a lost vote. What `kumiai
    maintenance` has taken out is shown, and is no reason.

    Example: kumiai status demo --watch
    """
    import infra.plan
    from infra.maintenance import record
    from infra.operations import shell, workspace
    from infra.secrets import store
    from infra.status import look
    from network.errors import OperationError

    stack_file = common.stack_file(stack)
    plan = infra.plan.current(stack_file, common.as_of_date(as_of))
    questions = look.questions(plan)

    def out() -> Record | None:
        return record.load(workspace.ROOT, plan.stack)

    with shell.open_shell(plan, store.load_all(stack_file, plan)) as opened:
        if watch:
            with rich.live.Live(console=common.out, auto_refresh=False) as live:
                while True:
                    live.update(_shown(plan, look.look(plan, opened, questions), out()), refresh=True)
                    time.sleep(PAUSE_S)
        found = look.look(plan, opened, questions)
    known = out()
    if as_json:
        common.print_json({"format": 1, "stack": plan.stack, "whole": found.whole, **_document(found, known)})
    else:
        common.out.print(_shown(plan, found, known))
    wrong = unexplained(found.faults, known.nodes if known is not None else ())
    if wrong or not found.answers:
        raise OperationError(f"{plan.stack}: {len(wrong)} findings")


def _document(found: Status, out: Record | None) -> dict[str, object]:
    wrong = unexplained(found.faults, out.nodes if out is not None else ())
    return {
        "out": None if out is None else {"kind": out.kind, "host": out.host, "nodes": out.nodes, "words": str(out)},
        "nodes": {
            node: None if answer is None else {"units": dict(answer.units), "sessions": dict(answer.sessions)}
            for node, answer in found.answers.items()
        },
        "addresses": [
            {"name": one.vip.name, "address": str(one.vip.address.ip), "holders": one.holders, "unknown": one.unknown}
            for one in found.holdings
        ],
        "lines": [dataclasses.asdict(line) for line in found.lines],
        "databases": [
            {key: value for key, value in dataclasses.asdict(cluster).items() if key != "faults"}
            for cluster in found.clusters
        ],
        "findings": list(map(str, wrong)),
        "explained": [str(fault) for fault in found.faults if fault not in wrong],
    }


def _shown(plan: Plan, found: Status, out: Record | None) -> Group:
    gone = out.nodes if out is not None else ()
    nodes = _table("機器 (machines)", "node", "host", "role", "services", "sessions")
    for node, answer in found.answers.items():
        where = plan.node_by_name[node]
        if answer is None:
            words, style = ("out on purpose", "yellow") if node in gone else ("does not answer", "bold red")
            nodes.add_row(node, where.host, where.role, words, "", style=style)
            continue
        bad = [f"{unit.removesuffix('.service')} {state}" for unit, state in answer.units.items() if state != "active"]
        up = sum(state == "Established" for state in answer.sessions.values())
        sessions = f"{up} of {len(answer.sessions)}" if answer.sessions else ""
        said = ", ".join(bad) or f"{len(answer.units)} run"
        wrong = bad or up < len(answer.sessions)
        nodes.add_row(node, where.host, where.role, said, sessions, style="bold red" if wrong else None)
    addresses = _table("仮想アドレス (virtual addresses)", "name", "address", "held by", "stands by")
    for one in found.holdings:
        others = [node for node in one.vip.nodes if node not in (*one.holders, *one.unknown)]
        row = "bold red" if one.wrong else None
        addresses.add_row(
            one.vip.name, str(one.vip.address.ip), ", ".join(one.holders) or "nobody", ", ".join(others), style=row
        )
    lines = _table("回線 (lines)", "line", "zone", "role", "state")
    for line in found.lines:
        row = "bold red" if line.state == "down" else None
        lines.add_row(line.line, line.zone or "all", line.role, line.state, style=row)
    return Group(nodes, addresses, lines, *_databases(found), *_words(found.faults, out))


def _databases(found: Status) -> Iterator[Table]:
    """Yield a table of the replicated databases; none where there are none."""
    if not found.clusters:
        return
    servers = _table(
        "二重化したデータベース (replicated databases)", "database", "node", "role", "timeline", "behind", "vote"
    )
    for cluster in found.clusters:
        roles = {member.node: member for member in cluster.members}
        for node in dict.fromkeys((*roles, *cluster.votes)):
            member = roles.get(node)
            servers.add_row(
                cluster.name,
                node,
                member.role if member is not None else "votes only",
                str(member.timeline or "") if member is not None else "",
                _behind(member) if member is not None else "",
                _vote(cluster.votes[node]) if node in cluster.votes else "",
                style="bold red" if member is not None and member.role in ("silent", "replica") else None,
            )
    yield servers
    sends = _table("接続先 (sent to)", "node", "database", "sends to")
    for cluster in found.clusters:
        for node, to in cluster.sends.items():
            style = None if to == cluster.primaries and to else "bold red"
            sends.add_row(node, cluster.name, ", ".join(to) or "nobody", style=style)
    yield sends


def _behind(member: Member) -> str:
    if member.behind is None:
        return "" if member.role == "primary" else "unknown"
    return f"{member.behind.bytes} bytes, {member.behind.seconds:.1f} s"


def _vote(vote: Voter | None) -> str:
    if vote is None:
        return "silent"
    if vote.learner:
        return "copies, no vote yet"
    return "no majority" if not vote.healthy else "leads" if vote.leads else "votes"


def _words(faults: Sequence[Fault], out: Record | None) -> Iterator[Text]:
    wrong = unexplained(faults, out.nodes if out is not None else ())
    if out is not None:
        yield Text(str(out), style="yellow")
        for fault in faults:
            if fault not in wrong:
                yield Text(f"explained by that: {fault}", style="yellow")
    for fault in wrong:
        yield Text(str(fault), style="bold red")
    if not faults:
        yield Text("every redundant part is whole")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

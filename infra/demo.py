"""``make demo``: everything, from nothing to the reachable business system, on one machine.

``python -m infra.demo`` runs every phase and prints what runs where, what each office sees, and the time of each phase;
``python -m infra.demo down`` takes it all away.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable

import rich.box
from rich.table import Table

import infra.plan
from infra import image, lab
from infra.cli import common, configure, destroy, drill, hosts, plan, up
from infra.drills import line
from infra.drills.model import Result
from infra.engine import progress
from infra.lab import visits
from infra.plan.model import Plan
from infra.report import plan_tables
from infra.secrets import store
from network import errors

STACK = "demo"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One step with its measured time."""

    title: str
    seconds: float


class Phases:
    """Runs steps one after another and keeps their times."""

    def __init__(self) -> None:
        self.done: list[Phase] = []

    def run(self, title: str, step: Callable[[], None]) -> None:
        """Run ``step``; its time counts when it succeeds."""
        common.err.rule(title, align="left")
        started = time.monotonic()
        step()
        self.done.append(Phase(title=title, seconds=time.monotonic() - started))


def demo() -> None:
    """Bring everything up and show it; raise OperationError when an office does not see what the plan says."""
    path = common.stack_file(STACK)
    day = common.as_of_date(None)
    phases = Phases()
    phases.run("guest image", _ensure_image)
    phases.run("plan", lambda: plan.command(STACK))
    found = infra.plan.current(path, day)
    phases.run("simulated hosts, carriers, offices", lambda: _lab_up(found))
    phases.run("bridges and hygiene of the hosts", lambda: hosts.command(STACK))
    phases.run("virtual machines, until each answers", lambda: up.command(STACK))
    phases.run("configuration", lambda: configure.command(STACK))
    seen: list[visits.Visit] = []
    authority = store.load(path, found.sites[0]).ca.certificate_pem
    phases.run("offices open the business systems", lambda: seen.extend(visits.visit_all(found, authority)))
    cuts: list[Result] = []
    phases.run("a main line is cut and restored", lambda: cuts.append(_cut_a_main_line(found, path)))
    common.out.print(_machines(found), _visits(found, seen), *map(drill.table, cuts), _times(phases))
    for cut in cuts:
        if not cut.passed:
            raise errors.OperationError("\n".join(f"{cut.subject}: {finding}" for finding in cut.findings))
    wrong = [visit for visit in seen if not visit.as_planned or (visit.expected and "answered" not in visit.answer)]
    if wrong:
        raise errors.OperationError(
            "\n".join(
                f"{v.office.member}/{v.office.zone} → {v.endpoint.name}: not as planned: {v.answer}" for v in wrong
            )
        )


def down() -> None:
    """Destroy the demo's machines and take the lab away."""
    path = common.stack_file(STACK)
    found = infra.plan.compute(path, common.as_of_date(None)).plan
    if lab.status(STACK).up:
        destroy.command(STACK, allow_data_loss=[node.name for node in found.nodes])
    lab.down(STACK)


def _ensure_image() -> None:
    image.ensure_image(None, progress.shown)


def _lab_up(found: Plan) -> None:
    lab.up(found)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _machines(found: Plan) -> Table:
    table = _table("どこで何が動いているか (what runs where)", "host", "machine", "role", "for", "management address")
    for host in found.hosts:
        for node in found.nodes_on(host.id):
            members = ", ".join(found.members[member] for member in node.members)
            address = found.network.node_by_name[node.name].management.address.ip
            table.add_row(host.id, node.name, node.role, members, str(address))
    return table


def _visits(found: Plan, seen: list[visits.Visit]) -> Table:
    table = _table("庁舎から見えるもの (what each office sees)", "office LAN", "business", "URL", "planned", "seen")
    for visit in seen:
        table.add_row(
            f"{found.members[visit.office.member]} {plan_tables.ZONE_TITLES[visit.office.zone]}",
            found.services[visit.endpoint.service],
            visit.url.removesuffix(visits.PATH).removesuffix(":443"),
            "opens" if visit.expected else "closed",
            visit.answer if visit.reached else "closed",
            style=None if visit.as_planned else "bold red",
        )
    return table


def _cut_a_main_line(found: Plan, path: pathlib.Path) -> Result:
    """Cut the first main line that has a backup, while its office works with a business system."""
    with drill.scene_of(found, path) as scene:
        return line.drill(scene, None)


def _times(phases: Phases) -> Table:
    table = _table("所要時間 (time of each phase)", "phase", "seconds")
    for phase in phases.done:
        table.add_row(phase.title, f"{phase.seconds:.1f}")
    table.add_row("everything", f"{sum(phase.seconds for phase in phases.done):.1f}")
    return table


def main() -> int:
    """Return the exit status."""
    try:
        if sys.argv[1:] == ["down"]:
            down()
        else:
            demo()
    except errors.KumiaiError as error:
        common.err.print(str(error), markup=False, soft_wrap=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

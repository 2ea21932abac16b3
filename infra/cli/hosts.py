"""``kumiai hosts``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from infra.cli import common


def command(
    stack: common.StackArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; list every deviation, and fail on one.")
    ] = False,
    lost: Annotated[
        list[str] | None, typer.Option("--lost", metavar="HOST", help="A host that is out of service; others go on.")
    ] = None,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Prepare the hypervisors of STACK: bridges and tunnels of all segments, the management hub, kernel settings.

    Run it before `up`, and again whenever segments, hosts or the placement changed; a second run changes nothing.

    Example: kumiai hosts demo --check
    """
    import infra.plan
    from infra.hosts import apply, uplinks, views
    from infra.hosts import check as checks
    from network.errors import OperationError

    plan = infra.plan.current(common.stack_file(stack), common.as_of_date(as_of))
    planned = views.plan_views(plan, uplinks.load(plan), lost or ())
    if not check:
        applied = apply.apply(plan, planned)
        if as_json:
            hosts = [dataclasses.asdict(one) for one in applied]
            common.print_json({"format": 1, "stack": plan.stack, "hosts": hosts})
        else:
            for one in applied:
                state = (
                    "failed" if one.error else f"{len(one.changes)} changes" if one.changes else "as planned already"
                )
                bridges = len(planned[one.host].bridges)
                hub = ", management hub" if planned[one.host].hub else ""
                common.out.print(f"{one.host}: {bridges} segments{hub}: {state}", markup=False)
        apply.require_success(applied)
        return
    reports = checks.check(plan, planned)
    if as_json:
        hosts = [dataclasses.asdict(report) for report in reports]
        common.print_json({"format": 1, "stack": plan.stack, "hosts": hosts})
    else:
        for report in reports:
            seen = f"{report.bridges} bridges, {report.tunnels} tunnels, {report.entries} forwarding entries"
            state = f"{len(report.deviations)} deviations" if report.deviations else "as planned"
            common.out.print(f"{report.host}: {seen}, {report.settings} settings: {state}", markup=False)
            for deviation in report.deviations:
                common.out.print(f"  {deviation.rule}: {deviation.where}: {deviation.message}", markup=False)
    wrong = [one.host for one in reports if one.deviations]
    if wrong or not reports:
        raise OperationError(
            f"not as planned: {', '.join(wrong) or 'no host was examined'}; `kumiai hosts {stack}` repairs"
        )

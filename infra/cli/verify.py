"""``kumiai verify``."""

from __future__ import annotations

from infra.cli import common
from infra.cli.preview import LostOption


def command(
    stack: common.StackArgument,
    *,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
    lost: LostOption = None,
) -> None:
    """Compare every machine, everything with the stack's mark, and the hypervisors with the plan.

    Machines that `kumiai maintenance` has stopped are no difference.

    Example: kumiai verify demo
    """
    import dataclasses

    import infra.plan
    from infra.cli.steps import request_of
    from infra.maintenance import record
    from infra.operations import live, verify, workspace
    from network.errors import OperationError

    request = request_of(stack, as_of, None, lost)
    plan = infra.plan.current(request.stack_file, request.as_of)
    request.check(plan)
    reports = {site: verify.verify_site(plan, site, request) for site in plan.sites}
    out = record.load(workspace.ROOT, plan.stack)
    found = [finding for report in reports.values() for finding in report.findings]
    findings = [f for f in found if out is None or f.subject not in out.nodes or f.message != live.STOPPED]
    passed = not findings and all(report.machines for report in reports.values())
    examined = {
        key: sum(getattr(report, key) for report in reports.values())
        for key in ("machines", "cards", "disks", "objects", "bridges", "settings")
    }
    if as_json:
        common.print_json(
            {
                "format": 1,
                "stack": plan.stack,
                "verdict": "pass" if passed else "fail",
                "examined": examined,
                "out": None if out is None else {"kind": out.kind, "host": out.host, "nodes": out.nodes},
                "findings": [dataclasses.asdict(finding) for finding in findings],
            }
        )
    else:
        if out is not None:
            common.out.print(str(out), markup=False, soft_wrap=True)
        for finding in findings:
            common.out.print(str(finding), markup=False, soft_wrap=True)
        looked = ", ".join(f"{count} {what}" for what, count in examined.items())
        common.out.print(f"{plan.stack}: {'as planned' if passed else 'not as planned'} ({looked})", markup=False)
    if not passed:
        raise OperationError(
            f"{plan.stack}: {len(findings)} differences" if findings else f"{plan.stack}: nothing was looked at"
        )

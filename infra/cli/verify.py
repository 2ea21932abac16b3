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

    Example: kumiai verify demo
    """
    import dataclasses

    import infra.plan
    from infra.cli.steps import request_of
    from infra.operations import verify
    from network.errors import OperationError

    request = request_of(stack, as_of, None, lost)
    plan = infra.plan.current(request.stack_file, request.as_of)
    request.check(plan)
    reports = {site: verify.verify_site(plan, site, request) for site in plan.sites}
    passed = all(report.passed for report in reports.values())
    findings = [finding for report in reports.values() for finding in report.findings]
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
                "findings": [dataclasses.asdict(finding) for finding in findings],
            }
        )
    else:
        for finding in findings:
            common.out.print(str(finding), markup=False, soft_wrap=True)
        looked = ", ".join(f"{count} {what}" for what, count in examined.items())
        common.out.print(f"{plan.stack}: {'as planned' if passed else 'not as planned'} ({looked})", markup=False)
    if not passed:
        raise OperationError(
            f"{plan.stack}: {len(findings)} differences" if findings else f"{plan.stack}: nothing was looked at"
        )

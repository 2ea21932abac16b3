"""``kumiai destroy``."""

from __future__ import annotations

from infra.cli import common
from infra.cli.preview import AllowOption, LostOption


def command(
    stack: common.StackArgument,
    *,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
    allow_data_loss: AllowOption = None,
    lost: LostOption = None,
) -> None:
    """Remove every machine, volume and network of the stack from its hosts. Its keys stay in stacks/Pulumi.….yaml.

    Example: kumiai destroy demo --allow-data-loss all
    """
    import infra.plan
    from infra.cli.steps import Lines, request_of
    from infra.maintenance import record
    from infra.operations import destroy, workspace

    request = request_of(stack, as_of, allow_data_loss, lost)
    # What exists is to go, so a lock that no longer matches the declaration is no reason to stop.
    plan = infra.plan.compute(request.stack_file, request.as_of).plan
    request.check(plan)
    left = {site: destroy.destroy_site(plan, site, request, Lines()) for site in plan.sites}
    record.remove(workspace.ROOT, plan.stack)
    if as_json:
        document = {
            "format": 1,
            "stack": plan.stack,
            "unknown_to_state": {s: list(map(str, t)) for s, t in left.items()},
        }
        common.print_json(document)
    else:
        for site in left:
            common.out.print(f"{plan.stack}.{site}: nothing of it is left on its hosts", markup=False)
        common.err.print(
            f"the keys stay in stacks/Pulumi.{plan.stack}.….yaml: delete the file to forget them", markup=False
        )

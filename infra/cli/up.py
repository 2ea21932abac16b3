"""``kumiai up``."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from infra.cli import common
from infra.cli.preview import AllowOption, LostOption


def command(
    stack: common.StackArgument,
    *,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
    allow_data_loss: AllowOption = None,
    lost: LostOption = None,
    image: Annotated[
        pathlib.Path | None,
        typer.Option("--image", metavar="FILE", help="Make new machines from your own cloud image (qcow2)."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until every machine answers on SSH.")] = True,
    shutdown_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a machine may take to shut down before a restart.")
    ] = 120.0,
) -> None:
    """Make it so: create, change and remove machines until the hosts are as planned, and check that they are.

    Example: kumiai up demo
    """
    from infra.cli.steps import Lines, changes_document, changes_table, request_of
    from infra.image import Image
    from infra.maintenance import record
    from infra.operations import up, workspace
    from infra.operations.preview import Preview
    from network.errors import OperationError

    request = request_of(stack, as_of, allow_data_loss, lost)
    record.require_none(workspace.ROOT, request.stack_file.stem)  # it would start what was stopped on purpose
    progress = Lines()
    plan = up.prepare(request, Image.from_file(image) if image is not None else None)
    options = up.Options(first_contact=wait, shutdown_s=shutdown_timeout)
    done = [up.up_site(plan, site, request, options, progress) for site in plan.sites]
    if as_json:
        document = changes_document(plan, {d.site: Preview(changes=d.changes, notes=()) for d in done})
        document["sites"] = [
            {
                "site": d.site,
                "created": d.created,
                "started": list(d.started),
                "answered_after_seconds": {a.node: a.seconds for a in d.answers.values()},
                "wiped": list(d.wiped),
                "seconds": {phase: round(seconds, 2) for phase, seconds in d.seconds.items()},
            }
            for d in done
        ]
        common.print_json(document)
    else:
        for d in done:
            title = f"{plan.stack}.{d.site}"
            common.out.print(f"{title}: made" if d.created else changes_table(title, d.changes))
            phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in d.seconds.items())
            common.err.print(f"{title}: as planned ({phases})", markup=False, soft_wrap=True)
    if plan.expired:
        raise OperationError("\n".join(f"{request.stack_file}: {flow}: not rendered" for flow in plan.expired))

"""``kumiai reimage``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import common
from infra.cli.maintenance import AcceptOption, DryRunOption, YesOption, confirm, crew_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from infra.maintenance.reimage import Rolling, Tools
    from infra.operations.run import Progress, Request
    from infra.plan.model import Plan


def command(
    stack: common.StackArgument,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="The machines.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every machine of the stack.")] = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="FILE|ID",
            help="Your own cloud image (qcow2), or one built before; default: that of today's recipe.",
        ),
    ] = None,
    accept_stop: AcceptOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Make machines of STACK anew from another guest image, group by group, with their data volumes kept.

    No group holds two machines that stand in for each other, and the first one is a single machine. Each is handed
    over and shut down as by `kumiai maintenance`, made anew, configured, and waited for until all is whole. It stops at
    the first failure; run it again to go on.

    Example: kumiai reimage nishiki --all --dry-run
    """
    import datetime

    import infra.plan
    from infra.cli.steps import Lines, request_of
    from infra.maintenance import reimage
    from infra.operations import up, workspace
    from network.errors import InputError

    if bool(nodes) == every:
        raise InputError("name the machines, or say --all")
    request = request_of(stack, as_of, None, None)
    plan = infra.plan.current(request.stack_file, request.as_of)
    chosen = _image(image, build=not dry_run)
    rolling = reimage.prepare(plan, workspace.ROOT, nodes or (), chosen)
    if not as_json:
        show(rolling)
    if not dry_run and rolling.groups:
        rolling.require_allowed(accept_stop=accept_stop)
        up.require_image(chosen)
        require_settled(plan, request, rolling)
        confirm(yes=yes)
        with crew_of(plan, request.stack_file) as crew:
            now = datetime.datetime.now(tz=datetime.UTC)
            made = tools(plan, request, chosen, Lines())
            reimage.roll(crew, made, workspace.ROOT, rolling, now, accept_stop=accept_stop)
    if as_json:
        common.print_json({"format": 1, "stack": plan.stack, "done": not dry_run, **dataclasses.asdict(rolling)})
    elif not dry_run:
        common.out.print(f"{plan.stack}: everything asked for has image {chosen} and is whole", markup=False)


def show(rolling: Rolling) -> None:
    """Print the order and the reasons."""
    for number, group in enumerate(rolling.groups, start=1):
        for node in group:
            why = f"{rolling.before[node] or 'no image yet'} → {rolling.image}"
            if node in rolling.begun:
                why = f"begun before, not finished → {rolling.image}"
            common.out.print(f"{number}. {node}: {why}", markup=False, soft_wrap=True)
    for text in rolling.stops:
        common.out.print(f"stops meanwhile: {text}", markup=False, soft_wrap=True, style="yellow")
    if not rolling.groups:
        common.out.print(f"every machine asked for has image {rolling.image} already", markup=False)


def _image(text: str | None, *, build: bool) -> str:
    """Return the identifier of the image that ``text`` means; ``build``: have it on this machine, too."""
    import pathlib

    from infra.engine.progress import shown
    from infra.image import Image, Recipe, ensure_image
    from infra.image.recipe import is_image_id
    from infra.operations import up

    if text is None:
        return up.image_for_new(None).id if build else Recipe().image_id
    if is_image_id(text):
        return ensure_image(text, shown).id if build else text
    found = Image.from_file(pathlib.Path(text))
    return up.image_for_new(found).id if build else found.id


def require_settled(plan: Plan, request: Request, rolling: Rolling) -> None:
    """Raise OperationError when other changes are waiting: they would come along, unannounced."""
    from infra.operations import run

    request = dataclasses.replace(request, reimage=frozenset(rolling.begun))
    for site in plan.sites:
        place = run.open_site(request, plan, site)
        run.require_only(place, run.planned_changes(place, request), rolling.begun)


def tools(plan: Plan, request: Request, image: str, progress: Progress) -> Tools:
    """Return what machines are made anew with."""
    import infra.plan
    from infra.cli import configure
    from infra.configure import runner
    from infra.maintenance.reimage import Tools
    from infra.operations import up

    def pin(group: Collection[str]) -> None:
        infra.plan.pin_anew(request.stack_file, group, image)

    def replace(group: Collection[str]) -> None:
        now = infra.plan.current(request.stack_file, request.as_of)
        asked = dataclasses.replace(request, reimage=frozenset(group))
        for site in dict.fromkeys(plan.node_by_name[node].site for node in group):
            up.up_site(now, site, asked, up.Options(only=frozenset(group)), progress)

    def configured(group: Collection[str]) -> None:
        now = infra.plan.current(request.stack_file, request.as_of)
        runner.require_success(now, configure.run(now, request.stack_file, limit=group))

    return Tools(pin=pin, replace=replace, configure=configured)

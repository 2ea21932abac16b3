"""``kumiai secret``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli import common

if TYPE_CHECKING:
    import pathlib

    from infra.plan.model import Plan

app = typer.Typer(
    no_args_is_help=True, help="Store passwords that carriers and far ends of tunnels share with the stack."
)


@app.command("set")
def set_(
    stack: common.StackArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `kumiai secret list STACK` shows it.")],
) -> None:
    """Store the password NAME, encrypted; it is asked for, or read from standard input, and never an argument.

    Example: kumiai secret set nishiki line/carrier-a
    """
    from infra.secrets import agreed, store
    from network.errors import InputError

    path, plan = _plan(stack)
    by_site = {site: agreed.needed(plan.network, site) for site in dict.fromkeys(node.site for node in plan.nodes)}
    sites = [site for site, names in by_site.items() if name in names]
    if not sites:
        known = ", ".join(dict.fromkeys(one for names in by_site.values() for one in names))
        raise InputError(f"{name}: no line of {plan.stack} needs it; " + (f"needed: {known}" if known else "none is"))
    value = _ask(name)
    agreed.check_value(name, value)
    for site in sites:
        store.put(plan, path, site, name, value)
    common.out.print(f"{name} is stored; `kumiai configure {stack}` brings it to the gateways", soft_wrap=True)


@app.command("list")
def list_(stack: common.StackArgument, *, json: common.JsonFlag = False) -> None:
    """Show which passwords the lines of a stack need and whether they are stored; never their values.

    Example: kumiai secret list nishiki
    """
    from infra.operations import workspace
    from infra.secrets import agreed, store

    path, plan = _plan(stack)
    found = []
    for site in dict.fromkeys(node.site for node in plan.nodes):
        names = agreed.needed(plan.network, site)
        known = store.read(workspace.open_workspace(path.stem, site)) if names else None
        found += [
            {"site": site, "name": name, "use": use, "stored": known is not None and name in known.passwords}
            for name, use in names.items()
        ]
    if json:
        common.print_json({"format": 1, "stack": plan.stack, "secrets": found})
        return
    if not found:
        common.out.print(f"{plan.stack}: no line needs a password")
    for one in found:
        state = "stored " if one["stored"] else "missing"
        common.out.print(f"{state}  {one['name']}  ({one['use']}, {one['site']})", soft_wrap=True, markup=False)


def _plan(stack: str) -> tuple[pathlib.Path, Plan]:
    import infra.plan

    path = common.stack_file(stack)
    return path, infra.plan.compute(path, common.as_of_date(None)).plan


def _ask(name: str) -> str:
    if sys.stdin.isatty():
        answer: str = typer.prompt(name, hide_input=True, confirmation_prompt=True)
        return answer
    return sys.stdin.readline().rstrip("\r\n")

"""The command line: one file per command, each a thin edge around the parts below."""

from __future__ import annotations

import sys

import typer

from infra.cli import (
    audit,
    common,
    configure,
    destroy,
    drill,
    hosts,
    impact,
    lab,
    lines,
    link,
    maintenance,
    plan,
    preview,
    reimage,
    render,
    restart,
    schema,
    secret,
    status,
    switchover,
    up,
    validate,
    verify,
)
from network import errors

__all__ = [
    "app",
    "audit",
    "common",
    "configure",
    "destroy",
    "drill",
    "hosts",
    "impact",
    "lab",
    "lines",
    "link",
    "main",
    "maintenance",
    "plan",
    "preview",
    "reimage",
    "render",
    "restart",
    "schema",
    "secret",
    "status",
    "switchover",
    "up",
    "validate",
    "verify",
]

app = typer.Typer(
    name="kumiai",
    help="Build and check a shared municipal cloud (自治体クラウド) from one declaration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (validate, schema, plan, render, hosts, preview, up, destroy, verify, configure):
    app.command(module.__name__.rpartition(".")[2])(module.command)
for module in (audit, impact, lines, status, drill, switchover, maintenance, reimage, restart):
    app.command(module.__name__.rpartition(".")[2])(module.command)
app.add_typer(lab.app, name="lab")
app.add_typer(link.app, name="link")
app.add_typer(secret.app, name="secret")


def main() -> None:
    """Run the command line; an expected failure becomes its message and its exit status."""
    try:
        app()
    except errors.KumiaiError as error:
        common.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        common.err.print("interrupted; run the command again to continue", markup=False)
        sys.exit(130)

"""``kumiai render``."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from infra.cli import common


def command(
    stack: common.StackArgument,
    output: Annotated[pathlib.Path, typer.Option("--output", metavar="DIR", help="Folder to write; made if missing.")],
    as_of: common.AsOfOption = None,
) -> None:
    """Write every generated file of every node to DIR/NODE/etc/…; no secret is among them.

    Example: kumiai render demo --output rendered
    """
    import infra.plan
    from infra.configure import files
    from network.render import render_all

    computed = infra.plan.compute(common.stack_file(stack), common.as_of_date(as_of))
    network = render_all(computed.plan.network)
    count = 0
    for node in computed.plan.nodes:
        rendered = {**network[node.name], **files.render_node(computed.plan, node.name)}
        for name, text in sorted(rendered.items()):
            target = output / node.name / name.removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            count += 1
    common.err.print(f"{output}: {count} files of {len(computed.plan.nodes)} nodes", markup=False)

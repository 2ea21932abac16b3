"""``kumiai plan``."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated

import typer

from infra.cli import common


def command(
    stack: common.StackArgument,
    as_json: common.JsonFlag = False,
    output: Annotated[
        pathlib.Path | None, typer.Option("--output", metavar="FILE", help="Write the JSON document to FILE.")
    ] = None,
    as_of: common.AsOfOption = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when the lock would change.")] = False,
) -> None:
    """Show what runs where, with which address, and whether it survives the loss of a host; keep it in the lock.

    Example: kumiai plan demo
    """
    import infra.plan
    from infra.plan import lock
    from infra.plan.document import document
    from network.errors import OperationError

    path = common.stack_file(stack)
    computed = infra.plan.compute(path, common.as_of_date(as_of))
    if computed.lock_changed and not check:
        lock.write(path, computed.lock_text)
    found = document(computed.plan)
    if output is not None:
        output.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if as_json:
        common.print_json(found)
    else:
        from infra.report import plan_tables

        common.out.print(plan_tables.tables(computed.plan, found["digest"]))
    name = lock.path_of(path)
    if not computed.lock_changed:
        common.err.print(f"{name}: unchanged", markup=False)
    elif check:
        raise OperationError(f"{name}: would change; run `kumiai plan {path.stem}` and commit it")
    else:
        common.err.print(f"{name}: written (generation {computed.lock.generation})", markup=False)
    if computed.plan.expired:
        raise OperationError("\n".join(f"{path}: {flow}: not rendered" for flow in computed.plan.expired))

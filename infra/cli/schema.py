"""``kumiai schema``."""

from __future__ import annotations

from infra.cli import common


def command() -> None:
    """Print the JSON Schema of stack files, for editors.

    Example: kumiai schema > stacks/kumiai.schema.json
    """
    from infra.declaration.schema import json_schema

    common.print_json(json_schema())

"""The JSON Schema of a stack file, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

import pydantic.json_schema

from infra.declaration.model import Declaration

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12); what it accepts can still break a rule that joins several objects."""
    schema = Declaration.model_json_schema(by_alias=True, schema_generator=pydantic.json_schema.GenerateJsonSchema)
    tidy: dict[str, Any] = _without_null(schema)
    return {"$schema": DIALECT, **tidy, "title": "Kumiai stack file (構成団体の共同利用クラウドの宣言), format 1"}


def _without_null(node: Any) -> Any:  # noqa: ANN401 — JSON
    """Return ``node`` without null: an optional key is left out; one without a value is an error in a stack file."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _without_null(value) for key, value in node.items() if not (key == "default" and value is None)}
    if isinstance(tidy.get("default"), dict):
        tidy["default"] = {key: value for key, value in tidy["default"].items() if value is not None}
    options = tidy.get("anyOf")
    if isinstance(options, list):
        real = [option for option in options if option != {"type": "null"}]
        if len(real) == 1:
            del tidy["anyOf"]
            tidy = {**real[0], **tidy}
        else:
            tidy["anyOf"] = real
    return tidy

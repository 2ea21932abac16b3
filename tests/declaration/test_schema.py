from __future__ import annotations

import pathlib
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from infra.declaration import source
from infra.declaration.schema import json_schema
from tests.declaration import wrong_stacks
from tests.declaration.good_stack import GOOD

STACKS = pathlib.Path(__file__).parents[2] / "stacks"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", ["demo", "mixed", "multi-tenant", "nishiki", "per-municipality", "same-business"])
def test_every_stack_fits_the_schema(name: str) -> None:
    tree = yaml_1_2((STACKS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(VALIDATOR.iter_errors(tree)) == []


def test_an_editor_marks_what_the_loader_refuses_for_its_shape() -> None:
    """The schema may be more lenient (check digits, host bits), but sees unknown, missing and mistyped keys."""
    marked = [case.name for case in wrong_stacks.SHAPE if list(VALIDATOR.iter_errors(yaml_1_2(case.file())))]
    lenient = {case.name for case in wrong_stacks.SHAPE} - set(marked)
    assert lenient == {
        "a wrong check digit",
        "a code of no prefecture",
        "host bits",
        "no prefix",
        "no address",
        "a day that does not exist",
        "a port too high",
        "a text of two lines",
        "a text that turns its direction",
        "an empty text",
        "a password in a URI",
        "infinite memory",
    }


def yaml_1_2(text: str) -> object:
    return source.parse(text.encode(), "f").tree


def test_an_empty_value_is_no_value_of_an_optional_key() -> None:
    tree: Any = yaml_1_2(GOOD)
    assert list(VALIDATOR.iter_errors(tree)) == []
    tree["sla"] = None
    assert len(list(VALIDATOR.iter_errors(tree))) == 1


def test_keys_are_explained() -> None:
    schema = json_schema()
    explained = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if "description" not in value
    ]
    assert explained == [], "every key has a docstring"


def test_the_schema_is_yaml_too() -> None:
    assert yaml.safe_load(yaml.safe_dump(json_schema())) == json_schema()

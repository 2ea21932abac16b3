from __future__ import annotations

import json

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from infra.declaration import DeclarationError, source

KEYS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(min_value=-(10**20), max_value=10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(KEYS, below, max_size=4)),
    max_leaves=20,
)


def tree_of(text: str) -> object:
    parsed = source.parse(text.encode(), "f.yaml")
    assert parsed.findings == ()
    return parsed.tree


@hypothesis.given(TREES)
def test_what_json_writes_is_read_back(tree: object) -> None:
    """JSON is YAML 1.2; this also covers every kind of quoting and nesting on one line."""
    assert tree_of(json.dumps({"a": tree}, ensure_ascii=False)) == {"a": tree}


@hypothesis.given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
def test_what_is_quoted_in_blocks_is_read_back(tree: dict[str, object]) -> None:
    """Block style with quotes: PyYAML writes the structure, so the texts are those of somebody else."""
    text = yaml.dump(
        json.loads(json.dumps(tree)), allow_unicode=True, default_style='"', Dumper=_Dumper, default_flow_style=False
    )
    assert tree_of(text) == _as_text(tree)


class _Dumper(yaml.SafeDumper):
    """Writes every scalar as text, without aliases and tags."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, data: object) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(data))


for _type in (bool, int, float):
    _Dumper.add_representer(_type, _represent_text)


def _as_text(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: _as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_as_text(value) for value in tree]
    return str(tree)


@hypothesis.given(st.dictionaries(KEYS, st.integers(0, 99), min_size=1, max_size=6), st.integers(0, 3))
def test_every_key_and_value_stands_where_its_place_says(values: dict[str, int], indent: int) -> None:
    lines = [
        "# 見出し",
        "top:",
        *(f"{' ' * (indent + 1)}{json.dumps(k, ensure_ascii=False)}: {v}" for k, v in values.items()),
    ]
    parsed = source.parse("\n".join(lines).encode(), "f.yaml")
    for key, value in values.items():
        place = parsed.place(("top", key))
        assert lines[place.line - 1][place.column - 1 :] == str(value)
        assert lines[place.key_line - 1][place.key_column - 1 :].startswith(json.dumps(key, ensure_ascii=False))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-12", -12),
        ("012041", 12041),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("12:30:45", "12:30:45"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("2011-10-01", "2011-10-01"),
        ("2011-10-01T00:00:00Z", "2011-10-01T00:00:00Z"),
        ("0b11", "0b11"),
        ("10.1.0.0/18", "10.1.0.0/18"),
        ("+", "+"),
        ("-", "-"),
        (".", "."),
        ("=", "="),
        ("1" * 31, "1" * 31),
        ("'012041'", "012041"),
        ('"true"', "true"),
        ("錦町", "錦町"),
        ("|-\n  12", "12"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    if text in ("-",):
        assert source.scalar(text) == value  # in a file, a lone dash begins a list
        return
    tree = tree_of(f"a: {text}\n")
    assert tree == {"a": value}
    assert isinstance(tree, dict)
    assert type(tree["a"]) is type(value)


@pytest.mark.parametrize("text", ["~", "null", "Null", ""])
def test_a_key_without_a_value_is_told(text: str) -> None:
    (finding,) = source.parse(f"a: {text}\n".encode(), "f.yaml").findings
    assert str(finding) == "f.yaml:1:1: `a` has no value; give one or remove the key"


def test_keys_are_names_even_when_they_look_like_numbers() -> None:
    assert tree_of("1: a\ntrue: b\n") == {"1": "a", "true": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n\tb: 2\n",
        'a: "abc\n',
        "a: b: c\n",
        "a: @x\n",
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\na: 2\nb:\n",
        "? [a]\n: 1\n",
        "<<: {a: 1}\n",
        "a: - 1\n",
        "[" * 60,
        "a: \x07\n",
    ],
)
def test_without_libyaml_the_answers_are_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> str:
        try:
            return "\n".join(map(str, source.parse(text.encode(), "f.yaml").findings))
        except DeclarationError as error:
            return str(error)

    with_libyaml = told()
    monkeypatch.setattr(source, "_PARSER", yaml.SafeLoader)
    assert told() == with_libyaml != ""

"""Passwords that are shared with carriers: which ones, which values, and how a person stores them."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
import typer.testing

import infra.plan
from infra import cli
from infra.operations import workspace
from infra.operations.workspace import Workspace
from infra.plan.model import Plan
from infra.secrets import agreed, store
from network.errors import InputError
from tests.network.render import tunnels
from tests.secrets.test_store import place

__all__ = ["place"]
KEY = "not-a-Secret-in-argv/000"


def with_md5(plan: Plan) -> Plan:
    (line,) = plan.network.lines
    hands = tuple(dataclasses.replace(hand, md5="carrier-a") for hand in line.handoffs)
    lines = (dataclasses.replace(line, handoffs=hands),)
    return dataclasses.replace(plan, network=dataclasses.replace(plan.network, lines=lines))


PLAN = with_md5(tunnels.planned("demo"))


def test_what_lines_need_is_named_with_its_use() -> None:
    assert agreed.needed(PLAN.network, "dc1") == {
        "line/carrier-a": "BGP on line m1-net",
        "tunnel/m1-net": "IPsec on line m1-net",
    }
    assert agreed.needed(PLAN.network, "dc2") == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("line/a", "", "line/a: the value is empty"),
        ("line/a", "two words", "no blank"),
        ("line/a", "パスワード", "of ASCII only"),
        ("line/a", "tab\t", "of ASCII only"),
        ("line/a", "x" * 81, "has 81 characters; 1 to 80"),
        ("tunnel/a", "x" * 19, "has 19 characters; 20 to 128"),
    ],
)
def test_a_value_that_protects_nothing_is_refused_and_not_quoted(name: str, value: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        agreed.check_value(name, value)
    assert message in str(refused.value)
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("line/a", "x"), ("line/a", "x" * 80), ("tunnel/a", "x" * 20)])
def test_a_value_at_the_limit_is_taken(name: str, value: str) -> None:
    agreed.check_value(name, value)


@pytest.fixture
def command(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> typer.testing.CliRunner:
    """The command line over the stack of `place` with the plan of this module."""
    computed = infra.plan.compute(pathlib.Path("stacks/demo.yaml"), PLAN.as_of)
    monkeypatch.setattr(infra.plan, "compute", lambda *_: dataclasses.replace(computed, plan=PLAN))
    monkeypatch.setattr(workspace, "open_workspace", lambda *_: place)
    return typer.testing.CliRunner()


def test_a_password_is_read_from_standard_input_stored_and_never_shown(
    command: typer.testing.CliRunner, place: Workspace
) -> None:
    before = json.loads(command.invoke(cli.app, ["secret", "list", "demo", "--json"]).stdout)
    assert [(one["name"], one["stored"]) for one in before["secrets"]] == [
        ("line/carrier-a", False),
        ("tunnel/m1-net", False),
    ]
    done = command.invoke(cli.app, ["secret", "set", "demo", "tunnel/m1-net"], input=f"{KEY}\n")
    assert done.exit_code == 0, done.output
    assert "kumiai configure demo" in done.output
    known = store.read(place)
    assert known is not None
    assert known.passwords["tunnel/m1-net"] == KEY
    assert set(known.hosts) == {node.name for node in PLAN.nodes}, "what the plan needs was made beside it"
    assert KEY not in (place.root / "log").read_text(), "neither an argument nor in the environment"
    shown = command.invoke(cli.app, ["secret", "list", "demo"]).output
    assert shown.splitlines() == [
        "missing  line/carrier-a  (BGP on line m1-net, dc1)",
        "stored   tunnel/m1-net  (IPsec on line m1-net, dc1)",
    ]
    assert KEY not in done.output + shown


def test_a_name_that_no_line_needs_is_refused(command: typer.testing.CliRunner, place: Workspace) -> None:
    with pytest.raises(InputError, match=r"line/other: no line .* needs it; needed: line/carrier-a, tunnel/m1-net"):
        command.invoke(cli.app, ["secret", "set", "demo", "line/other"], input="x\n", catch_exceptions=False)
    with pytest.raises(InputError, match="the value is empty"):
        command.invoke(cli.app, ["secret", "set", "demo", "line/carrier-a"], input="", catch_exceptions=False)
    assert store.read(place) is None

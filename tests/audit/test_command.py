"""``kumiai audit`` on the command line: what it prints and how it ends."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest
import typer.testing

from infra.audit import sandbox
from infra.cli import app
from infra.process import run
from network.errors import InputError, OperationError
from network.render import nftables
from tests.audit import listings
from tests.network.render import demo

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

STACK = str(demo.STACK)
DAY = ("--as-of", demo.AS_OF.isoformat())


def call(*argv: str) -> tuple[BaseException | None, str]:
    result = typer.testing.CliRunner().invoke(app, ["audit", STACK, *DAY, *argv], env={"COLUMNS": "100"})
    return result.exception, result.stdout


@pytest.fixture
def rendered(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, files in demo.files().items():
        path = tmp_path / "taken" / name / sandbox.RULES
        path.parent.mkdir(parents=True)
        path.write_text(files[nftables.RULES], encoding="utf-8")
    return tmp_path / "taken"


def test_both_levels_of_the_demo_pass() -> None:
    error, text = call()
    assert error is None
    assert "demo · declared: pass" in text
    assert "demo · rendered: pass" in text
    assert "552 ordered pairs" in text


def test_json_is_one_document_in_the_fixed_form() -> None:
    error, text = call("--json", "--level", "rendered")
    found = json.loads(text)
    assert error is None
    assert (found["format"], found["stack"], found["level"], found["verdict"]) == (1, "demo", "rendered", "pass")
    assert found["examined"]["pairs"] > 0
    assert found["examined"]["rules"] > 0
    _, both = call("--json")
    assert (json.loads(both)["level"], [one["level"] for one in json.loads(both)["levels"]]) == (
        "all",
        ["declared", "rendered"],
    )


def test_rule_files_from_elsewhere_are_judged(rendered: pathlib.Path) -> None:
    assert call("--level", "rendered", "--rendered", str(rendered))[0] is None
    path = rendered / "juki-db1" / sandbox.RULES
    path.write_text(path.read_text().replace("policy drop", "policy accept").replace("counter drop", "counter"))
    error, text = call("--level", "rendered", "--rendered", str(rendered))
    assert isinstance(error, OperationError)
    assert error.exit_code == 1
    assert "critical" in text
    assert "juki-db1: inet kumiai input" in text
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("  critical"))


def test_a_gateway_that_is_not_there_fails_the_audit(rendered: pathlib.Path) -> None:
    shutil.rmtree(rendered / "dc1-gw1b")
    error, text = call("--level", "rendered", "--rendered", str(rendered))
    assert isinstance(error, OperationError)
    assert "dc1-gw1b" in text
    assert "there is no etc/nftables.conf of this machine" in text


def test_wrong_arguments_are_bad_input(tmp_path: pathlib.Path) -> None:
    error, _ = call("--rendered", str(tmp_path / "nowhere"))
    assert isinstance(error, InputError)
    assert str(error).endswith("no such folder")
    error, _ = call("--level", "declared", "--rendered", str(tmp_path))
    assert isinstance(error, InputError)
    error, _ = call("--against", "no-such-revision")
    assert isinstance(error, InputError)
    assert "neither a file nor a revision" in str(error)


def test_against_a_file_and_a_revision(tmp_path: pathlib.Path) -> None:
    repository = tmp_path / "group"
    repository.mkdir()
    stack = repository / "demo.yaml"
    for path in (demo.STACK, demo.STACK.with_name("demo.lock.yaml")):
        if path.exists():
            shutil.copy(path, repository / path.name)
    git = ("git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.jp")
    run(*git, "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "before")
    text = stack.read_text(encoding="utf-8")
    stack.write_text(text.replace("allow: [tcp/8443]", "allow: [tcp/8443, tcp/9443]"), encoding="utf-8")
    before = tmp_path / "demo.yaml"
    before.write_text(text, encoding="utf-8")
    for since in ("HEAD", str(before)):
        result = typer.testing.CliRunner().invoke(app, ["audit", str(stack), *DAY, "--against", since, "--json"])
        assert result.exception is None
        changes = json.loads(result.stdout)["changes"]
        assert {(c["from"], c["to"]) for c in changes} == {
            (f"juki-ap{n}", f"service:zaimu-{member}") for n in (1, 2) for member in ("nishiki", "tsuno")
        }
        assert {one["ports"] for c in changes for one in c["gained"]} == {"9443"}
        assert not any(c["lost"] for c in changes)

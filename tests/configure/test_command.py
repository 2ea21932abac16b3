"""``kumiai configure`` and Ansible by hand, as far as a person sees them."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import typer.testing

import infra.cli
from infra import memory
from infra.configure import by_hand, runner
from infra.configure.outcome import NodeProgress
from infra.hosts import access
from infra.plan.model import Plan
from infra.secrets import store
from infra.secrets.model import Secrets
from network.errors import InputError, OperationError
from tests.configure.conftest import MARK


@pytest.fixture(autouse=True)
def surroundings(plan: Plan, secrets: Secrets, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """A stack whose plan, secrets and network are the fixtures'."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "test.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infra.plan.current", lambda file, day: plan)
    monkeypatch.setattr(store, "load", lambda file, site: secrets)
    monkeypatch.setattr(access, "station_ssh_args", lambda plan, site: ("-o", "ProxyJump=root@kvm01"))


def run(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(infra.cli.app, ["configure", "test", *arguments])


def outcome_of(plan: Plan, **unlike: NodeProgress) -> runner.Outcome:
    nodes = [NodeProgress(node=node.name, state="ok", tasks=5) for node in plan.nodes]
    return runner.Outcome(
        nodes=tuple(unlike.get(node.node.replace("-", "_"), node) for node in nodes), seconds=12.34, strategy="mitogen"
    )


def test_json_tells_of_every_node(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "configure", lambda *_, **__: outcome_of(plan))
    done = run("--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert (document["format"], document["stack"], document["seconds"]) == (1, "test", 12.3)
    assert [node["node"] for node in document["nodes"]] == [node.name for node in plan.nodes]


def test_a_node_that_cannot_be_reached_makes_the_command_fail_after_the_table(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = NodeProgress(node="juki-ap1", state="unreachable", cause="Connection timed out")
    monkeypatch.setattr(runner, "configure", lambda *_, **__: outcome_of(plan, juki_ap1=lost))
    done = run()
    assert isinstance(done.exception, OperationError)
    assert done.exception.exit_code == 1
    assert "juki-ap1 on host" in str(done.exception)
    assert "Connection timed out" in str(done.exception)
    assert "juki-db1" in done.stdout, "the others' results are shown"


def test_options_reach_the_run(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def configure(*_: Any, **options: Any) -> runner.Outcome:
        seen.update(options)
        return outcome_of(plan)

    monkeypatch.setattr(runner, "configure", configure)
    assert run("--limit", "juki-ap1", "--limit", "juki-db1", "--strategy", "stock").exit_code == 0
    assert (seen["limit"], seen["strategy"]) == (["juki-ap1", "juki-db1"], "stock")


def test_an_unknown_strategy_is_refused() -> None:
    done = run("--strategy", "fast")
    assert done.exit_code == 2
    assert "mitogen or stock" in done.stderr


def test_by_hand_the_inventory_has_no_secret_and_its_directory_ends_with_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    asked: list[tuple[int, str]] = []

    def folder_of(owner: int, purpose: str) -> pathlib.Path:
        asked.append((owner, purpose))
        return tmp_path

    monkeypatch.setattr(memory, "folder_of", folder_of)
    text = by_hand.prepare("stacks/test.yaml", "2026-04-01", 4711)
    assert MARK not in text
    variables = json.loads(text)["_meta"]["hostvars"]["juki-db1"]
    assert asked == [(4711, "configure")]
    assert variables["kumiai_secrets_file"] == f"{tmp_path}/secrets/juki-db1.json"
    assert pathlib.Path(variables["ansible_ssh_private_key_file"]).stat().st_mode & 0o777 == 0o600


def test_by_hand_an_unknown_stack_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere/x\.yaml: no such stack"):
        by_hand.prepare("nowhere/x.yaml", None, 1)

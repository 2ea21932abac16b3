"""A run: what is reported, how it fails, and that nothing secret stays behind."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

import ansible_runner
import pytest

from infra.configure import outcome, runner
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network.errors import InputError, OperationError
from tests.configure.conftest import MARK

ROOT = pathlib.Path(__file__).parents[2]


def event(kind: str, host: str, task: str = "Install", **result: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": host, "task": task, "res": result}}


def fake(*events: dict[str, Any], status: str = "successful") -> Callable[..., Any]:
    """Stand in for ``ansible_runner.run``: tells ``events``, then ends with ``status``."""

    def run(*, event_handler: Callable[[Mapping[str, Any]], bool], **settings: Any) -> Any:
        run.settings = settings  # type: ignore[attr-defined]
        for one in events:
            event_handler(one)
        return types.SimpleNamespace(status=status)

    return run


def configure(plan: Plan, secrets: Secrets, run: Callable[..., Any], **more: Any) -> runner.Outcome:
    return runner.configure(plan, {"dc1": secrets}, {"dc1": ()}, run_ansible=run, **more)


def everyone_ok(plan: Plan, but: str = "") -> list[dict[str, Any]]:
    return [event("runner_on_ok", node.name) for node in plan.nodes if node.name != but]


def test_an_unreachable_node_is_named_with_host_and_cause_and_the_others_are_done(plan: Plan, secrets: Secrets) -> None:
    unreachable = event("runner_on_unreachable", "juki-ap2", msg="Connection timed out")
    result = configure(plan, secrets, fake(unreachable, *everyone_ok(plan, "juki-ap2"), status="failed"))
    assert [node.node for node in result.failures] == ["juki-ap2"]
    host = plan.node_by_name["juki-ap2"].host
    with pytest.raises(OperationError) as error:
        runner.require_success(plan, result)
    assert str(error.value) == f"juki-ap2 on host {host} cannot be reached: Connection timed out"
    assert error.value.exit_code == 1


def test_a_node_that_can_be_reached_at_the_second_try_is_done(plan: Plan, secrets: Secrets) -> None:
    limits: list[str] = []

    def run(*, limit: str, **settings: Any) -> Any:
        limits.append(limit)
        lost = event("runner_on_unreachable", "juki-ap2", msg="Connection closed")
        events = [lost, *everyone_ok(plan, "juki-ap2")] if len(limits) == 1 else [event("runner_on_ok", "juki-ap2")]
        return fake(*events, status="failed" if len(limits) == 1 else "successful")(**settings)

    result = configure(plan, secrets, run)
    assert limits == [",".join(node.name for node in plan.nodes), "juki-ap2"]
    assert result.failures == ()
    runner.require_success(plan, result)


def test_a_failed_node_is_named_with_the_task(plan: Plan, secrets: Secrets) -> None:
    failed = event("runner_on_failed", "juki-db1", task="Install the database", msg="database: exit status 1")
    result = configure(plan, secrets, fake(failed, *everyone_ok(plan, "juki-db1"), status="failed"))
    with pytest.raises(
        OperationError, match=r"juki-db1 on host .* failed at “Install the database”: database: exit status 1"
    ):
        runner.require_success(plan, result)


def test_a_node_whose_turn_never_came_is_a_failure(plan: Plan, secrets: Secrets) -> None:
    result = configure(plan, secrets, fake(*everyone_ok(plan, "juki-db1")))
    with pytest.raises(OperationError, match=r"juki-db1 on host .* was not configured: Ansible ended before its turn"):
        runner.require_success(plan, result)


def test_a_run_that_ends_without_any_nodes_failure_is_still_a_failure(plan: Plan, secrets: Secrets) -> None:
    broken = {"event": "error", "stdout": "\x1b[0;31m[ERROR]: no such role\x1b[0m"}
    with pytest.raises(OperationError, match=r"Ansible did not finish: \[ERROR\]: no such role"):
        configure(plan, secrets, fake(*everyone_ok(plan), broken, status="failed"))


def test_an_interrupted_run_says_how_to_go_on(plan: Plan, secrets: Secrets) -> None:
    with pytest.raises(OperationError, match="interrupted; run the same command again"):
        configure(plan, secrets, fake(status="canceled"))


def test_changes_are_counted(plan: Plan, secrets: Secrets) -> None:
    events = [
        event("runner_on_ok", "juki-ap1", changed=True),
        event("runner_on_skipped", "juki-ap1"),
        *everyone_ok(plan),
    ]
    result = configure(plan, secrets, fake(*events))
    node = next(node for node in result.nodes if node.node == "juki-ap1")
    assert (node.state, node.tasks, node.changed) == ("changed", 2, 1)
    assert result.changed == ("juki-ap1",)
    runner.require_success(plan, result)


def test_limit_names_only_known_nodes(plan: Plan, secrets: Secrets) -> None:
    with pytest.raises(InputError, match="juki-ap9: no such node; the plan has"):
        configure(plan, secrets, fake(), limit=["juki-ap9"])
    run = fake(event("runner_on_ok", "juki-ap1"))
    result = configure(plan, secrets, run, limit=["juki-ap1"])
    assert [node.node for node in result.nodes] == ["juki-ap1"]
    assert run.settings["limit"] == "juki-ap1"  # type: ignore[attr-defined]


def test_the_private_directory_is_gone_after_a_failure(plan: Plan, secrets: Secrets) -> None:
    seen: list[pathlib.Path] = []

    def die(**settings: Any) -> Any:
        seen.append(pathlib.Path(settings["private_data_dir"]))
        assert (seen[0] / "id_dc1").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        configure(plan, secrets, die)
    assert seen
    assert not seen[0].exists()


def test_workers_that_outlive_a_cut_run_are_ended(plan: Plan, secrets: Secrets) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def die(*, envvars: dict[str, str], **settings: Any) -> Any:
        for environment in (envvars, {"KUMIAI_INVENTORY": "/dev/shm/other/inventory.json"}):
            argv = [sys.executable, "-c", "import time; time.sleep(60)"]
            started.append(subprocess.Popen(argv, env={**os.environ, **environment}, start_new_session=True))
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            configure(plan, secrets, die)
        assert started[0].wait(20) == -signal.SIGKILL
        assert started[1].poll() is None, "the process of another run was ended too"
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_killed_run_leaves_no_worker_and_no_secret(plan: Plan, secrets: Secrets) -> None:
    """SIGKILL reaches Kumiai alone; what it had started and written is cleared by the guard that it left behind."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)  # the guard holds it too, and is the last one to
    victim = os.fork()
    if victim == 0:

        def never_ends(*, envvars: dict[str, str], private_data_dir: str, **settings: Any) -> Any:
            argv = [sys.executable, "-c", "import time; time.sleep(60)"]
            worker = subprocess.Popen(argv, env={**os.environ, **envvars}, start_new_session=True)
            os.write(write_end, f"{worker.pid} {private_data_dir}\n".encode())
            time.sleep(60)

        configure(plan, secrets, never_ends)
        os._exit(1)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as told:
        pid, directory = told.readline().split()
        assert (pathlib.Path(directory) / "id_dc1").exists()
        worker = os.pidfd_open(int(pid))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        ended, _, _ = select.select([worker], [], [], 20)
        assert ended, "the worker still runs"
        assert told.read() == "", "ends when the guard, the last one to hold the pipe, is gone"
    os.close(worker)
    assert not pathlib.Path(directory).exists()


def test_progress_tells_the_task_of_each_node(plan: Plan, secrets: Secrets) -> None:
    told: list[tuple[str, str]] = []
    configure(
        plan,
        secrets,
        fake(event("runner_on_start", "juki-ap1", task="Install the firewall"), *everyone_ok(plan)),
        progress=lambda nodes: told.append((nodes["juki-ap1"].state, nodes["juki-ap1"].task)),
    )
    assert told[0] == ("running", "Install the firewall")
    assert told[-1][0] == "ok"


def test_a_long_answer_of_a_machine_is_cut() -> None:
    tracker = outcome.Tracker(["a"], lambda nodes: None)
    tracker.handle(event("runner_on_failed", "a", msg="x" * 5000))
    assert len(tracker.nodes["a"].cause or "") < 700


PLAY = """
- name: Play
  hosts: juki-ap1
  gather_facts: false
  connection: local
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
  tasks:
    - name: Install the secrets
      kumiai_files:
        state_dir: {target}/pending
        groups:
          - name: application
            owner: {user}
            group: {group}
            mode: "0600"
            files: "{{{{ {{'{target}/a.json': kumiai_secrets.application_password_files.values() | first}} }}}}"
      no_log: true
    - name: Refuse a secret
      kumiai_files:
        state_dir: {target}/pending
        groups:
          - {{name: broken, owner: {user}, group: {group}, validate: "false %s",
             files: "{{{{ {{'{target}/b.json': kumiai_secrets.load_balancer_pems.values() | first}} }}}}"}}
      no_log: true
"""


@pytest.mark.parametrize("strategy", ["mitogen", "stock"])
def test_a_real_run_leaves_no_secret_in_its_records(
    plan: Plan,
    secrets: Secrets,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    strategy: runner.Strategy,
) -> None:
    project, target = tmp_path / "project", tmp_path / "target"
    target.mkdir()
    shutil.copytree(ROOT / "inventories", project / "inventories")
    for name in ("ansible.cfg", "roles"):
        (project / name).symlink_to(ROOT / name)
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    (project / "site.yml").write_text(PLAY.format(target=target, user=user, group=group))
    monkeypatch.setattr(runner, "ROOT", project)

    directories: list[pathlib.Path] = []

    def run_ansible(**settings: Any) -> Any:
        directories.append(pathlib.Path(settings["private_data_dir"]))
        return ansible_runner.run(**settings)

    result = configure(plan, secrets, run_ansible, limit=["juki-ap1"], strategy=strategy)

    assert [(node.node, node.state, node.task) for node in result.nodes] == [("juki-ap1", "failed", "Refuse a secret")]
    assert f"{MARK}-juki-m1" in (target / "a.json").read_text(), "the run did handle secrets"
    records = [path for path in (project / ".kumiai").rglob("*") if path.is_file()]
    assert len(records) > 5
    assert [str(path) for path in records if MARK.encode() in path.read_bytes()] == []
    assert MARK not in "".join(capfd.readouterr())
    assert [directory.exists() for directory in directories] == [False]


def test_a_traceback_is_told_by_its_exception() -> None:
    tracker = outcome.Tracker(["a"], lambda nodes: None)
    trace = "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nKeyError: '/etc/frr/frr.conf'\n"
    tracker.handle(event("runner_on_failed", "a", msg="no result", module_stderr=trace))
    assert tracker.nodes["a"].cause == "no result\nKeyError: '/etc/frr/frr.conf'"

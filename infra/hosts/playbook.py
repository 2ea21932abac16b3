"""Real hypervisors: the role ``hypervisor`` installs the rendered script, runs it, and has it run at every boot."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from infra.configure.outcome import Event, Tracker
from infra.hosts import access
from infra.plan.model import Plan
from network.errors import OperationError

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOK = "hypervisors.yml"
GROUP = "hypervisors"
RUNS_KEPT = 10
RunAnsible = Callable[..., Any]
"""``ansible_runner.run``; tests put another one in."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What the play did to one host."""

    host: str
    changes: tuple[str, ...]
    error: str | None


def play(plan: Plan, scripts: Mapping[str, str], run_ansible: RunAnsible | None = None) -> tuple[Played, ...]:
    """Run the play on the hosts of ``scripts`` (host → rendered script)."""
    tracker = Tracker(scripts, lambda nodes: None)
    changes: dict[str, list[str]] = {host: [] for host in scripts}

    def handle(event: Event) -> bool:
        data = event.get("event_data") or {}
        result = data.get("res") or {}
        if event.get("event") == "runner_on_ok" and result.get("changed") and data.get("host") in changes:
            changes[data["host"]] += result.get("stdout_lines") or [str(data.get("task"))]
        return tracker.handle(event)

    with tempfile.TemporaryDirectory(prefix="kumiai-hosts-") as folder:
        directory = pathlib.Path(folder)
        (directory / "hosts.json").write_text(json.dumps(inventory(plan, scripts, directory)), encoding="utf-8")
        status = (run_ansible or _ansible_runner())(
            private_data_dir=folder,
            project_dir=str(ROOT),
            playbook=PLAYBOOK,
            inventory=str(directory / "hosts.json"),
            artifact_dir=str(ROOT / ".kumiai" / "hosts" / plan.stack),
            rotate_artifacts=RUNS_KEPT,
            envvars=_environment(len(scripts)),
            event_handler=handle,
            quiet=True,
        ).status
    tracker.finish()
    played = tuple(
        Played(
            host=host,
            changes=tuple(changes[host]),
            error=None if node.state in ("ok", "changed") else node.cause or node.state,
        )
        for host, node in tracker.nodes.items()
    )
    if status != "successful" and all(one.error is None for one in played):
        raise OperationError("Ansible did not finish: " + ("\n".join(tracker.messages) or f"status {status}"))
    return played


def inventory(plan: Plan, scripts: Mapping[str, str], directory: pathlib.Path) -> dict[str, object]:
    """Write the scripts below ``directory`` and return the inventory that names them (YAML's subset that is JSON)."""
    hosts: dict[str, dict[str, object]] = {}
    for host, script in scripts.items():
        path = directory / f"{host}.sh"
        path.write_text(script, encoding="utf-8")
        there = access.remote(plan.host_by_id[host])
        hosts[host] = {"hypervisor_stack": plan.stack, "hypervisor_network_script": str(path)}
        if there is None:
            hosts[host] |= {"ansible_connection": "local", "ansible_become": os.geteuid() != 0}
            hosts[host] |= {"ansible_python_interpreter": sys.executable}
        else:
            hosts[host] |= {
                "ansible_host": there.host,
                "ansible_user": there.user,
                "ansible_become": there.user != "root",
            }
            hosts[host] |= {"ansible_port": there.port} if there.port else {}
    return {GROUP: {"hosts": hosts, "vars": {"ansible_python_interpreter": "auto_silent"}}}


def _environment(forks: int) -> dict[str, str]:
    return {
        # The interpreter's own programs first: ansible-playbook of the same environment.
        "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FORKS": str(forks),
        "ANSIBLE_HOST_KEY_CHECKING": "true",
    }


def _ansible_runner() -> RunAnsible:
    import ansible_runner  # noqa: PLC0415 - takes half a second, and the lab does without

    run: RunAnsible = ansible_runner.run
    return run

"""Run the play over the plan's inventory, through ansible-runner."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from infra.configure import private
from infra.configure.outcome import NodeProgress, Tracker
from infra.configure.private import ROOT
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network.errors import EnvironmentLackError, InputError, OperationError

PLAYBOOK = "site.yml"
ATTEMPTS = 2
"""A node that could not be reached is tried once more: one that has just started may close the first connections."""
RUNS_KEPT = 10
"""Records of former runs below ``.kumiai/configure/<stack>``."""

Strategy = Literal["mitogen", "stock"]
"""mitogen keeps one Python a machine for the whole run; ``stock`` is Ansible's own way, one Python a task."""
ONE_PYTHON: Mapping[str, object] = {"ansible_become": False, "ansible_python_interpreter": "sudo -n /usr/bin/python3"}
"""Root from the first process on instead of a second Python for the rights. Stock Ansible takes no such interpreter."""
Progress = Callable[[Mapping[str, NodeProgress]], None]
RunAnsible = Callable[..., Any]
"""``ansible_runner.run``; tests put another one in."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run."""

    nodes: tuple[NodeProgress, ...]
    seconds: float
    strategy: Strategy

    @property
    def changed(self) -> tuple[str, ...]:
        """Nodes on which something changed."""
        return tuple(node.node for node in self.nodes if node.changed)

    @property
    def failures(self) -> tuple[NodeProgress, ...]:
        """Nodes that were not finished."""
        return tuple(node for node in self.nodes if node.state not in ("ok", "changed"))


def configure(
    plan: Plan,
    secrets: Mapping[str, Secrets],
    station_ssh_args: Mapping[str, Sequence[str]],
    *,
    limit: Collection[str] = (),
    progress: Progress = lambda nodes: None,
    strategy: Strategy = "mitogen",
    run_ansible: RunAnsible | None = None,
) -> Outcome:
    """Bring the nodes of ``plan``, or those in ``limit``, to their planned configuration.

    A node that fails or does not answer keeps no other one from being finished; the outcome tells of each.
    ``secrets`` and ``station_ssh_args`` (options to reach the management network) are by site.
    """
    chosen = _chosen(plan, limit)
    tracker = Tracker(chosen, progress)
    begun = time.monotonic()
    status = "successful"
    for_all = ONE_PYTHON if strategy == "mitogen" else {}
    with private.private_directory(plan, secrets, station_ssh_args, for_all) as directory:
        left = chosen
        for attempt in range(1, ATTEMPTS + 1):
            settings = _settings(plan, directory, strategy, left, attempt)
            status = (run_ansible or _ansible_runner())(**settings, event_handler=tracker.handle, quiet=True).status
            left = tracker.unreachable
            if status == "canceled" or not left or attempt == ATTEMPTS:
                break
            tracker.wait_again(left)
    if status == "canceled":
        raise OperationError("interrupted; run the same command again, it finishes what is left")
    tracker.finish()
    outcome = Outcome(nodes=tuple(tracker.nodes.values()), seconds=time.monotonic() - begun, strategy=strategy)
    if status != "successful" and not outcome.failures:
        raise OperationError("Ansible did not finish: " + ("\n".join(tracker.messages) or f"status {status}"))
    return outcome


def _settings(
    plan: Plan, directory: pathlib.Path, strategy: Strategy, nodes: Collection[str], attempt: int
) -> dict[str, Any]:
    return {
        "private_data_dir": str(directory),
        "project_dir": str(ROOT),
        "playbook": PLAYBOOK,
        "inventory": str(ROOT / "inventories" / "stack.py"),
        "limit": ",".join(nodes),
        "artifact_dir": str(ROOT / ".kumiai" / "configure" / plan.stack),
        "ident": f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{attempt}",
        "rotate_artifacts": RUNS_KEPT,
        "envvars": _environment(directory, strategy, len(nodes)),
    }


def require_success(plan: Plan, outcome: Outcome) -> None:
    """Raise OperationError that names each unfinished node, the host it runs on and the cause."""
    lines = []
    for node in outcome.failures:
        where = f"{node.node} on host {plan.node_by_name[node.node].host}"
        at = f" at “{node.task}”" if node.task and node.state == "failed" else ""
        what = {"failed": "failed", "unreachable": "cannot be reached"}.get(node.state, "was not configured")
        lines.append(f"{where} {what}{at}: {node.cause or 'Ansible ended before its turn'}")
    if lines:
        raise OperationError("\n".join(lines))


def _chosen(plan: Plan, limit: Collection[str]) -> tuple[str, ...]:
    unknown = sorted(set(limit) - set(plan.node_by_name))
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such node; the plan has {', '.join(plan.node_by_name)}")
    return tuple(node.name for node in plan.nodes if not limit or node.name in limit)


def _environment(directory: pathlib.Path, strategy: Strategy, forks: int) -> dict[str, str]:
    environment = {
        # The interpreter's own programs first: ansible-playbook of the same environment.
        "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FORKS": str(forks),
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "KUMIAI_INVENTORY": str(directory / private.INVENTORY),
    }
    if strategy == "mitogen":
        environment["ANSIBLE_STRATEGY"] = "mitogen_linear"
        environment["ANSIBLE_STRATEGY_PLUGINS"] = str(_mitogen_plugins())
    return environment


def _mitogen_plugins() -> pathlib.Path:
    spec = importlib.util.find_spec("ansible_mitogen")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentLackError("mitogen is not installed; run `make setup`, or use --strategy stock")
    return pathlib.Path(spec.submodule_search_locations[0]) / "plugins" / "strategy"


def _ansible_runner() -> RunAnsible:
    import ansible_runner  # noqa: PLC0415 - takes half a second, and `kumiai plan` does not need it

    run: RunAnsible = ansible_runner.run
    return run

"""What becomes of each node during a run, told by ansible-runner's events."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

State = Literal["waiting", "running", "ok", "changed", "failed", "unreachable"]
Event = Mapping[str, Any]
"""One event as ansible-runner hands it over: ``{"event": "runner_on_ok", "event_data": {"host": …, "res": {…}}}``."""

CAUSE_CHARACTERS = 600
"""The most that a failure message shows of what a machine answered."""


@dataclasses.dataclass(slots=True, kw_only=True)
class NodeProgress:
    """How far one node is."""

    node: str
    state: State = "waiting"
    task: str = ""
    """The task it is at, or the one it failed at."""
    tasks: int = 0
    """Tasks that ran on it."""
    changed: int = 0
    """Tasks that changed something."""
    cause: str | None = None


class Tracker:
    """Follows a run, event by event."""

    def __init__(self, nodes: Iterable[str], notify: Callable[[Mapping[str, NodeProgress]], None]) -> None:
        self.nodes = {name: NodeProgress(node=name) for name in nodes}
        self.messages: list[str] = []
        """What went wrong outside any node, such as a play that does not parse."""
        self._notify = notify

    def handle(self, event: Event) -> bool:
        """Take one event in; the answer tells ansible-runner to keep it."""
        kind, data = str(event.get("event", "")), event.get("event_data") or {}
        node = self.nodes.get(str(data.get("host", "")))
        if node is not None and kind.startswith("runner_"):
            self._of_node(node, kind, data)
        elif kind in ("error", "verbose") and "ERROR" in str(event.get("stdout", "")):
            self.messages.append(_short(str(event["stdout"])))
        self._notify(self.nodes)
        return True

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Return the nodes that could not be reached."""
        return tuple(name for name, node in self.nodes.items() if node.state == "unreachable")

    def wait_again(self, nodes: Iterable[str]) -> None:
        """Take up ``nodes`` once more as if they had not been tried."""
        for name in nodes:
            self.nodes[name] = NodeProgress(node=name)
        self._notify(self.nodes)

    def finish(self) -> None:
        """Settle the nodes that are still at work: the run is over."""
        for node in self.nodes.values():
            if node.state == "running":
                node.state = "changed" if node.changed else "ok"
        self._notify(self.nodes)

    def _of_node(self, node: NodeProgress, kind: str, data: Mapping[str, Any]) -> None:
        if node.state in ("failed", "unreachable"):
            return
        node.state, node.task = "running", _task(str(data.get("task") or node.task))
        result = data.get("res") or {}
        if kind in ("runner_on_ok", "runner_on_failed"):
            node.tasks += 1
            node.changed += bool(result.get("changed"))
        if kind == "runner_on_failed" and not data.get("ignore_errors"):
            node.state, node.cause = "failed", _cause(result)
        elif kind == "runner_on_unreachable":
            node.state, node.cause = "unreachable", _cause(result)


def _task(name: str) -> str:
    """Return the task's name; Ansible's own first task of each role has one that no table has room for."""
    return "Check the role's variables" if name.startswith("Validating arguments against arg spec") else name


def _cause(result: Mapping[str, Any]) -> str:
    """Return what a result says went wrong; Ansible itself has blanked it where a task has ``no_log``."""
    parts = [_without_traceback(str(result.get(key) or "").strip()) for key in ("msg", "stderr", "module_stderr")]
    return _short("\n".join(dict.fromkeys(part for part in parts if part)) or "no reason given")


def _without_traceback(text: str) -> str:
    """Return the exception of a program's traceback, which is all of it that an operator can use."""
    return text.splitlines()[-1] if text.startswith("Traceback ") else text


def _short(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return text if len(text) <= CAUSE_CHARACTERS else text[:CAUSE_CHARACTERS] + " …"

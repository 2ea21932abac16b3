"""The play for real hypervisors, with another Ansible in its place."""

from __future__ import annotations

import json
import pathlib
import types
from typing import Any

import pytest

from infra.hosts import playbook
from network.errors import OperationError
from tests.lab_unit.small import small_plan, with_host

PLAN = with_host(
    with_host(small_plan(), "kvm01", libvirt="qemu+ssh://root@192.0.2.1:2222/system"),
    *("kvm02",),
    libvirt="qemu+ssh://admin@192.0.2.2/system",
)
SCRIPTS = {"kvm01": "#!/bin/sh\n# one\n", "kvm02": "#!/bin/sh\n# two\n"}


class FakeAnsible:
    """Keeps what it was called with and reports the given events."""

    def __init__(self, events: list[dict[str, Any]], status: str = "successful") -> None:
        self._events, self._status = events, status
        self.inventory: dict[str, Any] = {}
        self.scripts: dict[str, str] = {}

    def __call__(self, **arguments: Any) -> types.SimpleNamespace:
        assert arguments["playbook"] == "hypervisors.yml"
        assert (pathlib.Path(arguments["project_dir"]) / arguments["playbook"]).exists()
        self.inventory = json.loads(pathlib.Path(arguments["inventory"]).read_text())["hypervisors"]["hosts"]
        for host, variables in self.inventory.items():
            self.scripts[host] = pathlib.Path(variables["hypervisor_network_script"]).read_text()
        for event in self._events:
            arguments["event_handler"](event)
        return types.SimpleNamespace(status=self._status)


def event(kind: str, host: str, **result: Any) -> dict[str, Any]:
    return {"event": f"runner_on_{kind}", "event_data": {"host": host, "task": "Apply the network", "res": result}}


def test_hosts_get_the_rendered_bytes_and_report_their_changes() -> None:
    ansible = FakeAnsible(
        [
            event("ok", "kvm01", changed=True, stdout_lines=["ip link add a", "ip link add b"]),
            event("ok", "kvm02", changed=False, stdout_lines=[]),
        ]
    )
    one, two = playbook.play(PLAN, SCRIPTS, ansible)
    assert ansible.scripts == SCRIPTS
    assert (one.changes, one.error) == (("ip link add a", "ip link add b"), None)
    assert (two.changes, two.error) == ((), None)
    wanted = {"ansible_host": "192.0.2.1", "ansible_user": "root", "ansible_port": 2222, "ansible_become": False}
    assert ansible.inventory["kvm01"].items() >= wanted.items()
    assert ansible.inventory["kvm02"]["ansible_become"] is True


def test_a_failed_host_is_told_with_its_cause_and_the_other_one_goes_on() -> None:
    ansible = FakeAnsible(
        [
            event("failed", "kvm01", stderr="kumiai-network: uplink eno9 is missing"),
            event("ok", "kvm02", changed=False),
        ],
        status="failed",
    )
    one, two = playbook.play(PLAN, SCRIPTS, ansible)
    assert one.error == "kumiai-network: uplink eno9 is missing"
    assert two.error is None


def test_a_play_that_never_starts_is_an_error() -> None:
    with pytest.raises(OperationError, match="Ansible did not finish"):
        playbook.play(PLAN, {}, FakeAnsible([], status="failed"))


def test_a_host_that_the_play_did_not_get_to_is_not_called_done() -> None:
    played = playbook.play(PLAN, SCRIPTS, FakeAnsible([event("ok", "kvm01", changed=False)], status="failed"))
    assert [one.error for one in played] == [None, "waiting"]

"""Ways into the lab: a host, a terminal in an office."""

from __future__ import annotations

from infra.lab import places, processes, underlay
from infra.lab import state as state_file
from infra.lab.state import Accelerator
from network.errors import EnvironmentLackError


def enter_host(stack: str, host: str) -> tuple[str, ...]:
    """Return what to put before a command that runs on the simulated host, with its network and its libvirt folders."""
    network = enter_network(stack, host)
    state = state_file.load(stack)
    for process in state.processes if state is not None else ():
        if process.name in (f"{host}/libvirtd", f"{host}/virtlogd") and processes.alive(process):
            return ("nsenter", f"--target={process.pid}", "--mount", "--net", "--")
    return network  # no daemon, no folders of its own


def enter_network(stack: str, host: str) -> tuple[str, ...]:
    """Return what to put before a command that runs in the simulated host's network, with this machine's files."""
    namespace = underlay.namespace_of(stack, host)
    _require(stack, namespace, f"host {host}")
    return ("ip", "netns", "exec", namespace)


def office_exec(stack: str, member: str, office: str, zone: str) -> tuple[str, ...]:
    """Return what to put before a command that runs on the terminal of an office's LAN."""
    namespace = places.namespace(stack, "terminal", member, office, zone)
    _require(stack, namespace, f"office {office} of {member}, LAN {zone}")
    return ("ip", "netns", "exec", namespace)


def accelerator(stack: str) -> Accelerator:
    """Return how guests run on this machine, as ``lab up`` found out."""
    state = state_file.load(stack)
    if state is None or state.accelerator is None:
        raise EnvironmentLackError(f"the lab of {stack} is not up; run: kumiai lab up {stack}")
    return state.accelerator


def _require(stack: str, namespace: str, what: str) -> None:
    if not (places.NETNS / namespace).exists():
        raise EnvironmentLackError(f"{what}: not in the lab of {stack}; run: kumiai lab up {stack}")

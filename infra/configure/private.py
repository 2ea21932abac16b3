"""The directory that a run of Ansible needs and that must not outlive it: keys, pinned host keys, secrets of each node.

It lies in memory (tmpfs), belongs to one user and is removed when the run ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence

from infra import memory
from infra.configure.inventory import plan_inventory
from infra.configure.node_secrets import node_secrets
from infra.plan.model import Plan
from infra.secrets.model import Secrets

PURPOSE = "configure"
ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = "inventory.json"


@contextlib.contextmanager
def private_directory(
    plan: Plan,
    secrets: Mapping[str, Secrets],
    station_ssh_args: Mapping[str, Sequence[str]],
    for_all: Mapping[str, object],
) -> Iterator[pathlib.Path]:
    """Make the directory of one run, and remove it afterwards.

    ``secrets`` and ``station_ssh_args`` (further options to reach the management network) are by site; ``for_all`` are
    further variables of every node.
    """
    with memory.private_folder(PURPOSE) as directory:
        fill(directory, plan, secrets, station_ssh_args, for_all)
        yield directory


def fill(
    directory: pathlib.Path,
    plan: Plan,
    secrets: Mapping[str, Secrets],
    station_ssh_args: Mapping[str, Sequence[str]],
    for_all: Mapping[str, object],
) -> None:
    """Write keys, pinned host keys, the secrets of each node and the inventory that names them."""
    pinned = []
    for node in plan.nodes:
        address = plan.network.node_by_name[node.name].management.address.ip
        pinned.append(f"{address} {' '.join(secrets[node.site].hosts[node.name].public.split()[:2])}\n")
        own = json.dumps(node_secrets(plan, secrets[node.site], node.name))
        _write(directory / "secrets" / f"{node.name}.json", own)
    for site, of_site in secrets.items():
        _write(directory / f"id_{site}", of_site.station.private.strip() + "\n")
    _write(directory / "known_hosts", "".join(pinned))
    ssh_args = {node.name: _ssh_args(directory, station_ssh_args[node.site]) for node in plan.nodes}
    document = plan_inventory(plan).document(str(directory), ssh_args, for_all)
    _write(directory / INVENTORY, json.dumps(document, ensure_ascii=False))


def _ssh_args(directory: pathlib.Path, station_ssh_args: Sequence[str]) -> str:
    options = {
        "UserKnownHostsFile": str(directory / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlgorithms": "ssh-ed25519",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "60",
        # A new firewall knows nothing of the connection that brought it until our side speaks again.
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "12",
    }
    return shlex.join(
        [*(word for name, value in options.items() for word in ("-o", f"{name}={value}")), *station_ssh_args]
    )


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)

"""The directory that a run of Ansible needs and that must not outlive it: keys, pinned host keys, secrets of each node.

It lies in memory (tmpfs), belongs to one user and is removed when the run ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import select
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from infra.configure.inventory import plan_inventory
from infra.configure.node_secrets import node_secrets
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network.errors import EnvironmentLackError

PLACES = (pathlib.Path("/dev/shm"), pathlib.Path("/run"))  # noqa: S108 - tmpfs, and mkdtemp makes the directory 0700
ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = "inventory.json"


@contextlib.contextmanager
def private_directory(
    plan: Plan, secrets: Mapping[str, Secrets], station_ssh_args: Mapping[str, Sequence[str]]
) -> Iterator[pathlib.Path]:
    """Make the directory of one run, and remove it afterwards.

    ``secrets`` and ``station_ssh_args`` (further options to reach the management network) are by site.
    """
    directory = make()
    guard = clear_after(directory, os.getpid())
    try:
        fill(directory, plan, secrets, station_ssh_args)
        yield directory
    finally:
        _clear(directory)
        os.kill(guard, signal.SIGKILL)
        os.waitpid(guard, 0)


def clear_after(directory: pathlib.Path, pid: int) -> int:
    """Leave a process behind that clears ``directory`` when process ``pid`` ends, by whatever means; return its id."""
    watched = os.pidfd_open(pid)
    guard = os.fork()
    if guard:
        os.close(watched)
        return guard
    try:
        os.setsid()  # Ctrl-C at the terminal ends the watched program, not the one who cleans up after it
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # else whoever reads our output would wait for this process too
            os.dup2(nowhere, stream)
        select.select([watched], [], [])
        _clear(directory)
    finally:
        os._exit(0)


def _clear(directory: pathlib.Path) -> None:
    """End every process that still uses ``directory``, then remove it.

    Each of Ansible's workers leads a session of its own. When the run is cut short, they wait for an answer that never
    comes, and no signal to a process group reaches them; they are known by the directory in their environment.
    """
    mark = f"KUMIAI_INVENTORY={directory / INVENTORY}".encode()
    for environment in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


def make() -> pathlib.Path:
    """Return a new empty directory in memory that only this user may enter."""
    for place in PLACES:
        if place.is_dir() and os.access(place, os.W_OK):
            return pathlib.Path(tempfile.mkdtemp(prefix="kumiai-configure-", dir=place))
    raise EnvironmentLackError("neither /dev/shm nor /run can be written; secrets need a place in memory")


def fill(
    directory: pathlib.Path,
    plan: Plan,
    secrets: Mapping[str, Secrets],
    station_ssh_args: Mapping[str, Sequence[str]],
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
    document = plan_inventory(plan).document(str(directory), ssh_args)
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

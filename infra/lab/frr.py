"""The routing daemons of a router: FRR's zebra, bfdd and bgpd in the router's namespace."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from infra import process
from infra.lab import places, processes, routers
from infra.lab.processes import Process
from infra.lab.routers import Router
from network.errors import EnvironmentLackError, OperationError

ACCOUNT = "frr"
"""FRR's daemons give up root for it."""
PROGRAM_FOLDERS = ("/usr/lib/frr", "/usr/libexec/frr")
"""Where distributions put the daemons: on nobody's PATH."""
DAEMONS = ("zebra", "bfdd", "bgpd")
"""In the order of their start: the others talk to zebra."""
BFD_NICENESS = "-10"
"""Carriers detect failures in hardware. A busy machine must not make the lab's lines look cut, so BFD goes first."""
START_S = 30
ASK_S = 10


def program(name: str) -> str | None:
    """Return the path of one of FRR's programs; None when it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *PROGRAM_FOLDERS)))


def start(wanted: Sequence[Router], known: Sequence[Process]) -> tuple[tuple[Process, ...], tuple[str, ...]]:
    """Start what does not run, or runs with another configuration; return all daemons and the names of those started.

    ``known`` are the processes of earlier runs.
    """
    before = {one.name: one for one in known}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        pairs = [pair for one in pool.map(lambda router: _start(router, before), wanted) for pair in one]
    return tuple(one for one, _ in pairs), tuple(one.name for one, fresh in pairs if fresh)


def ask(namespace: str, command: str) -> Mapping[str, Any]:
    """Return the answer to a ``show … json`` command of vtysh; OperationError when bgpd does not answer."""
    folder = places.router_folder(namespace)
    done = process.probe("vtysh", "--vty_socket", str(folder), "-d", "bgpd", "-c", command, timeout_s=ASK_S)
    if not done.ok:
        raise OperationError(f"{namespace}: bgpd does not answer `{command}`; `kumiai lab up` repairs it")
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer


def is_router(name: str) -> bool:
    """Return whether a process is a routing daemon, by its name: ``pe.nishiki-main.mynumber/bgpd``."""
    return name.rpartition("/")[2] in DAEMONS


def _start(router: Router, before: Mapping[str, Process]) -> list[tuple[Process, bool]]:
    """Return the router's daemons, each with whether it was started now."""
    folder = places.router_folder(router.namespace)
    folder.mkdir(parents=True, exist_ok=True)
    places.ROUTERS.chmod(0o755)  # the daemons give up root before they enter their folders
    for path in (folder.parent, folder):
        shutil.chown(path, ACCOUNT, ACCOUNT)
        path.chmod(0o700)
    found = []
    for daemon in DAEMONS:
        name, file = f"{router.name}/{daemon}", folder / f"{daemon}.conf"
        text = routers.config(router) if daemon == "bgpd" else f"hostname {router.name}\n"
        old = before.get(name)
        same = file.exists() and file.read_text(encoding="utf-8") == text
        if same and old is not None and processes.is_inside(old.pid, router.namespace) and processes.alive(old):
            found.append((old, False))
            continue
        if old is not None:
            processes.end([old])  # it has another configuration, or lives on in a namespace that is gone
        processes.end_recorded(folder / f"{daemon}.pid", router.namespace)
        file.write_text(text, encoding="utf-8")  # after the end: an interrupted run must not look like a finished one
        shutil.chown(file, ACCOUNT, ACCOUNT)
        file.chmod(0o600)
        found.append((_started(router.namespace, folder, name, daemon), True))
    return found


def _started(namespace: str, folder: pathlib.Path, name: str, daemon: str) -> Process:
    """Start a daemon; it puts itself into the background when it is ready, so that nothing has to be waited for."""
    pid_file = folder / f"{daemon}.pid"
    path = program(daemon)
    if path is None:
        raise EnvironmentLackError(f"the lab needs FRR's {daemon}; run: apt-get install --no-install-recommends frr")
    first = ("nice", "-n", BFD_NICENESS) if daemon == "bfdd" else ()
    control = ("--bfdctl", str(folder / "bfdd.sock")) if daemon == "bfdd" else ()
    process.run(
        *("ip", "netns", "exec", namespace, *first, path, "--daemon", "--pid_file", str(pid_file)),
        *("--config_file", str(folder / f"{daemon}.conf"), "--socket", str(folder / "zebra.sock"), *control),
        *("--vty_socket", str(folder), "--vty_port", "0"),
        timeout_s=START_S,
    )
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        pid = 0
    started = processes.started(pid)
    if started is None:
        raise OperationError(f"{name} ended right after its start; see the journal and {folder}/{daemon}.conf")
    return Process(name=name, pid=pid, started=started)

"""Routers in network namespaces with the real daemons, each with folders of its own under /etc and /run.

`ip netns exec` gives a program a mount namespace; what is mounted there lets the rendered files be used as they are.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from infra.process import Completed, probe, run

T = TypeVar("T")
PROGRAMS = ("keepalived", "conntrackd", "conntrack", "vtysh", "nft")
FRR = pathlib.Path("/usr/lib/frr")
PATIENCE_S = 40.0
"""For a busy machine; what is measured is far below."""
ETC = ("frr", "keepalived", "conntrackd")
ENTER = """
mount --bind "$1/run" /run
for name in frr keepalived conntrackd; do mount --bind "$1/etc/$name" "/etc/$name"; done
shift
exec "$@"
"""
_OPTIONS = {"zebra": ["-A", "127.0.0.1", "-s", "90000000"]}


def missing() -> bool:
    """Say whether these tests cannot run here."""
    return os.geteuid() != 0 or not FRR.exists() or not all(shutil.which(program) for program in PROGRAMS)


def until(question: Callable[[], T | None], limit_s: float = PATIENCE_S, what: str = "") -> T:
    """Ask until there is an answer."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"no answer in {limit_s} s {what}")


class Router:
    """A namespace with folders and processes of its own; made by :func:`router`."""

    def __init__(self, namespace: str, folder: pathlib.Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for part in ("run/frr", "run/lock", *(f"etc/{name}" for name in ETC)):
            (folder / part).mkdir(parents=True)
        for part in ("run/frr", "etc/frr"):
            shutil.chown(folder / part, "frr", "frr")

    def install(self, files: Mapping[str, str]) -> None:
        """Write those of ``files`` that belong to the daemons."""
        for path, text in files.items():
            if path.startswith(tuple(f"/etc/{name}/" for name in ETC)):
                (self.folder / path.lstrip("/")).write_text(text)

    def argv(self, *argv: str) -> list[str]:
        enter = ["sh", "-euc", ENTER, "sh", str(self.folder)]
        return ["/usr/bin/env", "ip", "netns", "exec", self.namespace, *enter, *argv]

    def sh(self, *argv: str) -> str:
        return run(*self.argv(*argv))

    def try_sh(self, *argv: str) -> Completed:
        return probe(*self.argv(*argv))

    def vtysh(self, command: str) -> str:
        return self.sh("vtysh", "-c", command)

    def ip(self, command: str) -> str:
        return run("ip", "-n", self.namespace, *command.split())

    def start(self, name: str, *argv: str) -> None:
        """Start a program that stays in the foreground."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(self.argv(*argv), stdout=log, stderr=log, start_new_session=True)

    def start_frr(self, *daemons: str) -> None:
        """Start FRR's daemons and give them the configuration, as its own start script does."""
        for name in daemons:
            self.start(name, str(FRR / name), *_OPTIONS.get(name, ["-A", "127.0.0.1"]))
        until(lambda: all((self.folder / "run/frr" / f"{name}.vty").exists() for name in daemons))
        # Before bfdd is known to zebra, sessions that bgpd asks for could get lost.
        known = {name.removesuffix("d") for name in daemons} - {"zebra"}
        until(lambda: known <= set(self.try_sh("vtysh", "-c", "show zebra client summary").stdout.split()))
        until(lambda: self.try_sh("vtysh", "-b").ok)

    def start_keepalived(self) -> None:
        self.start("keepalived", "keepalived", "--dont-fork", "--log-console", "--vrrp")

    def start_conntrackd(self) -> None:
        self.start("conntrackd", "conntrackd", "-C", "/etc/conntrackd/conntrackd.conf")
        until(lambda: self.try_sh("conntrackd", "-s").ok)

    def end(self, name: str, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End a program and wait for it."""
        process = self.processes.pop(name)
        (self.folder / "run/frr" / f"{name}.vty").unlink(missing_ok=True)  # another one's would be taken for its own
        process.send_signal(with_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def close(self) -> None:
        for name in reversed(list(self.processes)):
            self.end(name)


@contextlib.contextmanager
def router(namespace: str, folder: pathlib.Path) -> Iterator[Router]:
    """Give the existing ``namespace`` folders in ``folder``; end its programs afterwards."""
    found = Router(namespace, folder)
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def namespace(name: str) -> Iterator[str]:
    """Make a namespace without IPv6, and remove it."""
    run("ip", "netns", "add", name)
    try:
        run("ip", "netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        probe("ip", "netns", "delete", name)

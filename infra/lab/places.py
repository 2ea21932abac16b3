"""Names of namespaces and folders: everything of one lab can be told from its stack."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Literal

from network.errors import InputError

RUN = pathlib.Path("/run/kumiai-lab")
"""Sockets and bookkeeping; gone after a reboot, like the namespaces."""
STORE = pathlib.Path("/var/lib/kumiai-lab")
"""Disks, definitions and logs of the simulated hosts: on a real disk, since images need gigabytes."""
ROUTERS = pathlib.Path("/run/kumiai-lab-routers")
"""What routing daemons keep; apart from `RUN`, since they give up root and could not enter it."""
NETNS = pathlib.Path("/run/netns")
"""Where iproute2 keeps named network namespaces."""

Kind = Literal["host", "edge", "underlay", "carrier", "pe", "office", "terminal", "vpn"]
SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket (sun_path of unix(7) without its closing zero)."""


def namespace(stack: str, kind: Kind, *parts: str) -> str:
    """Return the name of a namespace, such as ``kl.demo.office.nishiki.honcho``; no identifier contains a dot."""
    return ".".join(("kl", stack, kind, *parts))


def prefix(stack: str) -> str:
    """Return what all namespaces of the stack begin with, and nobody else's."""
    return f"kl.{stack}."


def parts(name: str) -> tuple[str, ...]:
    """Return kind and parts of a namespace's name: ``("office", "nishiki", "honcho")``."""
    return tuple(name.split(".")[2:])


def existing(stack: str) -> tuple[str, ...]:
    """Return the stack's namespaces on this machine, sorted."""
    return tuple(sorted(path.name for path in NETNS.glob(f"{prefix(stack)}*")))


def run_folder(stack: str) -> pathlib.Path:
    """Return the folder of the lab's sockets and state."""
    return RUN / stack


def routers_folder(stack: str) -> pathlib.Path:
    """Return the folder of the lab's routing daemons."""
    return ROUTERS / stack


def router_folder(namespace: str) -> pathlib.Path:
    """Return the folder of one router's sockets and configuration, short enough for the path of a socket."""
    return routers_folder(namespace.split(".")[1]) / interface("r", namespace)


def store_folder(stack: str) -> pathlib.Path:
    """Return the folder of the lab's disks."""
    return STORE / stack


def host_socket(stack: str, host: str) -> pathlib.Path:
    """Return the socket of the simulated host's libvirtd."""
    path = run_folder(stack) / host / "libvirt" / "libvirt-sock"
    if len(bytes(path)) > SOCKET_PATH_BYTES:
        raise InputError(
            f"{path}: longer than the {SOCKET_PATH_BYTES} bytes of a socket path; shorten the stack's name"
        )
    return path


def interface(kind: str, *parts: str) -> str:
    """Return a short interface name that is the same in every run: ``h`` and 10 hexadecimal digits, for example.

    Numbering would shift when a line is declared in between, and a shifted name would have to be made anew.
    """
    return kind + hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]

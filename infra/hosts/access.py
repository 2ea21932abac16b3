"""How a hypervisor is reached: its libvirtd, a command on it, and the management network behind it.

The three kinds of hosts differ here and nowhere else: a simulated one (``libvirt: lab``), this machine itself
(``qemu:///system``), and any other machine, reached by SSH at the host of its libvirt URI.
"""

from __future__ import annotations

import dataclasses
import shlex
import urllib.parse
from collections.abc import Collection
from typing import Literal

from infra import lab, process
from infra.plan.model import Host, Plan
from network.errors import EnvironmentLackError

SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10")
"""Never a question, never an unknown host key: the operator has put the hypervisor's key into known_hosts."""
SSH_FAILED = 255
"""Exit status of ssh when it did not get to run the command."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where SSH reaches a host."""

    host: str
    user: str = "root"
    port: int | None = None

    @property
    def jump(self) -> str:
        """As ``ProxyJump`` wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}" + (f":{self.port}" if self.port else "")


def remote(host: Host) -> Remote | None:
    """Return where SSH reaches ``host``; None for a simulated host and for this machine."""
    if host.libvirt == "lab":
        return None
    uri = urllib.parse.urlsplit(host.libvirt)
    if not uri.hostname:
        return None
    over_ssh = "+ssh" in uri.scheme or "+libssh" in uri.scheme  # the port of another transport is not SSH's
    return Remote(host=uri.hostname, user=(uri.username or "root"), port=uri.port if over_ssh else None)


def libvirt_uri(plan: Plan, host_id: str) -> str:
    """Return the URI under which libvirt reaches the host from this machine."""
    host = plan.host_by_id[host_id]
    if host.libvirt != "lab":
        return host.libvirt
    return f"qemu+unix:///system?socket={lab.host_socket(plan.stack, host_id)}"


def accelerator(plan: Plan, host_id: str) -> Literal["kvm", "tcg"]:
    """Return how guests run on the host: KVM on a real one, in the lab what this machine was found able to do."""
    return lab.accelerator(plan.stack) if plan.host_by_id[host_id].libvirt == "lab" else "kvm"


def prefix_of(plan: Plan, host_id: str) -> tuple[str, ...]:
    """Return what to put before a command that runs on the host."""
    host = plan.host_by_id[host_id]
    if host.libvirt == "lab":
        return lab.enter_host(plan.stack, host_id)
    there = remote(host)
    if there is None:
        return ()
    port = ("-p", str(there.port)) if there.port else ()
    return ("ssh", *SSH_OPTIONS, *port, f"{there.user}@{there.host}", "--")


def run_on(plan: Plan, host_id: str, *argv: str, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run ``argv`` on the host and return its stdout; raise CommandError unless it exits with 0.

    An unreachable host raises EnvironmentLackError, which names host and cause.
    """
    done = process.probe(*_complete(plan, host_id, argv), stdin=stdin, timeout_s=timeout_s)
    if done.ok:
        return done.stdout
    if remote(plan.host_by_id[host_id]) is not None and done.returncode == SSH_FAILED:
        raise EnvironmentLackError(f"host {host_id} ({plan.host_by_id[host_id].libvirt}): {done.stderr.strip()}")
    raise process.CommandError(done.argv, done.returncode, done.stderr)


def require_reachable(plan: Plan, hosts: Collection[str]) -> None:
    """Raise EnvironmentLackError that names every host which does not answer, and why; ask before the first change."""
    causes = []
    for host in hosts:
        try:
            run_on(plan, host, "true", timeout_s=20)
        except (EnvironmentLackError, process.CommandError) as e:
            causes.append(str(e) if isinstance(e, EnvironmentLackError) else f"host {host}: {e}")
    if causes:
        raise EnvironmentLackError("\n".join((*causes, "nothing was changed")))


def hub(plan: Plan, site: str, lost: Collection[str] = ()) -> str:
    """Return the host of ``site`` with the management station: the first one in the plan that is not lost."""
    for host in plan.hosts:
        if host.site == site and host.id not in lost:
            return host.id
    raise EnvironmentLackError(f"site {site}: no host is left, so there is no way into its management network")


def station_ssh_args(plan: Plan, site: str, lost: Collection[str] = ()) -> tuple[str, ...]:
    """Return the ssh options that lead from this machine into the management network of ``site``."""
    host = plan.host_by_id[hub(plan, site, lost)]
    if host.libvirt == "lab":
        enter = " ".join(lab.enter_network(plan.stack, host.id))
        return ("-o", f"ProxyCommand={enter} nc %h %p")
    there = remote(host)
    return ("-o", f"ProxyJump={there.jump}") if there is not None else ()


def _complete(plan: Plan, host_id: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    before = prefix_of(plan, host_id)
    if remote(plan.host_by_id[host_id]) is None:
        return (*before, *argv)
    # ssh joins its arguments with spaces and a shell on the other side takes them apart again.
    return (*before, shlex.join(argv))

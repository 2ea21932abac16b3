"""What every drill works with: the plan, a way to its machines and hosts, and where a client stands."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping

from infra.drills.watching import Post
from infra.operations.shell import Shell
from infra.operations.virsh import Hypervisor
from infra.operations.waiting import await_until
from infra.plan.model import Plan
from infra.resources import names
from infra.secrets.model import Secrets
from infra.status import look
from infra.status.model import Status
from network import gateways
from network.errors import InputError
from network.model import Line, NetworkNode, OfficeLan, ServiceEndpoint

LINGER_S = 5.0
"""How long a client goes on after everything serves again: what comes late is seen too."""
BOOT_S = 600.0
"""An emulated machine takes one to three minutes to its services."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A running stack."""

    plan: Plan
    shell: Shell
    hosts: Mapping[str, Hypervisor]
    secrets: Mapping[str, Secrets]
    """By site."""
    stack_file: pathlib.Path
    progress: Callable[[str], None]

    def authority(self, post: Post) -> str:
        """Return what the client at ``post`` trusts."""
        return self.secrets[post.endpoint.site].ca.certificate_pem

    def of_host(self, host: str) -> tuple[str, ...]:
        """Return the machines that run on ``host``, by its own word."""
        domains = {names.domain(self.plan.stack, node): node for node in self.plan.node_by_name}
        return tuple(domains[name] for name in sorted(self.hosts[host].running()) if name in domains)

    def await_whole(self, nodes: Collection[str], when: str) -> Status:
        """Wait until machines have all that is theirs, and databases of which all are named; else OperationError."""
        return look.await_whole(self.plan, self.shell, look.questions(self.plan, nodes), f"not whole {when},")

    def await_commands(self, node: str) -> None:
        """Wait until a machine runs commands; OperationError when it does not in `BOOT_S`."""
        await_until(f"{node} runs commands", lambda: self.shell.answers(node), BOOT_S)

    def boot_of(self, node: str) -> str:
        """Return what is another one after every start of the machine (random(4)); empty when it does not answer."""
        return self.shell.probe(node, "cat", "/proc/sys/kernel/random/boot_id").stdout

    def kill(self, node: str) -> None:
        """Take the power from a machine."""
        self._host(node).call("destroy", names.domain(self.plan.stack, node))

    def start(self, node: str) -> None:
        """Switch a machine on again, unless it runs."""
        host = self._host(node)
        if names.domain(self.plan.stack, node) not in host.running():
            host.start(names.domain(self.plan.stack, node))

    def _host(self, node: str) -> Hypervisor:
        return self.hosts[self.plan.node_by_name[node].host]


def posts(plan: Plan) -> Iterable[Post]:
    """Yield every place where a client may work: an office LAN with a business system for it."""
    for endpoint in plan.network.endpoints:
        for office in plan.network.offices:
            if office.zone == endpoint.zone and office.member in endpoint.participants:
                yield Post(office=office, endpoint=endpoint)


def line_post(plan: Plan, member: str | None) -> tuple[Line, Post]:
    """Return the first main line (of ``member``) that has a backup, and where its loss is seen; else InputError."""
    backed = {
        (line.member, line.site, zone) for line in plan.network.lines if line.role == "backup" for zone in line.zones
    }
    for line in plan.network.lines:
        if line.role != "main" or member not in (None, line.member):
            continue
        for post in posts(plan):
            if _carries(line, post.office, post.endpoint) and (line.member, line.site, post.office.zone) in backed:
                return line, post
    whose = f"member {member}" if member else plan.stack
    raise InputError(f"{whose}: no main line with a backup that an office reaches a business system by")


def pair_of(plan: Plan, name: str | None) -> tuple[tuple[NetworkNode, NetworkNode], Post]:
    """Return a pair of gateways, the one with ``name`` in it or the first, and a post whose traffic it passes on."""
    for first in plan.network.nodes:
        second = gateways.partner_of(plan.network, first) if first.role == "gateway" else None
        if second is None or name not in (None, first.name, second.name):
            continue
        segments = set(first.segments)
        for post in posts(plan):
            lines = [line for line in plan.network.lines if _carries(line, post.office, post.endpoint)]
            if post.endpoint.segment in segments and any(
                h.segment in segments for line in lines for h in line.handoffs
            ):
                return (first, second), post
    known = ", ".join(node.name for node in plan.network.nodes if node.role == "gateway")
    raise InputError(
        f"{name or plan.stack}: no pair of gateways that an office reaches a business system by; "
        f"gateways: {known or 'none'}"
    )


def _carries(line: Line, office: OfficeLan, endpoint: ServiceEndpoint) -> bool:
    return line.member == office.member and office.zone in line.zones and line.site == endpoint.site

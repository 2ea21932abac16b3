"""Commands on the stack's machines, as root, over SSH with pinned keys."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Collection, Iterator, Mapping

from infra import process
from infra.hosts import access
from infra.image import cloud_init
from infra.operations import contact
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network.errors import OperationError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A way to every machine of a stack, while `open_shell` holds it open."""

    plan: Plan
    options: Mapping[str, tuple[str, ...]]
    """Site → ssh options."""

    def argv(self, node: str, *command: str) -> tuple[str, ...]:
        """Return the arguments of a process here that runs ``command`` as root on ``node``."""
        site = self.plan.node_by_name[node].site
        address = self.plan.network.node_by_name[node].management.address.ip
        return ("ssh", *self.options[site], f"{cloud_init.ACCOUNT}@{address}", shlex.join(("sudo", "-n", *command)))

    def run(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Run ``command`` as root on ``node`` and return its stdout; OperationError that names node and host."""
        done = self.probe(node, *command, stdin=stdin, timeout_s=timeout_s)
        if not done.ok:
            cause = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            where = f"{node} on host {self.plan.node_by_name[node].host}"
            raise OperationError(f"{where}: {shlex.join(command[:3])}: {cause}")
        return done.stdout

    def probe(self, node: str, *command: str, stdin: str | None = None, timeout_s: float = 60) -> process.Completed:
        """Run ``command`` as root on ``node`` and return how it ended, whatever that is."""
        return process.probe(*self.argv(node, *command), stdin=stdin, timeout_s=timeout_s)

    def answers(self, node: str) -> bool:
        """Say whether ``node`` runs commands."""
        return self.probe(node, "true", timeout_s=2 * contact.CONNECT_S).ok


def python(program: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs the text ``program`` on a machine, with nothing but Python's own modules."""
    return ("python3", "-I", "-S", "-c", program, *arguments)


@contextlib.contextmanager
def open_shell(plan: Plan, secrets: Mapping[str, Secrets], lost: Collection[str] = ()) -> Iterator[Shell]:
    """Yield a way to the machines of all sites; ``secrets`` are by site, and their files end with the block.

    The way leads around the hosts that are ``lost``.
    """
    with contextlib.ExitStack() as stack:
        options = {
            site: (
                *stack.enter_context(
                    contact.ssh_files(plan, secrets[site], [node for node in plan.nodes if node.site == site])
                ),
                *access.station_ssh_args(plan, site, lost),
            )
            for site in plan.sites
        }
        yield Shell(plan=plan, options=options)

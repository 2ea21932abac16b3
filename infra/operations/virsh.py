"""Questions and small changes to a host's libvirtd, by ``virsh``. Names in, names out; no decision is made here."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from lxml import etree

from infra import process
from infra.hosts import access
from infra.plan.model import Plan
from infra.resources import names
from network import errors

Kind = Literal["domain", "network", "pool", "volume"]
TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 15.0
WIPE_TIMEOUT_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Thing:
    """An object of libvirt on a host."""

    host: str
    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} on host {self.host}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """The libvirtd of one host."""

    host: str
    uri: str
    stack: str
    hint: str = ""
    """What may help when it does not answer."""

    def call(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Run one virsh command; an error names the host and what libvirt said."""
        done = process.probe(
            "virsh", "--connect", self.uri, "--quiet", *arguments, timeout_s=timeout_s, env={"LC_ALL": "C"}
        )
        if done.ok:
            return done.stdout
        if done.returncode == process.NOT_FOUND:
            raise errors.EnvironmentLackError(
                "virsh is missing; run as root: apt-get install --no-install-recommends libvirt-clients"
            )
        cause = done.stderr.strip().removeprefix("error: ").replace("\nerror: ", ": ")
        if done.returncode == process.TIMED_OUT or "failed to connect" in cause:
            raise errors.EnvironmentLackError(f"host {self.host}: libvirtd does not answer: {cause}{self.hint}")
        raise errors.OperationError(f"host {self.host}: virsh {arguments[0]}: {cause}")

    def marked(self) -> frozenset[Thing]:
        """Return everything on the host that carries the stack's mark."""
        found = {
            *self._names("domain", self.call("list", "--all", "--name")),
            *self._names("network", self.call("net-list", "--all", "--name")),
            *self._names("pool", self.call("pool-list", "--all", "--name")),
        }
        pool = names.pool(self.stack)
        if Thing(self.host, "pool", pool) in found and self._open(pool):
            self.call("pool-refresh", pool)
            listed = self.call("vol-list", "--pool", pool)
            found |= set(
                self._names("volume", "\n".join(line.split()[0] for line in listed.splitlines() if line.strip()))
            )
        return frozenset(found)

    def _open(self, pool: str) -> bool:
        """Say whether a defined pool is active; a stopped one hides its volumes, so it is started where that works."""
        if pool in self.call("pool-list", "--name").split():
            return True
        self._try("pool-start", pool)
        return pool in self.call("pool-list", "--name").split()

    def _names(self, kind: Kind, text: str) -> Iterable[Thing]:
        return [Thing(self.host, kind, name) for name in text.split() if names.is_marked(self.stack, name)]

    def running(self) -> frozenset[str]:
        """Return the names of the stack's domains that run."""
        return frozenset(n for n in self.call("list", "--name").split() if names.is_marked(self.stack, n))

    def remove(self, thing: Thing) -> None:
        """Remove one marked object; what is gone already is fine."""
        if not names.is_marked(self.stack, thing.name):
            raise ValueError(f"{thing}: not ours")
        pool = names.pool(self.stack)
        match thing.kind:
            case "domain":
                self._try("destroy", thing.name)
                self._unless_gone("undefine", thing.name, "--nvram", "--managed-save", "--snapshots-metadata")
            case "volume":
                self._unless_gone("vol-delete", "--pool", pool, thing.name)
            case "network":
                self._try("net-destroy", thing.name)
                self._unless_gone("net-undefine", thing.name)
            case "pool":
                # The folder goes only when it is empty, so nothing unmarked is lost with it.
                self._try("pool-destroy", thing.name)
                self._try("pool-delete", thing.name)
                self._unless_gone("pool-undefine", thing.name)

    def _try(self, *arguments: str) -> None:
        with contextlib.suppress(errors.OperationError):
            self.call(*arguments)

    def _unless_gone(self, *arguments: str) -> None:
        try:
            self.call(*arguments)
        except errors.OperationError as e:
            if "not found" not in str(e) and "no domain" not in str(e):
                raise

    def domain_xml(self, domain: str) -> etree._Element:
        """Return what runs, or what is defined when nothing runs."""
        return etree.fromstring(self.call("dumpxml", domain))

    def free_bytes(self) -> int | None:
        """Return what is free in the stack's pool, or None before it exists; a pool that cannot start is an error."""
        pool = names.pool(self.stack)
        if pool not in self.call("pool-list", "--all", "--name").split():
            return None
        if not self._open(pool):
            self.call("pool-start", pool)  # for its words
        for line in self.call("pool-info", "--bytes", pool).splitlines():
            key, _, value = line.partition(":")
            if key == "Available":
                return int(value)
        raise errors.OperationError(f"host {self.host}: virsh pool-info says nothing about free space")

    def start(self, domain: str) -> None:
        """Start a defined domain."""
        self.call("start", domain)

    def shut_down(self, domain: str) -> None:
        """Ask the machine to shut down by its power button; whether it listens is another question."""
        self.call("shutdown", domain, "--mode", "acpi")

    def read_volume(self, volume: str, offset: int, length: int) -> bytes:
        """Return a piece of a volume."""
        with tempfile.TemporaryDirectory() as folder:
            piece = pathlib.Path(folder) / "piece"
            self.call(
                "vol-download", "--pool", names.pool(self.stack), volume, str(piece),
                "--offset", str(offset), "--length", str(length),
            )  # fmt: skip
            return piece.read_bytes()

    def wipe_volume(self, volume: str) -> None:
        """Overwrite a volume with zeros."""
        self.call("vol-wipe", "--pool", names.pool(self.stack), volume, timeout_s=WIPE_TIMEOUT_S)


def hypervisors(plan: Plan, site: str, without: Iterable[str] = ()) -> Mapping[str, Hypervisor]:
    """Return the hosts of ``site``, by name, in the order of the plan."""
    left_out = set(without)
    return {
        host.id: Hypervisor(
            host=host.id,
            uri=access.libvirt_uri(plan, host.id),
            stack=plan.stack,
            hint=f" (is the lab up? kumiai lab up {plan.stack})" if host.libvirt == "lab" else "",
        )
        for host in plan.hosts
        if host.site == site and host.id not in left_out
    }


def probe_all(hosts: Mapping[str, Hypervisor]) -> Mapping[str, frozenset[Thing]]:
    """Return what each host holds of the stack; when any does not answer, name every one of them."""
    found: dict[str, frozenset[Thing]] = {}
    silent: list[str] = []

    def ask(hypervisor: Hypervisor) -> frozenset[Thing] | errors.EnvironmentLackError:
        try:
            return hypervisor.marked()
        except errors.EnvironmentLackError as e:
            return e

    with ThreadPoolExecutor(max_workers=8) as pool:
        for name, answer in zip(hosts, pool.map(ask, hosts.values()), strict=True):
            if isinstance(answer, errors.EnvironmentLackError):
                silent.append(str(answer))
            else:
                found[name] = answer
    if silent:
        raise errors.EnvironmentLackError("\n".join([*silent, "nothing was touched"]))
    return found

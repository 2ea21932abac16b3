"""What of a lab is there."""

from __future__ import annotations

import dataclasses

from infra import process
from infra.lab import faults, frr, places, processes, traffic
from infra.lab import state as state_file
from infra.lab.faults import Cut
from infra.lab.traffic import Traffic


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """A simulated host."""

    id: str
    libvirtd: int | None
    """Process id; None when it does not run."""
    answers: bool
    domains: tuple[str, ...]
    """Running machines."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OfficeStatus:
    """An office with a terminal on the LAN of each of its zones."""

    member: str
    office: str
    zones: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """The lab of one stack."""

    stack: str
    up: bool
    """Whether every host's libvirtd answers and no routing daemon is dead; false when there is no host."""
    accelerator: str | None
    hosts: tuple[HostStatus, ...]
    carriers: tuple[str, ...]
    """Closed network, or closed network and member, of each provider edge."""
    offices: tuple[OfficeStatus, ...]
    dead_routers: tuple[str, ...]
    """Routing daemons that were started and do not run any more, such as ``pe.nishiki-main.mynumber/bgpd``."""
    lines: tuple[Traffic, ...]
    """What each hand-off has carried."""
    cuts: tuple[Cut, ...]
    """Where lines are cut."""


def status(stack: str) -> LabStatus:
    """Return what of the stack's lab is there, told from its namespaces and from libvirt."""
    known = state_file.load(stack)
    running = {p.name: p.pid for p in known.processes if processes.alive(p)} if known is not None else {}
    dead = tuple(p.name for p in known.processes if frr.is_router(p.name) and p.name not in running) if known else ()
    names = [places.parts(name) for name in places.existing(stack)]
    hosts = tuple(_host(stack, rest[0], running.get(f"{rest[0]}/libvirtd")) for kind, *rest in names if kind == "host")
    terminals = [rest for kind, *rest in names if kind == "terminal"]
    return LabStatus(
        stack=stack,
        up=bool(hosts) and all(host.answers for host in hosts) and not dead,
        accelerator=known.accelerator if known is not None else None,
        hosts=hosts,
        carriers=tuple(" ".join(rest) for kind, *rest in names if kind == "carrier"),
        offices=tuple(
            OfficeStatus(
                member=m, office=o, zones=tuple(z for member, office, z in terminals if (member, office) == (m, o))
            )
            for m, o in dict.fromkeys((member, office) for member, office, _ in terminals)
        ),
        dead_routers=dead,
        lines=traffic.traffic(stack),
        cuts=faults.cuts(stack),
    )


def _host(stack: str, host: str, pid: int | None) -> HostStatus:
    uri = f"qemu+unix:///system?socket={places.host_socket(stack, host)}"
    asked = process.probe("virsh", "--connect", uri, "list", "--name", timeout_s=20) if pid is not None else None
    answers = asked is not None and asked.ok
    domains = tuple(sorted(asked.stdout.split())) if asked is not None and asked.ok else ()
    return HostStatus(id=host, libvirtd=pid, answers=answers, domains=domains)

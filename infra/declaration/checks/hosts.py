"""Rules about sites, hosts, availability and the service level."""

from __future__ import annotations

from collections.abc import Iterator

from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration


def check_sites(declaration: Declaration) -> Iterator[Problem]:
    """Data centers and those who reach them are in Japan (R48, TZ-8)."""
    for index, site in enumerate(declaration.sites):
        if site.country != "JP":
            message = f"site {site.id} is in {site.country}; residents' data stays in Japan (R48)"
            yield Problem(("sites", index, "country"), message)


def check_sizes(declaration: Declaration) -> Iterator[Problem]:
    """Memory is whole MiB, and a slice fits into its host."""
    for at, memory_gib in _memories(declaration):
        if not (memory_gib * 1024).is_integer():
            below = int(memory_gib * 1024)
            yield Problem(at, f"{memory_gib} GiB is not a whole number of MiB; {below / 1024} is, for example")
    for index, host in enumerate(declaration.hosts):
        if host.slice is None:
            continue
        for key in ("vcpus", "memory_gib", "storage_gib"):
            part, whole = getattr(host.slice, key), getattr(host, key)
            if part > whole:
                yield Problem(("hosts", index, "slice", key), f"the slice has {part}, but host {host.id} only {whole}")


def _memories(declaration: Declaration) -> Iterator[tuple[Path, float]]:
    for index, host in enumerate(declaration.hosts):
        yield ("hosts", index, "memory_gib"), host.memory_gib
        if host.slice is not None:
            yield ("hosts", index, "slice", "memory_gib"), host.slice.memory_gib
    for index, service in enumerate(declaration.services):
        for role, spec in service.nodes.items():
            yield ("services", index, "nodes", role, "memory_gib"), spec.memory_gib
    yield ("availability", "gateway_size", "memory_gib"), declaration.availability.gateway_size.memory_gib


def check_identity(declaration: Declaration) -> Iterator[Problem]:
    """No machine is declared as two hosts, and a site names the chassis of all its hosts or of none."""
    uris: dict[str, str] = {}
    underlays: dict[object, str] = {}
    with_chassis = {host.site: host.id for host in declaration.hosts if host.chassis is not None}
    for index, host in enumerate(declaration.hosts):
        if host.libvirt != "lab" and host.libvirt in uris:
            yield Problem(("hosts", index, "libvirt"), f"{host.id} is the same machine as {uris[host.libvirt]}")
        uris.setdefault(host.libvirt, host.id)
        if host.underlay is not None and host.underlay in underlays:
            other = underlays[host.underlay]
            yield Problem(("hosts", index, "underlay"), f"{host.underlay} is the underlay address of {other} already")
        underlays.setdefault(host.underlay, host.id)
        if host.chassis is None and host.site in with_chassis:
            message = (
                f"host {host.id} names no chassis, but {with_chassis[host.site]} does; name it for all or for none"
            )
            yield Problem(("hosts", index), message)


def check_spares(declaration: Declaration) -> Iterator[Problem]:
    """There are more hosts than may be lost."""
    spares, count = declaration.availability.spare_hosts, len(declaration.hosts)
    if count == 0:
        yield Problem(("hosts",), "no host is declared; nothing could run")
    elif spares >= count:
        message = f"spare_hosts is {spares}, but only {count} {'host is' if count == 1 else 'hosts are'} declared"
        yield Problem(("availability", "spare_hosts"), message)


def check_timers(declaration: Declaration) -> Iterator[Problem]:
    """Timers of emulated machines are for the lab: on a real host they would only make every outage longer."""
    real = next((host.id for host in declaration.hosts if host.libvirt != "lab"), None)
    if declaration.availability.timers == "emulated" and real is not None:
        message = f"`timers: emulated` is for simulated hosts (`libvirt: lab`) only, and {real} is a real one"
        yield Problem(("availability", "timers"), message)


def check_zone_separation(declaration: Declaration) -> Iterator[Problem]:
    """Sharing hosts or gateways between the zones has a reason and somebody who approved it."""
    separation = declaration.availability.zone_separation
    for key, value in (("hosts", separation.hosts), ("gateways", separation.gateways)):
        if value != "shared":
            continue
        missing = [name for name in ("reason", "approved_by") if getattr(separation, name) is None]
        if missing:
            message = f"`{key}: shared` puts zones together; say why and who agreed: {' and '.join(missing)} missing"
            yield Problem(("availability", "zone_separation", key), message)


def check_sla(declaration: Declaration) -> Iterator[Problem]:
    """Service hours have a calendar, and it opens before it closes."""
    sla = declaration.sla
    if sla is None:
        return
    if sla.base == "service_hours" and sla.calendar is None:
        yield Problem(("sla", "base"), "`base: service_hours` needs a `calendar` that says which hours those are")
    if sla.calendar is not None and sla.calendar.to <= sla.calendar.from_:
        message = f"the calendar closes at {sla.calendar.to:%H:%M}, which is not after {sla.calendar.from_:%H:%M}"
        yield Problem(("sla", "calendar", "to"), message)

"""What the plan puts on each hypervisor: the facts that the renderer in `network.render.hypervisor` needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import AddressValueError, IPv4Address

from infra.hosts import access
from infra.lab import underlay
from infra.plan.model import Host, Plan
from network.errors import InputError
from network.render import hypervisor
from network.render.hypervisor import HostView, TunnelEnd

Uplinks = Mapping[str, Mapping[str, str]]
"""Host → line segment → interface."""


def plan_views(plan: Plan, uplinks: Uplinks, lost: Collection[str] = ()) -> Mapping[str, HostView]:
    """Return host → its planned network, for every host that is not lost."""
    unknown = sorted(set(lost) - plan.host_by_id.keys())
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such host; {plan.stack} has {', '.join(plan.host_by_id)}")
    ends = _ends(plan, uplinks, lost)
    hosts = [host for host in plan.hosts if host.id not in lost]
    hubs = {host.site: access.hub(plan, host.site, lost) for host in hosts}
    node_hosts = {node.name: node.host for node in plan.nodes if node.host not in lost}
    return {
        host.id: hypervisor.plan_host(plan.network, host.id, ends=ends, node_hosts=node_hosts, hubs=hubs)
        for host in hosts
    }


def _ends(plan: Plan, uplinks: Uplinks, lost: Collection[str]) -> tuple[TunnelEnd, ...]:
    simulated = tuple(end for end in underlay.tunnel_ends(plan) if end.id not in lost)
    real = tuple(
        TunnelEnd(id=host.id, site=host.site, underlay=_underlay(host), uplinks=uplinks.get(host.id, {}))
        for host in plan.hosts
        if host.libvirt != underlay.LAB and host.id not in lost
    )
    return simulated + real


def _underlay(host: Host) -> IPv4Address:
    there = access.remote(host)
    text = host.underlay or (there.host if there is not None else "")
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise InputError(
            f"host {host.id}: `underlay` must state the IPv4 address that carries the segments between hosts, since "
            f"{host.libvirt} does not name the host by address"
        ) from None

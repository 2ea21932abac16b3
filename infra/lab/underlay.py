"""The simulated machine room: a namespace per host and one access switch per site, joined by the underlay."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.lab import places
from infra.lab.drawing import Bridge, Cable, Drawing, Namespace, Port
from infra.plan.model import Plan
from network.render.hypervisor import UNDERLAY_MTU, TunnelEnd

PREFIX = IPv4Network("100.64.0.0/16")
"""Shared address space (RFC 6598); each lab has its own, behind a switch that leads nowhere else."""
INTERFACE = "underlay"
LAB = "lab"
"""What a host declares as ``libvirt`` to be simulated."""


def edge(site: str) -> str:
    """Return the identifier of a site's access switch; the dot keeps it apart from every declared host."""
    return f"edge.{site}"


def lab_hosts(plan: Plan) -> tuple[str, ...]:
    """Return the hosts that the stack declares with ``libvirt: lab``."""
    return tuple(host.id for host in plan.hosts if host.libvirt == LAB)


def lab_sites(plan: Plan) -> tuple[str, ...]:
    """Return the sites with simulated hosts."""
    return tuple(dict.fromkeys(host.site for host in plan.hosts if host.libvirt == LAB))


def addresses(plan: Plan) -> Mapping[str, IPv4Address]:
    """Return host or access switch → its address on the underlay."""
    machines = (*lab_hosts(plan), *(edge(site) for site in lab_sites(plan)))
    return {machine: PREFIX[number] for number, machine in enumerate(machines, start=1)}


def tunnel_ends(plan: Plan) -> tuple[TunnelEnd, ...]:
    """Return the simulated hosts and access switches as the ends of tunnels."""
    underlay = addresses(plan)
    hosts = tuple(
        TunnelEnd(id=host.id, site=host.site, underlay=underlay[host.id]) for host in plan.hosts if host.libvirt == LAB
    )
    return hosts + tuple(
        TunnelEnd(id=edge(site), site=site, underlay=underlay[edge(site)], kind="access_switch")
        for site in lab_sites(plan)
    )


def namespace_of(stack: str, machine: str) -> str:
    """Return the namespace of a host or of an access switch."""
    kind, _, site = machine.partition(".")
    return places.namespace(stack, "edge", site) if site else places.namespace(stack, "host", kind)


def draw(plan: Plan) -> Drawing:
    """Return the machine room of the stack."""
    switch = places.namespace(plan.stack, "underlay")
    machines = {machine: namespace_of(plan.stack, machine) for machine in addresses(plan)}
    return Drawing(
        namespaces=(Namespace(name=switch), *(Namespace(name=name) for name in machines.values())),
        bridges=(Bridge(namespace=switch, name=INTERFACE, mtu=UNDERLAY_MTU),),
        cables=tuple(
            Cable(
                ends=(
                    Port(
                        namespace=machines[machine],
                        name=INTERFACE,
                        addresses=(IPv4Interface((address, PREFIX.prefixlen)),),
                    ),
                    Port(namespace=switch, name=places.interface("u", machine), bridge=INTERFACE),
                ),
                about=f"underlay of {machine}",
                mtu=UNDERLAY_MTU,
            )
            for machine, address in addresses(plan).items()
        ),
    )

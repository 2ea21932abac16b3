"""/etc/hosts of a node: itself, its neighbours in its services and what its flows lead to; nothing of others."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from ipaddress import IPv4Address

from network import flows
from network.model import NetworkNode
from network.render.templating import lay_out

PATH = "/etc/hosts"


def files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return /etc/hosts: nodes by their address on the segment of the service, services by their virtual address."""
    nodes, vips = resolution.network.node_by_name, resolution.network.vip_by_name
    names: dict[IPv4Address, set[str]] = collections.defaultdict(set)
    mine = resolution.endpoints_of(node)
    own = node.interface(mine[0].segment) if mine else node.management
    names[own.address.ip].add(node.name)
    for endpoint in mine:
        for name in (*endpoint.application, *endpoint.database, *endpoint.load_balancer, *endpoint.witness):
            names[nodes[name].interface(endpoint.segment).address.ip].add(name)
    asked = {
        accept.target.network_address
        for interface in node.interfaces
        for accept in resolution.asked_by(interface.address.ip)
    }
    for endpoint in (*mine, *(e for address in sorted(asked) for e in resolution.reached_at(address))):
        names[vips[endpoint.vip].address.ip].add(endpoint.name)
    sorted_names = [(address, sorted(here)) for address, here in sorted(names.items())]
    return {PATH: lay_out("hosts.j2", node=node, names=sorted_names)}

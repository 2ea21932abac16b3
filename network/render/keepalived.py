"""keepalived: which of several nodes holds a virtual address (VRRP version 3, unicast, RFC 9568)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address

from network import timers
from network.flows import RenderError, Resolution
from network.model import NetworkNode
from network.render.templating import lay_out

PATH = "/etc/keepalived/keepalived.conf"
CHECK = "/etc/keepalived/check-haproxy"
CHECK_PORT = 8404
"""On the loopback: HAProxy answers there that it is alive."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One virtual address that this node may hold."""

    name: str
    card: str
    vrid: int
    priority: int
    own: IPv4Address
    peers: tuple[IPv4Address, ...]
    address: IPv4Address


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return keepalived's files; none for a node that shares no virtual address."""
    found = instances(resolution, node)
    if not found:
        return {}
    return {
        PATH: lay_out("keepalived.conf.j2", node=node, instances=found, advert_s=timers.VRRP_ADVERT_S, check=CHECK),
        CHECK: lay_out("check-haproxy.j2", port=CHECK_PORT),
    }


def instances(resolution: Resolution, node: NetworkNode) -> tuple[Instance, ...]:
    """Return the virtual addresses that ``node`` shares with others, by name."""
    nodes, found = resolution.network.node_by_name, []
    for vip in resolution.vips_of(node):
        if len(vip.nodes) == 1:
            continue
        if node.role == "gateway":
            # All addresses of a pair must move together; single instances could leave each gateway with some of them.
            raise RenderError(f"{vip.name}: {', '.join(vip.nodes)} share it, but only single gateways can be rendered")
        card = node.interface(vip.segment)
        others = [nodes[name].interface(vip.segment) for name in vip.nodes if name != node.name]
        found.append(
            Instance(
                name=vip.name.replace("/", "-"),
                card=card.name,
                vrid=vip.vrid,
                priority=timers.vrrp_priority(vip.nodes.index(node.name)),
                own=card.address.ip,
                peers=tuple(sorted(other.address.ip for other in others)),
                address=vip.address.ip,
            )
        )
    return tuple(found)


def peers(resolution: Resolution, node: NetworkNode) -> tuple[tuple[str, str], ...]:
    """Return card and address of everyone whose advertisements ``node`` takes in, sorted."""
    found = {(instance.card, peer) for instance in instances(resolution, node) for peer in instance.peers}
    return tuple((card, str(peer)) for card, peer in sorted(found))

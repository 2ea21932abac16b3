"""keepalived: which of several nodes holds a virtual address (VRRP version 3, unicast, RFC 9568).

The entries of a service have an instance for each address. A pair of gateways has a single one, on its sync segment,
that moves all of its addresses together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address

from network import gateways, timers
from network.flows import RenderError, Resolution
from network.model import NetworkNode
from network.render import conntrackd, frr, ipsec
from network.render.templating import lay_out

PATH = "/etc/keepalived/keepalived.conf"
CHECK = "/etc/keepalived/check-haproxy"
HEALTH = "/etc/keepalived/check-gateway"
OPINION = "/etc/keepalived/second-opinion"
UNIT = "/etc/systemd/system/keepalived.service.d/50-kumiai.conf"
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Where the partner's card answers ARP requests."""

    address: IPv4Address
    mac: str
    card: str
    """This gateway's own card on the segment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The one instance of a pair of gateways, as one of them sees it."""

    name: str
    card: str
    vrid: int
    priority: int
    own: IPv4Address
    partner: IPv4Address
    addresses: tuple[tuple[IPv4Address, str], ...]
    """Virtual address and card, sorted."""
    sync: Heard
    others: tuple[Heard, ...]
    """The partner on the segments of services and members."""
    opinion: bool
    """Whether this is the gateway that gives way when only the sync segment is cut."""


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return keepalived's files; none for a node that shares no virtual address."""
    if node.role == "gateway":
        return _gateway_files(resolution, node)
    found, profile = instances(resolution, node), resolution.network.timers
    if not found:
        return {}
    return {
        PATH: lay_out("keepalived.conf.j2", node=node, instances=found, timers=profile, check=CHECK),
        CHECK: lay_out("check-haproxy.j2", port=CHECK_PORT, answer_s=profile.check_timeout_s - 1),
    }


def _gateway_files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    found, profile = pair(resolution, node), resolution.network.timers
    if found is None:
        return {}
    files = {
        PATH: lay_out(
            "keepalived_gateway.conf.j2",
            node=node,
            pair=found,
            timers=profile,
            health=HEALTH,
            opinion=OPINION,
            notify=conntrackd.NOTIFY,
        ),
        HEALTH: lay_out(
            "check-gateway.j2",
            daemons=frr.daemons(resolution, node),
            announce=ipsec.ANNOUNCE if ipsec.tunnels(resolution.network, node) else None,
            told=ipsec.TOLD,
        ),
        UNIT: lay_out("keepalived.service.j2"),
    }
    if found.opinion:
        files[OPINION] = lay_out(
            "second-opinion.j2",
            sync=found.sync,
            others=list(found.others),
            looks=profile.opinion_looks,
            wait_s=profile.opinion_wait_s,
        )
    return files


def pair(resolution: Resolution, node: NetworkNode) -> Pair | None:
    """Return what the gateway ``node`` shares with its partner; None for one that stands alone.

    Raises RenderError for addresses that could not move together.
    """
    network = resolution.network
    shared = [vip for vip in resolution.vips_of(node) if len(vip.nodes) > 1]
    if not shared:
        return None
    partner, sync = gateways.partner_of(network, node), gateways.sync_of(network, node)
    for vip in shared:
        if partner is None or sync is None or set(vip.nodes) != {node.name, partner.name}:
            raise RenderError(f"{vip.name}: {', '.join(vip.nodes)} share it, but are no pair with a sync segment")
        if (vip.nodes, vip.vrid) != (shared[0].nodes, shared[0].vrid):
            raise RenderError(f"{vip.name}: has another order of gateways or router id than {shared[0].name}")
    assert partner is not None and sync is not None  # noqa: S101, PT018 - said by the loop
    rank = shared[0].nodes.index(node.name)
    return Pair(
        name=sync.removesuffix("-sync"),
        card=node.interface(sync).name,
        vrid=shared[0].vrid,
        priority=timers.vrrp_priority(rank),
        own=node.interface(sync).address.ip,
        partner=partner.interface(sync).address.ip,
        addresses=tuple(sorted((vip.address.ip, node.interface(vip.segment).name) for vip in shared)),
        sync=_heard(node, partner, sync),
        others=tuple(
            _heard(node, partner, name) for name in gateways.inner_segments(network, node) if name in partner.segments
        ),
        opinion=rank > 0,
    )


def _heard(node: NetworkNode, partner: NetworkNode, segment: str) -> Heard:
    there = partner.interface(segment)
    return Heard(address=there.address.ip, mac=there.mac, card=node.interface(segment).name)


def instances(resolution: Resolution, node: NetworkNode) -> tuple[Instance, ...]:
    """Return the virtual addresses that ``node`` shares with others, by name."""
    nodes, found = resolution.network.node_by_name, []
    for vip in resolution.vips_of(node):
        if len(vip.nodes) == 1:
            continue
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
    if node.role == "gateway":
        gateway = pair(resolution, node)
        return ((gateway.card, str(gateway.partner)),) if gateway else ()
    found = {(instance.card, peer) for instance in instances(resolution, node) for peer in instance.peers}
    return tuple((card, str(peer)) for card, peer in sorted(found))

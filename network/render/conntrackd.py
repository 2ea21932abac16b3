"""conntrackd: both gateways of a pair know the open connections, so that these live on after a change-over."""

from __future__ import annotations

from collections.abc import Mapping

from network import gateways
from network.flows import SYNC_PORT, Resolution
from network.model import NetworkNode
from network.render import ipsec
from network.render.templating import lay_out

CONFIG = "/etc/conntrackd/conntrackd.conf"
NOTIFY = "/etc/conntrackd/primary-backup"
UNIT = "/etc/systemd/system/conntrackd.service.d/50-kumiai.conf"
FORGET = "/usr/local/sbin/kumiai-forget"
"""Ends connections that the rules do not allow; comes with the role, absent while a machine becomes a gateway."""


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return conntrackd's files; none for a node without a partner."""
    network = resolution.network
    partner = gateways.partner_of(network, node) if node.role == "gateway" else None
    sync = gateways.sync_of(network, node)
    if partner is None or sync is None:
        return {}
    # Whatever has an end at a gateway is no connection of others: SSH, BGP, BFD, VRRP and conntrackd's own.
    own = {address.ip for gateway in (node, partner) for card in gateway.interfaces for address in card.addresses}
    own |= {vip.address.ip for vip in resolution.vips_of(node)}
    own |= {hand.session[0] for gateway in (node, partner) for hand, _ in gateways.tunnels(network, gateway)}
    tunnels = ipsec.tunnels(network, node)
    return {
        CONFIG: lay_out(
            "conntrackd.conf.j2",
            node=node,
            card=node.interface(sync),
            partner=partner.interface(sync),
            port=SYNC_PORT.first,
            ignored=sorted(own),
        ),
        NOTIFY: lay_out("primary-backup.j2", forget=FORGET, announce=ipsec.ANNOUNCE if tunnels else None),
        UNIT: lay_out("conntrackd.service.j2"),
    }

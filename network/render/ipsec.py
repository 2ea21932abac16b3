"""strongSwan: tunnels over lines that lead through networks of others (`routing: tunnel`, IPsec with IKEv2).

Each gateway of a pair has a tunnel of its own to the far end, always up, with a BGP and a BFD session inside; the one
that holds the pair's addresses announces (docs/decisions/0007). A tunnel is an XFRM interface: what is routed into it
is encrypted or dropped, and only what was decrypted comes out of it, so that rules name it like any card. Routes are
FRR's.

The keys stand in no rendered file: the role installs them beside these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface

from network import gateways
from network.flows import RenderError, Resolution
from network.model import NetworkNode, NetworkPlan
from network.render.templating import lay_out

CONNECTIONS = "/etc/swanctl/conf.d/kumiai.conf"
KEYS = "/etc/swanctl/conf.d/kumiai-keys.conf"
"""Installed by the role, closed to others."""
SETTINGS = "/etc/strongswan.d/kumiai.conf"
UNIT = "/etc/systemd/system/strongswan.service.d/50-kumiai.conf"
ANNOUNCE = "/etc/keepalived/announce"
TOLD = "/run/kumiai-announced"
"""Written when FRR was last told whether this gateway leads the pair."""
MTU = 1390
"""Bytes. What ESP in UDP with AES-GCM leaves (20 IP, 8 UDP, 8 ESP, 8 IV, 2 and padding, 16 check value) of the 1454 of
a PPPoE access over フレッツ, the smallest of the usual ones."""
TCP_HEADERS = 40
IKE = ("aes256gcm16-prfsha384-ecp384", "aes128gcm16-prfsha256-ecp256", "aes256-sha256-modp3072")
"""Best first. All of it is on CRYPTREC's list of ciphers recommended for e-government, of 128 bits of strength or more.
The second is what RFC 8247 says implementations SHOULD have, the first its stronger kin; the third is for routers with
what they MUST have, with 3072 bits in the place of 2048 (112 bits of strength)."""
ESP = ("aes256gcm16-ecp384", "aes128gcm16-ecp256", "aes256-sha256-modp3072")
"""The same for the traffic (RFC 8221); the group gives every new key its own exchange."""
IKE_REKEY = "4h"
ESP_REKEY = "1h"
DPD_S = 10
"""A silent far end is asked after this time. BFD has moved the traffic long before; this brings the tunnel back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TunnelView:
    """One gateway's tunnel over one hand-off."""

    connection: str
    """The hand-off's segment, which names it in strongSwan."""
    line: str
    name: str
    """Its interface."""
    number: int
    card: str
    """The card that the encrypted packets take."""
    own: IPv4Address
    peer: IPv4Address
    inside: IPv4Interface
    """The gateway's address inside the tunnel."""
    far: IPv4Address
    """The far end's address inside."""

    @property
    def mtu(self) -> int:
        """Bytes of the largest packet inside."""
        return MTU

    @property
    def segment_bytes(self) -> int:
        """Bytes of the largest TCP segment inside."""
        return MTU - TCP_HEADERS

    @property
    def ends(self) -> str:
        """Card, address of the far end and own address of the encrypted packets, as an element of a set."""
        return f'"{self.card}" . {self.peer} . {self.own}'


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return strongSwan's files; none for a node without tunnels."""
    network, found = resolution.network, tunnels(resolution.network, node)
    if not found:
        return {}
    files = {
        CONNECTIONS: lay_out(
            "swanctl.conf.j2",
            node=node,
            tunnels=found,
            ike=", ".join(IKE),
            esp=", ".join(ESP),
            ike_rekey=IKE_REKEY,
            esp_rekey=ESP_REKEY,
            dpd_s=DPD_S,
        ),
        SETTINGS: lay_out("strongswan.conf.j2"),
        UNIT: lay_out("strongswan.service.j2"),
    }
    shared = sorted(str(vip.address.ip) for vip in resolution.vips_of(node) if len(vip.nodes) > 1)
    if shared and gateways.partner_of(network, node) is not None:
        files[ANNOUNCE] = lay_out("announce.j2", address=shared[0], tunnels=found, told=TOLD)
    return files


def tunnels(network: NetworkPlan, node: NetworkNode) -> tuple[TunnelView, ...]:
    """Return the tunnels of ``node``, sorted; none for anything but a gateway.

    Raises RenderError when two of them have the same far end: its address leads out by one card only.
    """
    found = []
    lines: dict[IPv4Address, str] = {}
    for hand, tunnel in gateways.tunnels(network, node) if node.role == "gateway" else ():
        segment = hand.handoff.segment
        if tunnel.peer in lines:
            raise RenderError(
                f"{node.name}: {lines[tunnel.peer]} and {segment} have the same far end {tunnel.peer}, which one card "
                "leads to; give each tunnel a far end of its own, or one hand-off to all zones (separation: prefix)"
            )
        lines[tunnel.peer] = segment
        own, far = hand.session
        index = hand.handoff.local.index(hand.own)
        found.append(
            TunnelView(
                connection=segment,
                line=hand.line.name,
                name=tunnel.name,
                number=tunnel.number,
                card=hand.card.name,
                own=hand.own,
                peer=tunnel.peer,
                inside=IPv4Interface((own, tunnel.inner[index].prefixlen)),
                far=far,
            )
        )
    return tuple(sorted(found))

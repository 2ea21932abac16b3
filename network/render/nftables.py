"""Firewall rules: what a gateway passes on and what a node takes in; all else is dropped, counted and logged.

One table ``inet kumiai`` a node. The accepts stand in one set for each protocol: nftables 1.0.6 keeps the type of a
concatenation in 32 bits, six for each field, so a set of six fields (with the protocol among them) loads but lists as
nonsense, and nobody could read back what is in force. The sets hold intervals and their elements never overlap, which
the kernel demands.

What is sent: a gateway's own programs stand in all its segments at once and would go round the forward chain, so a
gateway opens only what the plan says of it. A node's sending is free: every receiver filters, and the gateway between.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from network import flows, gateways, ports
from network.model import NetworkNode
from network.render import conntrackd, frr, ipsec, keepalived, spans
from network.render.templating import lay_out

RULES = "/etc/nftables.conf"
UNIT = "/etc/systemd/system/nftables.service.d/50-kumiai.conf"
COMMENT_BYTES = 127
"""nftables refuses a longer comment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Element:
    """One element of a set; no two of a set overlap."""

    incoming: str
    """Name of the card; where the packet stays, ``outgoing`` is the same and not laid out."""
    source: IPv4Network
    outgoing: str
    target: IPv4Address
    ports: ports.PortRange
    comment: str

    @property
    def port_text(self) -> str:
        """``443`` or ``5000-5010``."""
        return str(self.ports).partition("/")[2]

    @property
    def source_text(self) -> str:
        """A single address without its length, as ``nft`` lists it."""
        return str(self.source.network_address if self.source.prefixlen == 32 else self.source)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """The elements by protocol, each sorted."""

    tcp: tuple[Element, ...]
    udp: tuple[Element, ...]
    icmp: tuple[Element, ...]


def files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return the rules of ``node`` and how its service starts and stops."""
    # Wherever it started, what ends here comes in by the card of the target address.
    arriving = (dataclasses.replace(a, source_segment=a.target_segment) for a in resolution.into(node))
    cards = gateways.cards(resolution.network, node)
    admitted = _sets(cards, arriving)
    if node.role == "gateway":
        passed = resolution.through(node)
        return {
            RULES: lay_out(
                "nftables_gateway.conf.j2",
                node=node,
                passed=_sets(cards, passed),
                partners=partners(cards, passed),
                admitted=admitted,
                sent=_sets(cards, (a for a in resolution.out_of(node) if not a.crosses)),
                vrrp_peers=keepalived.peers(resolution, node),
                bfd_peers=frr.bfd_peers(resolution.network, node),
                tunnels=ipsec.tunnels(resolution.network, node),
            ),
            UNIT: lay_out("nftables_gateway.service.j2", forget=conntrackd.FORGET),
        }
    peers = keepalived.peers(resolution, node)
    return {
        RULES: lay_out("nftables_node.conf.j2", node=node, admitted=admitted, vrrp_peers=peers),
        UNIT: lay_out("nftables_node.service.j2"),
    }


def partners(cards: Mapping[str, str], passed: Iterable[flows.Accept]) -> tuple[tuple[str, str], ...]:
    """Return card and prefix of everyone who may speak in an open connection, sorted; ``cards`` are by segment.

    Without them, a packet of a known connection would pass whichever card it came in by.
    """
    sides = {(cards[a.source_segment], a.source) for a in passed}
    sides |= {(cards[a.target_segment], IPv4Network(a.target)) for a in passed}
    by_card: dict[str, set[IPv4Network]] = collections.defaultdict(set)
    for card, prefix in sides:
        by_card[card].add(prefix)
    return tuple(
        (card, str(prefix.network_address if prefix.prefixlen == 32 else prefix))
        for card, prefixes in sorted(by_card.items())
        for prefix in sorted(prefixes)
        if not any(prefix != other and prefix.subnet_of(other) for other in prefixes)
    )


def _sets(cards: Mapping[str, str], accepts: Iterable[flows.Accept]) -> Sets:
    by_protocol: dict[str, list[Element]] = {"tcp": [], "udp": [], "icmp": []}
    for accept in spans.disjoint(accepts):
        by_protocol[accept.ports.protocol].append(
            Element(
                incoming=cards[accept.source_segment],
                source=accept.source,
                outgoing=cards[accept.target_segment],
                target=accept.target,
                ports=accept.ports,
                comment=_comment(accept.flow),
            )
        )
    return Sets(**{protocol: tuple(sorted(elements)) for protocol, elements in by_protocol.items()})


def _comment(text: str) -> str:
    """Return ``text`` short enough for nftables and without what would end a quoted string."""
    plain = text.replace('"', "'").replace("\n", " ").encode()
    if len(plain) > COMMENT_BYTES:
        plain = plain[: COMMENT_BYTES - 4] + b" ..."
    return plain.decode(errors="ignore")

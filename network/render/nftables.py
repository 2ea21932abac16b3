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
import datetime
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network

from network import flows, gateways, ports
from network.clock import JST
from network.model import NetworkNode, NetworkPlan, shown
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
    target: IPv4Network
    ports: ports.PortRange
    comment: str

    @property
    def port_text(self) -> str:
        """``443`` or ``5000-5010``."""
        return str(self.ports).partition("/")[2]

    @property
    def ends(self) -> tuple[str, str, str]:
        """Source, target and ports, whichever cards they come and go by."""
        return self.source_text, self.target_text, self.port_text

    @property
    def source_text(self) -> str:
        """The source as ``nft`` lists it."""
        return _text(self.source)

    @property
    def target_text(self) -> str:
        """The target as ``nft`` lists it."""
        return _text(self.target)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """The elements by protocol, each sorted."""

    tcp: tuple[Element, ...]
    udp: tuple[Element, ...]
    icmp: tuple[Element, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What is open until a moment."""

    until: int
    """Seconds since 1970 (UTC), as nft reads a number; it lists the moment in the machine's own time zone."""
    sets: Sets

    @property
    def moment(self) -> str:
        """The moment, for people."""
        return datetime.datetime.fromtimestamp(self.until, JST).isoformat(timespec="minutes")

    @property
    def protocols(self) -> tuple[tuple[str, tuple[Element, ...]], ...]:
        """The protocols that have elements."""
        every = (("tcp", self.sets.tcp), ("udp", self.sets.udp), ("icmp", self.sets.icmp))
        return tuple((protocol, elements) for protocol, elements in every if elements)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Partners:
    """Who may speak in an open connection, each sorted."""

    near: tuple[tuple[str, str], ...]
    """Card and prefix: no two members have the same."""
    far: tuple[str, ...]
    """Elements of a set: card and prefix of what lies outside, which the lines of all members lead to, and card and
    address of the other side."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """What is open to and from the public Internet, and whom the same lines lead to that is no part of it."""

    sets: Sets
    timed: tuple[Timed, ...]
    targets: tuple[tuple[str, str], ...]
    """Card and prefix, by which nothing leaves as if for the Internet; empty where nothing is opened to it."""
    sources: tuple[tuple[str, str], ...]
    """Card and prefix, by which nothing comes as if from the Internet; empty where nothing is opened from it."""

    @classmethod
    def of(cls, network: NetworkPlan, cards: Mapping[str, str], accepts: Sequence[flows.Accept]) -> Public:
        """Return what ``accepts`` open."""
        named = [_text(prefix) for prefix in flows.named(network)]
        outward = sorted({cards[a.target_segment] for a in accepts if a.source.prefixlen == 32})
        inward = sorted({cards[a.source_segment] for a in accepts if a.source.prefixlen < 32})
        return cls(
            sets=_sets(cards, accepts),
            timed=timed(cards, accepts),
            targets=tuple(itertools.product(outward, named)),
            sources=tuple(itertools.product(inward, named)),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What a gateway rewrites: card, prefix that the packet carries, prefix that it gets; each sorted."""

    targets: tuple[tuple[str, str, str], ...]
    """By the card it comes in by."""
    sources: tuple[tuple[str, str, str], ...]
    """By the card it comes in by."""
    services: tuple[tuple[str, str, str], ...]
    """Sources too, but by the card it goes out by: what a service opens looks as what it is reached at."""

    def __bool__(self) -> bool:
        return bool(self.targets or self.sources or self.services)


def _text(prefix: IPv4Network) -> str:
    """Return a single address without its length."""
    return str(prefix.network_address if prefix.prefixlen == 32 else prefix)


def files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return the rules of ``node`` and how its service starts and stops."""
    # Wherever it started, what ends here comes in by the card of the target address, translated where a gateway does.
    arriving = [
        dataclasses.replace(a, source_segment=a.target_segment, source=a.source_seen) for a in resolution.into(node)
    ]
    cards = gateways.cards(resolution.network, node)
    admitted = _sets(cards, arriving)
    if node.role == "gateway":
        passed = resolution.through(node)
        known = [a for a in passed if not a.public]
        public = [a for a in passed if a.public]
        return {
            RULES: lay_out(
                "nftables_gateway.conf.j2",
                node=node,
                passed=_sets(cards, known),
                timed=timed(cards, known),
                public=Public.of(resolution.network, cards, public) if public else None,
                partners=partners(cards, passed, {p for one in resolution.network.outsides for p in one.prefixes}),
                admitted=admitted,
                sent=_sets(cards, (a for a in resolution.out_of(node) if not a.crosses)),
                vrrp_peers=keepalived.peers(resolution, node),
                bfd_peers=frr.bfd_peers(resolution.network, node),
                translated=translated(resolution.network, node, passed),
                tunnels=ipsec.tunnels(resolution.network, node),
            ),
            UNIT: lay_out("nftables_gateway.service.j2", forget=conntrackd.FORGET),
        }
    peers = keepalived.peers(resolution, node)
    return {
        RULES: lay_out(
            "nftables_node.conf.j2", node=node, admitted=admitted, timed=timed(cards, arriving), vrrp_peers=peers
        ),
        UNIT: lay_out("nftables_node.service.j2"),
    }


def partners(cards: Mapping[str, str], passed: Iterable[flows.Accept], outside: Collection[IPv4Network]) -> Partners:
    """Return everyone who may speak in an open connection; ``cards`` are by segment.

    Without them, a packet of a known connection would pass whichever card it came in by.
    """
    near: dict[str, set[IPv4Network]] = collections.defaultdict(set)
    far: dict[tuple[str, str, str], set[IPv4Network]] = collections.defaultdict(set)
    for a in passed:
        sides = (cards[a.source_segment], a.source), (cards[a.target_segment], a.target)
        for (card, prefix), (other, end) in (sides, sides[::-1]):
            if prefix in outside:
                far[card, other, _text(end)].add(prefix)
            else:
                near[card].add(prefix)
    return Partners(
        near=tuple((card, _text(prefix)) for card, prefixes in sorted(near.items()) for prefix in _widest(prefixes)),
        far=tuple(
            f'"{card}" . {_text(prefix)} . "{other}" . {end}'
            for (card, other, end), prefixes in sorted(far.items())
            for prefix in _widest(prefixes)
        ),
    )


def _widest(prefixes: Collection[IPv4Network]) -> list[IPv4Network]:
    """Return those that no other one contains, sorted."""
    return [p for p in sorted(prefixes) if not any(p != other and p.subnet_of(other) for other in prefixes)]


def translated(network: NetworkPlan, gateway: NetworkNode, passed: Iterable[flows.Accept]) -> Translated:
    """Return what ``gateway`` rewrites. Rules between both rewritings, those of passing, see everybody's own addresses.

    A connection that is opened from an office and one that is opened to it are told apart by the card they come in by.
    """
    targets: dict[tuple[str, IPv4Network], IPv4Network] = {}
    sources: dict[tuple[str, IPv4Network], IPv4Network] = {}
    services: dict[tuple[str, IPv4Network], IPv4Network] = {}
    lans: dict[str, dict[IPv4Network, IPv4Network]] = {}
    cards = gateways.cards(network, gateway)
    for hand in gateways.attached(network, gateway):
        card = hand.way_in
        here = {lan: shown(hand.line.sources, lan) for lan in gateways.offices_behind(network, gateway, hand)}
        lans[hand.handoff.segment] = {own: seen for own, seen in here.items() if own != seen}
        sources |= {(card, own): seen for own, seen in lans[hand.handoff.segment].items()}
        for prefix in gateways.services_before(network, gateway, hand):
            outside = gateways.presented(hand.line, prefix)
            if outside != prefix:
                targets[card, outside] = prefix
                services[card, prefix] = outside
    for accept in passed:
        seen = lans.get(accept.target_segment, {}).get(accept.target)
        if seen is not None:
            targets[cards[accept.source_segment], seen] = accept.target
    return Translated(
        targets=tuple((card, str(old), str(new)) for (card, old), new in sorted(targets.items())),
        sources=tuple((card, str(old), str(new)) for (card, old), new in sorted(sources.items())),
        services=tuple((card, str(old), str(new)) for (card, old), new in sorted(services.items())),
    )


def timed(cards: Mapping[str, str], accepts: Iterable[flows.Accept]) -> tuple[Timed, ...]:
    """Return what is open until a moment, by moment; what is open for longer besides is no part of it.

    Each moment has sets of its own, so that rules for it stand beside those that every packet passes: their number
    grows with the links that are open, and with nothing else.
    """
    by_end: dict[int, list[flows.Accept]] = collections.defaultdict(list)
    for accept in accepts:
        by_end[accept.until].append(accept)
    longer = by_end.pop(0, [])
    found: list[Timed] = []
    for until, ending in sorted(by_end.items(), reverse=True):
        left = spans.beyond(spans.disjoint(ending), longer)
        if left:
            found.append(Timed(until=until, sets=_sets(cards, left, until)))
        longer = [*longer, *ending]
    return tuple(reversed(found))


def _sets(cards: Mapping[str, str], accepts: Iterable[flows.Accept], until: int = 0) -> Sets:
    by_protocol: dict[str, list[Element]] = {"tcp": [], "udp": [], "icmp": []}
    for accept in spans.disjoint(a for a in accepts if a.until == until):
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

"""FRR: routes to the offices by BGP and BFD, and what the carriers are told of the data center.

Both gateways of a pair hold a session of their own on every hand-off and announce the same prefixes with the line's
virtual address as next hop, so that the carrier's route stays where it is when the pair changes over. What comes in
and what goes out are lists of prefixes: nothing that was learned from one line ever goes out by another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from network import gateways, outside, timers
from network.flows import RenderError, Resolution
from network.model import NetworkNode, NetworkPlan
from network.render.templating import lay_out

FOLDER = "/etc/frr"
CONFIG = f"{FOLDER}/frr.conf"
UNIT = "/etc/systemd/system/frr.service.d/50-kumiai.conf"
LEADS = "leads"
"""Route map that all announcements by tunnels pass: it permits while this gateway holds the pair's addresses."""
PREFERENCE = {"main": 200, "backup": 100}
"""LOCAL_PREF of routes by the line's role: the higher one wins (RFC 4271, 9.1.1)."""
METRIC = {"main": 100, "backup": 200}
"""MED that the carrier sees: the lower one wins (RFC 4271, 9.1.2.2)."""
PREPENDED = {"main": 0, "backup": 3}
"""How often a backup line's announcements repeat our AS number, for carriers that do not compare the MED."""
FLOATING_DISTANCE = 200
"""Administrative distance of a backup line's static route: worse than BGP (20) and than a main line's (1)."""
PREFIXES_SPARE = 100
"""As many prefixes more than its own a carrier may send before the session is closed: a leak, not a new office."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A BGP session with a carrier's edge."""

    name: str
    """The hand-off's segment, which names its lists."""
    about: str
    peer: IPv4Address
    own: IPv4Address
    vip: IPv4Address | None
    """Next hop of what is announced. A tunnel has none: it ends at one gateway and announces while that one leads."""
    peer_as: int
    local_as: int
    keepalive_s: int
    hold_s: int
    bfd: bool
    has_password: bool
    preference: int
    metric: int
    prepended: int
    accepted: tuple[IPv4Network, ...]
    announced: tuple[IPv4Network, ...]

    @property
    def prefixes_max(self) -> int:
        """Prefixes after which the session is closed."""
        return len(self.accepted) + PREFIXES_SPARE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class StaticRoute:
    """A route to an office by a hand-off without BGP."""

    prefix: IPv4Network
    via: IPv4Address
    distance: int
    bfd: bool
    table: int = 0
    """Routing table; 0 is the main one."""


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return FRR's files; none for a node whose routes systemd-networkd knows all by itself."""
    running = daemons(resolution, node)
    if not running:
        return {}
    found = neighbors(resolution.network, node)
    return {
        CONFIG: lay_out(
            "frr.conf.j2",
            node=node,
            neighbors=found,
            statics=(*static_routes(resolution.network, node), *_outside_routes(resolution, node)),
            prefixes=sorted({prefix for neighbor in found for prefix in neighbor.announced}),
            blackholes=_only_presented(resolution.network, node),
            instance_as=_instance_as(node, found),
            router_id=node.management.address.ip,
            bfd="bfdd" in running,
            leads=gateways.partner_of(resolution.network, node) is None,
            timers=resolution.network.timers,
        ),
        f"{FOLDER}/daemons": lay_out("frr_daemons.j2", running=running),
        f"{FOLDER}/vtysh.conf": "service integrated-vtysh-config\n",
        UNIT: lay_out("frr.service.j2"),
    }


def daemons(resolution: Resolution, node: NetworkNode) -> tuple[str, ...]:
    """Return the daemons that have something to do on ``node``, zebra first; none when FRR is not needed."""
    if node.role != "gateway":
        return ()
    network = resolution.network
    sessions = neighbors(network, node)
    routes = (*static_routes(network, node), *_outside_routes(resolution, node))
    wanted = {
        "zebra": bool(sessions or routes),
        "staticd": bool(routes or _only_presented(network, node)),
        "bgpd": bool(sessions),
        "bfdd": any(n.bfd for n in sessions) or any(r.bfd for r in routes),
    }
    return tuple(name for name, runs in wanted.items() if runs)


def bfd_peers(network: NetworkPlan, node: NetworkNode) -> tuple[tuple[str, str], ...]:
    """Return card and address of every carrier's edge that ``node`` speaks BFD with, sorted."""
    if node.role != "gateway":
        return ()
    spoken = [hand for hand in gateways.attached(network, node) if hand.handoff.bfd]
    return tuple(sorted((hand.way_in, str(hand.session[1])) for hand in spoken))


def neighbors(network: NetworkPlan, gateway: NetworkNode) -> tuple[Neighbor, ...]:
    """Return the sessions of ``gateway``, in plan order."""
    return tuple(
        _neighbor(network, gateway, hand)
        for hand in gateways.attached(network, gateway)
        if hand.handoff.routing != "static"
    )


def static_routes(network: NetworkPlan, gateway: NetworkNode) -> tuple[StaticRoute, ...]:
    """Return what systemd-networkd cannot hold: routes that wait for a worse day, and those that BFD guards."""
    return tuple(
        sorted(
            StaticRoute(
                prefix=prefix,
                via=hand.handoff.peer,
                distance=1 if hand.line.role == "main" else FLOATING_DISTANCE,
                bfd=hand.handoff.bfd,
            )
            for hand in gateways.attached(network, gateway)
            if hand.handoff.routing == "static"
            if hand.handoff.bfd or hand.line.role == "backup"
            for prefix in gateways.offices_behind(network, gateway, hand)
        )
    )


def _neighbor(network: NetworkPlan, gateway: NetworkNode, hand: gateways.Attached) -> Neighbor:
    line, handoff = hand.line, hand.handoff
    if handoff.peer_as is None or handoff.local_as is None:
        raise RenderError(f"line {line.name}: a BGP session needs the AS numbers of both sides")
    if handoff.peer_as == handoff.local_as:
        raise RenderError(f"line {line.name}: carrier and gateways have the same AS number {handoff.peer_as}")
    hold_s = handoff.hold_s or timers.HOLD_S
    own, peer = hand.session
    return Neighbor(
        name=handoff.segment,
        about=f"{line.role} line {line.name}, {' '.join(hand.zones)}",
        peer=peer,
        own=own,
        vip=handoff.vip if handoff.tunnel is None else None,
        peer_as=handoff.peer_as,
        local_as=handoff.local_as,
        keepalive_s=hold_s // 3,
        hold_s=hold_s,
        bfd=handoff.bfd,
        has_password=handoff.md5 is not None,
        preference=PREFERENCE[line.role],
        metric=METRIC[line.role],
        prepended=PREPENDED[line.role],
        accepted=gateways.offices_behind(network, gateway, hand),
        announced=tuple(sorted(gateways.presented(line, p) for p in gateways.services_before(network, gateway, hand))),
    )


def _outside_routes(resolution: Resolution, gateway: NetworkNode) -> tuple[StaticRoute, ...]:
    """Return the routes to what lies outside, each in the table of the member whose line it is, sorted.

    No carrier is asked for them: over BGP the lines of all members would bring the same prefix. BFD belongs to the
    BGP session where there is one, and FRR would open a second one for a static route.
    """
    return tuple(
        sorted(
            {
                StaticRoute(
                    prefix=way.prefix,
                    via=hand.session[1],
                    distance=1 if hand.line.role == "main" else FLOATING_DISTANCE,
                    bfd=hand.handoff.bfd and hand.handoff.routing == "static",
                    table=way.table,
                )
                for way in outside.ways(resolution, gateway)
                for hand in way.hands
            }
        )
    )


def _only_presented(network: NetworkPlan, gateway: NetworkNode) -> tuple[IPv4Network, ...]:
    """Return what is announced to some carrier and is no network of ours, sorted: FRR announces what it has a route to.

    The rules have translated a packet before it is routed; what they do not translate goes nowhere.
    """
    connected = {prefix for segment in network.segments for prefix in segment.prefixes}
    return tuple(sorted({p for n in neighbors(network, gateway) for p in n.announced} - connected))


def _instance_as(gateway: NetworkNode, found: Iterable[Neighbor]) -> int | None:
    """Return the AS number of FRR's instance; sessions under another one say so themselves."""
    own, peers = {n.local_as for n in found}, {n.peer_as for n in found}
    if own & peers:
        raise RenderError(
            f"{gateway.name}: the AS number {min(own & peers)} is ours on one line and a carrier's on another; routes "
            "of that carrier would look like a loop"
        )
    return min(own, default=None)

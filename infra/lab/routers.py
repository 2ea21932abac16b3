"""What the routers of carriers and offices say to whom: the configuration of their routing daemons. Pure.

A provider edge takes what the gateways announce to the office routers of its member and zone, and these offices' own
LAN prefixes to both gateways; everything else is filtered on both sides, as a carrier does with its customers. An
office router prefers its main line by local preference, so that a backup carries nothing while the main is there.

The sessions with the gateways have the timers of the hand-off. Those between provider edge and office are the
carrier's own matter; they cross the core, so they are multihop sessions with BFD of their own (RFC 5883). What is
learned there gets the core's near end as next hop: FRR 8.4 sometimes keeps a path invalid for ever when its next hop
is a multihop neighbor whose session went down and came back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.lab import carriers, passwords
from infra.lab.carriers import AccessLink, Edge
from infra.plan.model import Plan
from infra.secrets import agreed
from network.model import OfficeLan

OFFICE_AS = 4200000000
"""The offices of member 1, 2, … have the AS numbers that follow: private ones of 32 bits (RFC 6996), which collide with
no declared number of 16 bits."""
CARRIER_AS = 64600
"""AS of a carrier whose hand-off is routed statically and therefore names none."""
CARRIER_HOLD_S = 9
CONNECT_S = 1
"""How often a lost session is tried again: a line that is back is used at once."""
PREFERENCE_MAIN = 200
PREFERENCE_BACKUP = 100
"""Local preferences; a second backup has 10 less than the first, and so on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A BGP session."""

    address: IPv4Address
    remote_as: int
    description: str
    source: IPv4Address | None = None
    """Own address of a multihop session; None: the neighbor is on a link of ours."""
    hold_s: int | None
    """None: what the daemon has by default."""
    bfd: bool
    password: str | None = None
    """Of a session that TCP-MD5 protects (RFC 2385)."""
    accept: str
    """Name of the prefix list of what is taken in."""
    announce: str
    """Name of the prefix list of what is told."""
    via: IPv4Address | None = None
    """Next hop of everything that is taken in, when it is not the neighbor itself."""
    preference: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A router with its routing daemons."""

    namespace: str
    asn: int
    identifier: IPv4Address
    networks: tuple[IPv4Network, ...]
    """What it announces by itself."""
    prefix_lists: tuple[tuple[str, tuple[str, ...]], ...]
    """Name → entries, such as ``permit 10.1.0.0/24``; what no entry names is denied."""
    neighbors: tuple[Neighbor, ...]

    @property
    def name(self) -> str:
        """The namespace without lab and stack: ``pe.nishiki-main.mynumber``."""
        return self.namespace.split(".", 2)[2]


def routers(plan: Plan) -> tuple[Router, ...]:
    """Return all routers of the plan's simulated sites that route by BGP: provider edges, then offices."""
    links = carriers.access_links(plan)
    return (
        *(_edge(plan, edge, [link for link in links if link.edge == edge]) for edge in carriers.edges(plan)),
        *(_office(plan, lan, [link for link in links if link.lan == lan]) for lan in plan.network.offices),
    )


def config(router: Router) -> str:
    """Return bgpd's configuration."""
    lines = [
        f"hostname {router.name}",
        "log syslog warnings",
        f"router bgp {router.asn}",
        f" bgp router-id {router.identifier}",
        " no bgp network import-check",
        *(line for neighbor in router.neighbors for line in _session(neighbor)),
        " address-family ipv4 unicast",
        *(f"  network {prefix}" for prefix in router.networks),
        *(line for neighbor in router.neighbors for line in _policy(neighbor)),
        " exit-address-family",
        "exit",
    ]
    for name, entries in router.prefix_lists:
        lines += [f"ip prefix-list {name} seq {5 * n} {entry}" for n, entry in enumerate(entries, start=1)]
    for neighbor in router.neighbors:
        lines += [f"route-map from-{neighbor.address} permit 10"]
        if neighbor.via is not None:
            lines.append(f" set ip next-hop {neighbor.via}")
        if neighbor.preference is not None:
            lines.append(f" set local-preference {neighbor.preference}")
        lines.append("exit")
    return "\n".join(lines) + "\n"


def office_as(plan: Plan, member: str) -> int:
    """Return the AS number of a member's offices."""
    return OFFICE_AS + 1 + list(plan.members).index(member)


def _session(neighbor: Neighbor) -> list[str]:
    at = f" neighbor {neighbor.address}"
    lines = [
        f"{at} remote-as {neighbor.remote_as}",
        f"{at} description {neighbor.description}",
        f"{at} timers connect {CONNECT_S}",
        f"{at} advertisement-interval 0",
        # Policy is by prefix lists; FRR would refuse to announce anything without a route map (RFC 8212).
        " no bgp ebgp-requires-policy",
    ]
    if neighbor.hold_s is not None:
        lines.append(f"{at} timers {max(1, neighbor.hold_s // 3)} {neighbor.hold_s}")
    if neighbor.source is not None:
        lines += [f"{at} ebgp-multihop 2", f"{at} update-source {neighbor.source}"]
    if neighbor.password is not None:
        lines.append(f"{at} password {neighbor.password}")
    if neighbor.bfd:
        lines.append(f"{at} bfd")  # 3 × 300 ms, or what the other side asks for when that is slower (RFC 5880, 6.8.7)
    return lines


def _policy(neighbor: Neighbor) -> list[str]:
    at = f"  neighbor {neighbor.address}"
    return [
        f"{at} prefix-list {neighbor.accept} in",
        f"{at} route-map from-{neighbor.address} in",
        f"{at} prefix-list {neighbor.announce} out",
    ]


def _edge(plan: Plan, edge: Edge, links: Sequence[AccessLink]) -> Router:
    handoff = edge.handoff
    offices = tuple(sorted({prefix for link in links for prefix in link.lan.prefixes}))
    asn = handoff.peer_as or CARRIER_AS
    gateways = [
        Neighbor(
            address=address,
            remote_as=handoff.local_as,
            description=f"gateway {number}",
            hold_s=handoff.hold_s,
            bfd=handoff.bfd,
            password=None if handoff.md5 is None else passwords.of(agreed.bgp_password(handoff.md5)),
            accept="data-center",
            announce="offices",
        )
        for number, address in enumerate([far.gateway_inner for far in edge.far_ends] or handoff.local, start=1)
        if handoff.routing != "static" and handoff.local_as is not None
    ]
    customers = [
        Neighbor(
            address=link.office.addresses[0].ip,
            remote_as=office_as(plan, link.lan.member),
            description=f"office {link.lan.office} {link.lan.zone}",
            source=edge.inside.addresses[0].ip,
            hold_s=CARRIER_HOLD_S,
            bfd=True,
            accept=f"office-{number}",
            announce="data-center",
            via=edge.core.addresses[0].ip,
        )
        for number, link in enumerate(links, start=1)
    ]
    return Router(
        namespace=edge.outside.namespace,
        asn=asn,
        identifier=handoff.peer,
        networks=carriers.data_center_prefixes(plan, edge) if handoff.routing == "static" else (),
        prefix_lists=(
            ("offices", tuple(f"permit {prefix}" for prefix in offices)),
            ("data-center", (*(f"deny {prefix} le 32" for prefix in offices), "permit 0.0.0.0/0 le 32")),
            *(
                (f"office-{number}", tuple(f"permit {prefix}" for prefix in link.lan.prefixes))
                for number, link in enumerate(links, start=1)
            ),
        ),
        neighbors=(*gateways, *customers),
    )


def _office(plan: Plan, lan: OfficeLan, links: Sequence[AccessLink]) -> Router:
    backups = [link.line.name for link in links if link.line.role == "backup"]
    return Router(
        namespace=carriers.office_router(plan.stack, lan),
        asn=office_as(plan, lan.member),
        identifier=links[0].office.addresses[0].ip if links else lan.prefixes[0][0],
        networks=lan.prefixes,
        prefix_lists=(
            ("own", tuple(f"permit {prefix}" for prefix in lan.prefixes)),
            ("others", (*(f"deny {prefix} le 32" for prefix in lan.prefixes), "permit 0.0.0.0/0 le 32")),
        ),
        neighbors=tuple(
            Neighbor(
                address=link.edge.inside.addresses[0].ip,
                remote_as=link.edge.handoff.peer_as or CARRIER_AS,
                description=f"{link.line.role} {link.line.name}",
                source=link.office.addresses[0].ip,
                hold_s=CARRIER_HOLD_S,
                bfd=True,
                accept="others",
                announce="own",
                via=link.core.addresses[0].ip,
                preference=PREFERENCE_MAIN
                if link.line.role == "main"
                else PREFERENCE_BACKUP - 10 * backups.index(link.line.name),
            )
            for link in links
        ),
    )

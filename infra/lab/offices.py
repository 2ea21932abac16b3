"""The offices: a router for the LAN of every zone, and a terminal on every LAN.

Zones stay apart in an office as on the line: each zone has a router of its own (the lab's kernel has no VRF, so a VRF
is a namespace), plugged into the access links of its zone only. It speaks BGP with the provider edges of its lines,
announces its LAN there and nothing else, and takes the backup only when the main line is gone; see `routers`.

What it has learned no route for leaves by the member's first main line all the same (routing table ``default``, which
the kernel asks last), so that the gateways see it and their rules decide; a zone without a main line reaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.lab import carriers, places
from infra.lab.carriers import AccessLink
from infra.lab.drawing import DEFAULT, EVERYWHERE, Bridge, Cable, Drawing, Namespace, Port, Way
from infra.plan.model import Plan
from network.errors import InputError
from network.model import OfficeLan

TERMINAL = "eth0"


def draw(plan: Plan) -> Drawing:
    """Return the routers of every office with their LANs and terminals."""
    links = carriers.access_links(plan)
    terminals = [_terminal(plan.stack, lan) for lan in plan.network.offices]
    return Drawing(
        namespaces=(
            *(_router(plan.stack, lan, [link for link in links if link.lan == lan]) for lan in plan.network.offices),
            *(namespace for namespace, _ in terminals),
        ),
        bridges=tuple(_lan(plan.stack, lan) for lan in plan.network.offices),
        cables=tuple(cable for _, cable in terminals),
    )


def lan_interface(zone: str) -> str:
    """Return the router's interface on the LAN of ``zone``."""
    return f"lan-{zone}"


def router_address(prefix: IPv4Network) -> IPv4Interface:
    """Return the router's address on a LAN: the first one."""
    return IPv4Interface((_host(prefix, 1), prefix.prefixlen))


def terminal_address(prefix: IPv4Network) -> IPv4Interface:
    """Return the terminal's address on a LAN: the tenth, or the first free one on a LAN with fewer."""
    return IPv4Interface((_host(prefix, 10 if prefix.num_addresses > 11 else 2), prefix.prefixlen))


def _host(prefix: IPv4Network, number: int) -> IPv4Address:
    """Return the ``number``-th usable address, counted from one; a /31 has two (RFC 3021)."""
    if prefix.prefixlen == 32:
        raise InputError(f"office LAN {prefix}: one address leaves no room for a router and a terminal")
    return prefix[number - 1] if prefix.prefixlen == 31 else prefix[number]


def _lan(stack: str, lan: OfficeLan) -> Bridge:
    addresses = tuple(router_address(prefix) for prefix in lan.prefixes)
    return Bridge(namespace=carriers.office_router(stack, lan), name=lan_interface(lan.zone), addresses=addresses)


def _terminal(stack: str, lan: OfficeLan) -> tuple[Namespace, Cable]:
    name = places.namespace(stack, "terminal", lan.member, lan.office, lan.zone)
    way = Way(prefix=EVERYWHERE, via=router_address(lan.prefixes[0]).ip)
    terminal = Port(namespace=name, name=TERMINAL, addresses=tuple(terminal_address(p) for p in lan.prefixes))
    router = carriers.office_router(stack, lan)
    socket = Port(namespace=router, name=places.interface("t", lan.zone), bridge=lan_interface(lan.zone))
    cable = Cable(ends=(terminal, socket), about=f"terminal {lan.member}/{lan.office}/{lan.zone}")
    return Namespace(name=name, ways=(way,)), cable


def _router(stack: str, lan: OfficeLan, links: Sequence[AccessLink]) -> Namespace:
    main = [link for link in links if link.line.role == "main"][:1]
    return Namespace(
        name=carriers.office_router(stack, lan),
        forwards=tuple((lan_interface(lan.zone), link.office.name) for link in links),
        ways=(
            *(Way(prefix=EVERYWHERE, via=link.core.addresses[0].ip, table=DEFAULT) for link in main),
            *(
                Way(prefix=IPv4Network((link.edge.inside.addresses[0].ip, 32)), via=link.core.addresses[0].ip)
                for link in links
            ),
        ),
    )

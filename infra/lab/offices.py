"""The offices: a router with a LAN per zone, and a terminal on every LAN.

Zones stay apart in an office as on the line: a LAN's packets leave by the access link of its zone, wherever they go to,
and nothing is forwarded between two LANs. The member's first main line carries them; main lines to other sites carry
what is addressed to that site. Backup lines are plugged in and forward, but no route leads to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from infra.lab import carriers, places
from infra.lab.carriers import AccessLink
from infra.lab.drawing import EVERYWHERE, Bridge, Cable, Drawing, Namespace, Port, Selection, Way
from infra.plan.model import Plan
from network.errors import InputError
from network.model import NetworkPlan, OfficeLan

FIRST_TABLE = 100
TERMINAL = "eth0"


def draw(plan: Plan) -> Drawing:
    """Return every office with its LANs and terminals."""
    links = carriers.access_links(plan)
    offices: dict[str, list[OfficeLan]] = {}
    for lan in plan.network.offices:
        offices.setdefault(places.namespace(plan.stack, "office", lan.member, lan.office), []).append(lan)
    terminals = [_terminal(plan.stack, lan) for lan in plan.network.offices]
    return Drawing(
        namespaces=(
            *(_router(plan.network, name, lans, links) for name, lans in offices.items()),
            *(namespace for namespace, _ in terminals),
        ),
        bridges=tuple(_lan(name, lan) for name, lans in offices.items() for lan in lans),
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


def _lan(namespace: str, lan: OfficeLan) -> Bridge:
    addresses = tuple(router_address(prefix) for prefix in lan.prefixes)
    return Bridge(namespace=namespace, name=lan_interface(lan.zone), addresses=addresses)


def _terminal(stack: str, lan: OfficeLan) -> tuple[Namespace, Cable]:
    name = places.namespace(stack, "terminal", lan.member, lan.office, lan.zone)
    way = Way(prefix=EVERYWHERE, via=router_address(lan.prefixes[0]).ip)
    terminal = Port(namespace=name, name=TERMINAL, addresses=tuple(terminal_address(p) for p in lan.prefixes))
    router = places.namespace(stack, "office", lan.member, lan.office)
    socket = Port(namespace=router, name=places.interface("t", lan.zone), bridge=lan_interface(lan.zone))
    cable = Cable(ends=(terminal, socket), about=f"terminal {lan.member}/{lan.office}/{lan.zone}")
    return Namespace(name=name, ways=(way,)), cable


def _router(network: NetworkPlan, name: str, lans: Sequence[OfficeLan], links: Sequence[AccessLink]) -> Namespace:
    forwards: list[tuple[str, str]] = []
    ways: list[Way] = []
    selections: list[Selection] = []
    for table, lan in enumerate(lans, start=FIRST_TABLE):
        here = [link for link in links if link.lan is lan]
        forwards += [(lan_interface(lan.zone), link.office.name) for link in here]
        selections.append(Selection(interface=lan_interface(lan.zone), table=table))
        ways += _ways(network, lan, [link for link in here if link.line.role == "main"], table)
    return Namespace(name=name, forwards=tuple(forwards), ways=tuple(ways), selections=tuple(selections))


def _ways(network: NetworkPlan, lan: OfficeLan, main: Sequence[AccessLink], table: int) -> list[Way]:
    """Return the routes of one LAN; without a main line for its zone it reaches nothing."""
    if not main:
        return [Way(prefix=EVERYWHERE, via=None, table=table)]
    others = [
        Way(prefix=prefix, via=link.carrier.addresses[0].ip, table=table)
        for link in main[1:]
        for segment in network.segments
        if segment.site == link.line.site and segment.site != main[0].line.site and lan.member in segment.members
        for prefix in segment.prefixes
        if segment.kind in ("tenant", "service")
    ]
    return [Way(prefix=EVERYWHERE, via=main[0].carrier.addresses[0].ip, table=table), *others]

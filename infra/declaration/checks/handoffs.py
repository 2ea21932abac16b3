"""Rules about the carrier's hand-off values of a line."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration, Handoff, Line
from infra.declaration.scalars import Address

_SMALLEST = 29
"""Two gateways, their virtual IP and the provider's edge need four host addresses."""


def check_keys(declaration: Declaration) -> Iterator[Problem]:
    """A hand-off per zone of the line, or one for ``all`` with a reason."""
    for index, line in enumerate(declaration.lines):
        at: Path = ("lines", index)
        if line.separation == "prefix" and line.separation_reason is None:
            message = "`separation: prefix` is weaker than a hand-off per zone; give `separation_reason`"
            yield Problem((*at, "separation"), message)
        if line.handoff is None:
            continue
        wanted: tuple[str, ...] = ("all",) if line.separation == "prefix" else line.zones
        rule = f"with `separation: {line.separation}`, {line.id} has one hand-off for {' and '.join(wanted)}"
        for extra in (key for key in line.handoff if key not in wanted):
            yield Problem((*at, "handoff", extra), f"hand-off {extra} does not belong here; {rule}", at_key=True)
        for missing in (key for key in wanted if key not in line.handoff):
            yield Problem((*at, "handoff"), f"the hand-off for {missing} is missing; {rule}", at_key=True)


def check_presence(declaration: Declaration) -> Iterator[Problem]:
    """Only a line into a site of simulated hosts may leave its hand-off out."""
    real = {host.site: host.id for host in declaration.hosts if host.libvirt != "lab"}
    for index, line in enumerate(declaration.lines):
        if line.handoff is None and line.site in real:
            message = (
                f"{line.id} needs `handoff` with the carrier's values: {real[line.site]} in {line.site} is a real "
            )
            yield Problem(("lines", index), f"{message}host, and such values are never made up outside the lab")


def check_values(declaration: Declaration) -> Iterator[Problem]:
    """The addresses of a hand-off are four different hosts of its prefix."""
    for at, _, handoff in _handoffs(declaration):
        prefix = handoff.prefix
        if not isinstance(prefix, ipaddress.IPv4Network):
            continue  # said by the check of address families
        if prefix.prefixlen > _SMALLEST:
            message = f"{prefix} is too small; a hand-off needs at least a /{_SMALLEST} "
            yield Problem((*at, "prefix"), f"{message}(two gateways, their virtual IP and the provider's edge)")
            continue
        seen: dict[Address, str] = {}
        for path, name, address in _addresses(at, handoff):
            if address not in prefix:
                yield Problem(path, f"{name} {address} lies outside {prefix}")
            elif address in (prefix.network_address, prefix.broadcast_address):
                kind = "network" if address == prefix.network_address else "broadcast"
                yield Problem(path, f"{name} {address} is the {kind} address of {prefix}; no host can have it")
            if address in seen:
                yield Problem(path, f"{name} {address} is the address of {seen[address]} already")
            seen.setdefault(address, name)


def check_routing(declaration: Declaration) -> Iterator[Problem]:
    """BGP, inside a tunnel too, has its AS numbers; static routing has none; an Internet VPN is a tunnel."""
    kinds = {network.id: network.kind for network in declaration.closed_networks}
    for at, line, handoff in _handoffs(declaration):
        if handoff.routing in {"bgp", "tunnel"}:
            for key in ("peer_as", "local_as"):
                if getattr(handoff, key) is None:
                    yield Problem((*at, key), f"`routing: {handoff.routing}` needs `{key}`")
        if handoff.peer_as is not None and handoff.peer_as == handoff.local_as:
            message = f"the gateways and the carrier both have AS {handoff.local_as}; between them it is external BGP"
            yield Problem((*at, "local_as"), message)
        if handoff.routing == "static":
            for key in ("peer_as", "local_as", "hold_s", "md5"):
                if getattr(handoff, key) is not None:
                    yield Problem((*at, key), f"`{key}` has no effect with `routing: static`; remove it", at_key=True)
        if handoff.routing != "tunnel" and kinds.get(line.closed_network) == "internet_vpn":
            message = f"{line.closed_network} is an internet_vpn; a line on it needs `routing: tunnel` (IPsec)"
            yield Problem((*at, "routing"), message)
        if handoff.routing != "tunnel" and handoff.tunnel_peer is not None:
            message = f"`tunnel_peer` has no effect with `routing: {handoff.routing}`; remove it"
            yield Problem((*at, "tunnel_peer"), message, at_key=True)


def check_far_ends(declaration: Declaration) -> Iterator[Problem]:
    """Each tunnel into a site has a far end of its own: an address leads out by one card of a gateway only."""
    seen: dict[tuple[str, Address], str] = {}
    for at, line, handoff in _handoffs(declaration):
        if handoff.routing != "tunnel":
            continue
        far, key = (handoff.tunnel_peer, "tunnel_peer") if handoff.tunnel_peer else (handoff.peer, "peer")
        if (line.site, far) in seen:
            message = (
                f"{far} is the far end of a tunnel of {seen[line.site, far]} already, and leads out by one card only"
            )
            yield Problem(
                (*at, key), f"{message}; a line has one hand-off for all its zones then (`separation: prefix`)"
            )
        seen.setdefault((line.site, far), line.id)


def _handoffs(declaration: Declaration) -> Iterator[tuple[Path, Line, Handoff]]:
    for index, line in enumerate(declaration.lines):
        for key, handoff in (line.handoff or {}).items():
            yield ("lines", index, "handoff", key), line, handoff


def _addresses(at: Path, handoff: Handoff) -> Iterator[tuple[Path, str, Address]]:
    yield (*at, "peer"), "peer", handoff.peer
    for number, address in enumerate(handoff.local):
        yield (*at, "local", number), f"local[{number}]", address
    yield (*at, "vip"), "vip", handoff.vip

"""HAProxy on the entry nodes of a service: TLS in, the least surprising HTTP to the application nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from network import flows, ports, service_ports, timers
from network.model import NetworkNode, NetworkPlan, ServiceEndpoint
from network.render import spans
from network.render.keepalived import CHECK_PORT
from network.render.templating import lay_out

PATH = "/etc/haproxy/haproxy.cfg"
TLS_FOLDER = "/etc/kumiai/tls"
"""One file a service: its certificate and key, PEM."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One application node behind the entry."""

    name: str
    address: IPv4Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One service that the node takes requests in for."""

    name: str
    address: IPv4Address
    tls_ports: tuple[int, ...]
    plain: tuple[str, ...]
    """TCP ports that pass as they are, ``8000`` or ``5000-5010``."""
    certificate: str
    application_port: int
    servers: tuple[Server, ...]


def files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return HAProxy's configuration; none for a node that is no entry."""
    entries = [entry(resolution, e) for e in resolution.endpoints_of(node) if node.name in e.entry]
    if not entries:
        return {}
    profile = resolution.network.timers
    text = lay_out(
        "haproxy.cfg.j2",
        node=node,
        entries=entries,
        check_port=CHECK_PORT,
        timers=profile,
        silence_ms=int(timers.backend_silence_s(profile) * 1000),
    )
    return {PATH: text}


def entry(resolution: flows.Resolution, endpoint: ServiceEndpoint) -> Entry:
    """Return what an entry node of ``endpoint`` has to know."""
    network = resolution.network
    vip = network.vip_by_name[endpoint.vip]
    asked = {*endpoint.listen, *(a.ports for a in resolution.to(vip.segment, vip.address.ip))}
    tcp = [span for span in asked if span.protocol == "tcp"]  # what else comes in is the application's own business
    tls = sorted(port for port in service_ports.TLS_PORTS if any(s.first <= port <= s.last for s in tcp))
    return Entry(
        name=endpoint.name,
        address=vip.address.ip,
        tls_ports=tuple(tls),
        plain=tuple(str(span).partition("/")[2] for span in _without(tcp, tls)),
        certificate=f"{TLS_FOLDER}/{endpoint.name}.pem",
        application_port=resolution.application_ports[endpoint.name],
        servers=_servers(network, endpoint),
    )


def _servers(network: NetworkPlan, endpoint: ServiceEndpoint) -> tuple[Server, ...]:
    return tuple(
        Server(name=name, address=network.node_by_name[name].interface(endpoint.segment).address.ip)
        for name in endpoint.application
    )


def _without(asked: Iterable[ports.PortRange], taken: Iterable[int]) -> list[ports.PortRange]:
    holes = [ports.PortRange("tcp", port, port) for port in taken]
    return spans.minus(spans.merged(asked), holes)

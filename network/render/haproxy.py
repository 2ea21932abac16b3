"""HAProxy: on the entry nodes of a service, TLS in and the least surprising HTTP to the application nodes; on the nodes
that use a replicated database, the local port that leads to whichever server is the primary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from network import flows, ports, service_ports, timers
from network.model import Cluster, NetworkNode, NetworkPlan, ServiceEndpoint
from network.render import spans
from network.render.keepalived import CHECK_PORT
from network.render.templating import lay_out

PATH = "/etc/haproxy/haproxy.cfg"
TLS_FOLDER = "/etc/kumiai/tls"
"""One file a service: its certificate and key, PEM."""
LOCAL = IPv4Address("127.0.0.1")
"""Where an application finds its replicated database, at PostgreSQL's port."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One node that connections are sent to."""

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The replicated database whose primary the node follows."""

    name: str
    authority: str
    """File with the certificate that the servers' ones are signed by."""
    servers: tuple[Server, ...]


def files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return HAProxy's configuration; none for a node that is no entry and uses no replicated database."""
    entries = [entry(resolution, e) for e in resolution.endpoints_of(node) if node.name in e.entry]
    database = followed(resolution.network, node)
    if not entries and database is None:
        return {}
    profile = resolution.network.timers
    text = lay_out(
        "haproxy.cfg.j2",
        node=node,
        entries=entries,
        check_port=CHECK_PORT,
        timers=profile,
        silence_ms=int(timers.backend_silence_s(profile) * 1000),
        database=database,
        local=LOCAL,
        postgresql_port=flows.POSTGRESQL.first,
        patroni_port=flows.PATRONI.first,
    )
    return {PATH: text}


def followed(network: NetworkPlan, node: NetworkNode) -> Followed | None:
    """Return the replicated database that the applications on ``node`` use."""
    cluster = network.cluster_by_node.get(node.name)
    if cluster is None or node.name not in cluster.applications:
        return None
    return Followed(
        name=cluster.server_name,
        authority=authority_path(cluster),
        servers=_servers(network, cluster.segment, cluster.databases),
    )


def authority_path(cluster: Cluster) -> str:
    """Return where a node that uses the database keeps the certificate of its authority; everybody may read it."""
    return f"{TLS_FOLDER}/{cluster.server_name}.authority.pem"


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
        servers=_servers(network, endpoint.segment, endpoint.application),
    )


def _servers(network: NetworkPlan, segment: str, nodes: Iterable[str]) -> tuple[Server, ...]:
    return tuple(Server(name=name, address=network.node_by_name[name].interface(segment).address.ip) for name in nodes)


def _without(asked: Iterable[ports.PortRange], taken: Iterable[int]) -> list[ports.PortRange]:
    holes = [ports.PortRange("tcp", port, port) for port in taken]
    return spans.minus(spans.merged(asked), holes)

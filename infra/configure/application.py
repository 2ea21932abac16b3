"""What the business application of an endpoint is told on one node; passwords travel apart."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from infra.configure import database
from infra.plan.model import Plan
from network import endpoints, flows, service_ports
from network.model import Flow, NetworkPlan, ServiceEndpoint
from network.render import haproxy

DIRECTORY = "/etc/kumiai/application"


def config_path(endpoint: ServiceEndpoint) -> str:
    """Return where the endpoint's configuration lies on its application nodes."""
    return f"{DIRECTORY}/{endpoint.name}.json"


def password_path(endpoint: ServiceEndpoint) -> str:
    """Return where the endpoint's passwords lie: JSON, member id → password."""
    return f"{DIRECTORY}/{endpoint.name}.passwords.json"


def unit(endpoint: ServiceEndpoint) -> str:
    """Return the systemd unit of the application of ``endpoint``."""
    return f"kumiai-application@{endpoint.name}.service"


def served_by(network: NetworkPlan, node: str) -> tuple[ServiceEndpoint, ...]:
    """Return the endpoints whose application runs on ``node``."""
    return tuple(endpoint for endpoint in network.endpoints if node in endpoint.application)


def render_node(plan: Plan, node: str) -> dict[str, str]:
    """Return the configuration of every application on ``node``."""
    return {config_path(endpoint): _config(plan, endpoint, node) for endpoint in served_by(plan.network, node)}


def source_prefixes(network: NetworkPlan, endpoint: ServiceEndpoint, member: str) -> tuple[IPv4Network, ...]:
    """Return where requests for ``member`` come from: its offices, and other services in its name.

    They are the sources of the flows that end here. A service of several members tells which one it acts for only by
    going to that member's own address; on a shared address it is nobody, and is refused.
    """
    found = {
        prefix
        for flow in network.flows
        if flow.kind not in flows.FROM_ENDPOINTS
        for owner, prefix in _sources(network, flow, endpoint)
        if owner == member
    }
    return tuple(sorted(found))


def _sources(network: NetworkPlan, flow: Flow, endpoint: ServiceEndpoint) -> list[tuple[str | None, IPv4Network]]:
    """Return the sources of ``flow`` as far as it ends at ``endpoint``, each with the member whose data is meant."""
    target, source = endpoints.parse(flow.target), endpoints.parse(flow.source)
    if not isinstance(target, endpoints.ServiceEnd) or target.service != endpoint.service:
        return []
    if target.member is not None and target.member not in endpoint.participants:
        return []
    # A flow that names the target's member works on that member's data, whoever it comes from (mutual support).
    data_of = target.member or endpoint.member
    if isinstance(source, endpoints.OfficeEnd):
        if target.member is None and endpoint.member not in (None, source.member):
            return []
        lans = [lan for lan in network.offices if (lan.member, lan.zone) == (source.member, source.zone)]
        return [(target.member or source.member, prefix) for lan in lans for prefix in lan.seen]
    found: list[tuple[str | None, IPv4Network]] = []
    if isinstance(source, endpoints.ServiceEnd):
        for caller in network.endpoints:
            if caller.service != source.service or source.member not in (None, *caller.participants):
                continue
            if target.member is None and None not in (caller.member, data_of) and caller.member != data_of:
                continue
            owner = data_of or source.member or caller.member
            found += [(owner, IPv4Network(database.address_of(network, n, caller))) for n in caller.application]
    return found


def _config(plan: Plan, endpoint: ServiceEndpoint, node: str) -> str:
    network = plan.network
    servers = {str(database.address_of(network, name, endpoint)): name for name in flows.database_nodes(endpoint)}
    vip = network.vip_by_name[endpoint.vip].address.ip
    proxies = {database.address_of(network, name, endpoint) for name in endpoint.entry} | {vip}
    document = {
        "service": endpoint.service,
        "title": plan.services[endpoint.service],
        "endpoint": endpoint.name,
        "node": node,
        "address": str(database.address_of(network, node, endpoint)),
        "port": service_ports.application_port(network, endpoint),
        "proxies": [str(address) for address in sorted(proxies)],
        "database_nodes": servers,
        "members": [
            {
                "id": member,
                "name": plan.members[member],
                "prefixes": [str(prefix) for prefix in source_prefixes(network, endpoint, member)],
                "database": {
                    **_server(network, endpoint, node),
                    "port": flows.POSTGRESQL.first,
                    "name": database.name_of(endpoint, member),
                    "user": database.name_of(endpoint, member),
                },
            }
            for member in endpoint.participants
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _server(network: NetworkPlan, endpoint: ServiceEndpoint, node: str) -> dict[str, str]:
    """Return where the database is: its one server, or HAProxy on this node, which follows the primary."""
    cluster = network.cluster_by_node.get(node)
    if cluster is None:
        return {"host": str(database.address_of(network, flows.database_nodes(endpoint)[0], endpoint))}
    # The name is what the server's certificate must show; nobody looks it up.
    return {
        "host": cluster.server_name,
        "hostaddr": str(haproxy.LOCAL),
        "sslmode": "verify-full",
        "sslrootcert": haproxy.authority_path(cluster),
    }

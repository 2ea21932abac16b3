"""Ports of the processes behind a service's virtual address."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from network.model import NetworkPlan, ServiceEndpoint

FIRST_APPLICATION_PORT = 8080
TLS_PORTS = frozenset({443, 8443})
"""Ports on which an entry node speaks TLS and HTTP; it passes every other TCP port on as it is."""


def application_ports(network: NetworkPlan) -> Mapping[str, int]:
    """Return the port of every endpoint's business application: 8080, counted up among those that share a node."""
    used: dict[str, int] = collections.defaultdict(int)
    found: dict[str, int] = {}
    for endpoint in network.endpoints:
        ordinal = max((used[node] for node in endpoint.application), default=0)
        found[endpoint.name] = FIRST_APPLICATION_PORT + ordinal
        for node in endpoint.application:
            used[node] = ordinal + 1
    return found


def application_port(network: NetworkPlan, endpoint: ServiceEndpoint) -> int:
    """Return the port of one endpoint's business application."""
    return application_ports(network)[endpoint.name]

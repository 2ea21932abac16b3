"""Which services a configured machine runs, by the names of their units."""

from __future__ import annotations

from collections.abc import Mapping

from infra.configure import application, cluster, database
from infra.plan.model import Plan
from network.render import render_all

OF_FILES = {
    "/etc/nftables.conf": "nftables.service",
    "/etc/conntrackd/conntrackd.conf": "conntrackd.service",
    "/etc/frr/frr.conf": "frr.service",
    "/etc/haproxy/haproxy.cfg": "haproxy.service",
    "/etc/keepalived/keepalived.conf": "keepalived.service",
}
"""A rendered file and the service that reads it."""


def services(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """Return the units of each node, those that reach the network first."""
    rendered = render_all(plan.network)
    return {
        node.name: (
            *(unit for path, unit in OF_FILES.items() if path in rendered[node.name]),
            *(("kumiai-etcd.service",) if cluster.votes(plan.network, node.name) else ()),
            *(("kumiai-database.service",) if database.kept_by(plan.network, node.name) else ()),
            *(application.unit(endpoint) for endpoint in application.served_by(plan.network, node.name)),
        )
        for node in plan.nodes
    }

"""Plan to text: every configuration file of a node. Pure; the same plan gives the same bytes.

A renderer is a view (typed, sorted, complete) and a template that lays it out without deciding anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from network import flows
from network.model import NetworkNode, NetworkPlan
from network.render import conntrackd, frr, haproxy, hosts_file, ipsec, keepalived, networkd, nftables, sysctl

__all__ = ["render_all", "render_node"]


def render_node(network: NetworkPlan, node: str) -> Mapping[str, str]:
    """Return the files of ``node``: absolute path in the machine → text, sorted by path. They hold no secrets."""
    return _files(flows.resolve(network), network.node_by_name[node])


def render_all(network: NetworkPlan) -> Mapping[str, Mapping[str, str]]:
    """Return the files of every node, as :func:`render_node` does; the flows are resolved once."""
    resolution = flows.resolve(network)
    return {node.name: _files(resolution, node) for node in network.nodes}


def _files(resolution: flows.Resolution, node: NetworkNode) -> Mapping[str, str]:
    files = {
        **nftables.files(resolution, node),
        **networkd.files(resolution, node),
        **sysctl.files(resolution, node),
        **keepalived.files(resolution, node),
        **conntrackd.files(resolution, node),
        **frr.files(resolution, node),
        **ipsec.files(resolution, node),
        **haproxy.files(resolution, node),
        **hosts_file.files(resolution, node),
    }
    return dict(sorted(files.items()))

"""Kernel settings of a node's network."""

from __future__ import annotations

from collections.abc import Mapping

from network.flows import Resolution
from network.model import NetworkNode
from network.render.templating import lay_out

PATH = "/etc/sysctl.d/50-kumiai.conf"


def files(resolution: Resolution, node: NetworkNode) -> Mapping[str, str]:
    """Return the settings of ``node``.

    A gateway's file leaves ``ip_forward`` alone (0 in a fresh kernel): loading its rules switches it on.
    """
    return {
        PATH: lay_out(
            "sysctl.conf.j2",
            node=node,
            forwards=node.role == "gateway",
            # On a gateway the way back may lead over the other line; its rules match card and source themselves.
            rp_filter=2 if node.role == "gateway" else 1,
            binds_ahead=any(node.name in endpoint.entry for endpoint in resolution.endpoints_of(node)),
        )
    }

"""The files of a node that are made from the whole plan; those of its network come from :mod:`network.render`."""

from __future__ import annotations

from collections.abc import Mapping

from infra.configure import application, cluster, database
from infra.plan.model import Plan


def render_node(plan: Plan, node: str) -> Mapping[str, str]:
    """Return the application's and the database's configuration on ``node``: absolute path → text, without secrets."""
    return {
        **application.render_node(plan, node),
        **database.render_node(plan, node),
        **cluster.render_node(plan, node),
    }

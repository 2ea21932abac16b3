"""Computed recovery: seconds until a layer serves again, from the configured timers alone.

The timers stand in :mod:`network.timers`, which the renderers use too, so that what is computed is what runs.
"""

from __future__ import annotations

from infra.declaration.model import Sla
from infra.plan.model import Recovery
from network import timers
from network.model import NetworkPlan

APPLICATION_TARGET_S = 2.0
"""What an application pair has to meet."""


def compute(network: NetworkPlan, sla: Sla | None) -> tuple[Recovery, ...]:
    """Return the recovery of every layer that has a redundant pair; of the others, nothing is promised."""
    found: list[Recovery] = []
    if any(len(endpoint.entry) > 1 for endpoint in network.endpoints):
        found.append(
            Recovery(
                layer="application",
                fault="node that holds the virtual address lost",
                seconds=round(timers.vrrp_takeover_s(backup_rank=1), 2),
                target_seconds=APPLICATION_TARGET_S,
            )
        )
    if any(len(endpoint.application) > 1 for endpoint in network.endpoints):
        found.append(
            Recovery(
                layer="application",
                fault="application process lost behind the load balancer",
                seconds=round(timers.backend_detection_s(), 2),
                target_seconds=APPLICATION_TARGET_S,
            )
        )
    if sla is not None:
        found.append(
            Recovery(
                layer="single node",
                fault="machine of a node without a partner lost, restored by hand",
                seconds=sla.recovery_hours * 3600,
                target_seconds=sla.recovery_hours * 3600,
            )
        )
    return tuple(found)

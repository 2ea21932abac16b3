"""A planned pair of gateways whose only line leads through the Internet, with simulated hand-off values."""

from __future__ import annotations

import datetime
from typing import Any

from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from tests.plan import factory


def planned(stack: str = "tunnels", **handoff: Any) -> Plan:
    """Return the plan; ``handoff`` are the carrier's values of the zone lgwan, if there shall be any."""
    line = {**factory.line(1, zones=("lgwan",)), "closed_network": "net", "id": "m1-net", "class": "best_effort"}
    if handoff:
        line["handoff"] = {"lgwan": handoff}
    networks = [{"id": "net", "kind": "internet_vpn"}]
    declared = factory.declaration(1, [factory.service("shomu")], hosts=2, lines=[line], closed_networks=networks)
    return builder.build(stack, declared, Lock(stack=stack), datetime.date(2026, 4, 1), clock=lambda: 0.0).plan

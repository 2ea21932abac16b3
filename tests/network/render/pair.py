"""A planned pair of gateways with BGP and BFD: two members; one has a main and a backup line."""

from __future__ import annotations

import datetime
from ipaddress import IPv4Address
from typing import Any

from infra.plan import build as builder
from infra.plan.lock import Lock
from network import flows, render
from network.model import NetworkPlan
from tests.plan import factory

ZONES = ("mynumber",)


def handoff(number: int, peer_as: int) -> dict[str, Any]:
    base = IPv4Address("192.0.2.0") + 8 * number
    return {
        "mynumber": {
            "prefix": f"{base}/29",
            "peer": str(base + 1),
            "local": [str(base + 2), str(base + 3)],
            "vip": str(base + 4),
            "routing": "bgp",
            "peer_as": peer_as,
            "local_as": 65010,
            "hold_s": 9,
            "bfd": True,
        }
    }


def planned() -> NetworkPlan:
    lines = [
        {**factory.line(1, "main", ZONES), "handoff": handoff(0, 64600)},
        {**factory.line(1, "backup", ZONES), "handoff": handoff(1, 64700)},
        {**factory.line(2, "main", ZONES), "handoff": handoff(2, 64600)},
    ]
    services = [
        factory.service("juki", "multi_tenant", "mynumber"),
        factory.service("own", "mixed", "mynumber"),
    ]
    declared = factory.declaration(2, services, lines=lines)
    built = builder.build("pair", declared, Lock(stack="pair"), datetime.date(2026, 4, 1), clock=lambda: 0.0)
    return built.plan.network


NETWORK = planned()
RESOLUTION = flows.resolve(NETWORK)
FILES = render.render_all(NETWORK)

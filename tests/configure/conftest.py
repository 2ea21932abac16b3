"""A small planned stack with every kind of node, and secrets that a search finds again."""

from __future__ import annotations

import datetime

import pytest

from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from infra.secrets.model import Certificate, KeyPair, Secrets
from tests.plan import factory

SERVICES = [
    factory.service(
        "juki",
        "multi_tenant",
        "mynumber",
        nodes={
            "application": {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 1},
            "database": {"count": 1, "vcpus": 1, "memory_gib": 1, "disk_gib": 2},
        },
    ),
    factory.service("zaimu", "mixed", "lgwan"),
]
FLOW = {
    "from": "service:juki@each_member",
    "to": "service:zaimu",
    "allow": ["tcp/8443"],
    "kind": "specific",
    "reason": "収納連携",
    "approved_by": "情報政策課",
    "expires": "2030-03-31",
}
MARK = "S3cret"
"""Stands in every secret below, and nowhere else."""


@pytest.fixture(scope="session")
def plan() -> Plan:
    declared = factory.declaration(members=2, services=SERVICES, flows=[FLOW])
    return builder.build("test", declared, Lock(stack="test"), datetime.date(2026, 4, 1), clock=lambda: 0.0).plan


@pytest.fixture(scope="session")
def secrets(plan: Plan) -> Secrets:
    def pair(name: str) -> KeyPair:
        return KeyPair(private=f"{MARK} private key of {name}", public=f"ssh-ed25519 AAAA{name} comment")

    def certificate(name: str) -> Certificate:
        return Certificate(key_pem=f"{MARK} key of {name}\n", certificate_pem=f"certificate of {name}\n")

    return Secrets(
        station=pair("station"),
        hosts={node.name: pair(node.name) for node in plan.nodes},
        ca=certificate("ca"),
        services={endpoint.name: certificate(endpoint.name) for endpoint in plan.network.endpoints},
        passwords={
            f"database/{endpoint.name}/{member}": f"{MARK}-{endpoint.name}-{member}"
            for endpoint in plan.network.endpoints
            for member in endpoint.participants
        },
    )

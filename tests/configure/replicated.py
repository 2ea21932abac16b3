"""A planned stack with replicated databases: one for all members, and one per member with a witness."""

from __future__ import annotations

import datetime

from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.secrets import generate
from tests.plan import factory

NOW = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
ONE = {"vcpus": 1, "memory_gib": 1, "disk_gib": 1}
TWO = {"count": 2, "vcpus": 1, "memory_gib": 1, "disk_gib": 2}
SERVICES = [
    factory.service("juki", "multi_tenant", "mynumber", nodes={"application": {"count": 2, **ONE}, "database": TWO}),
    factory.service(
        "zaimu",
        nodes={
            "application": {"count": 1, **ONE},
            "database": TWO,
            "witness": {"count": 1, "vcpus": 1, "memory_gib": 0.5},
        },
    ),
    factory.service("jinji", nodes=None, runs_on="zaimu", listen=["tcp/8443"]),
]
for _service in SERVICES:
    if _service["nodes"] is None:
        del _service["nodes"]
PLAN = builder.build(
    "test",
    factory.declaration(members=2, services=SERVICES),
    Lock(stack="test"),
    datetime.date(2026, 4, 1),
    clock=lambda: 0.0,
).plan
SECRETS = generate.complete(PLAN.network, "dc1", None, NOW)

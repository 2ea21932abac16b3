"""What the network measurements rest on, at small sizes: nothing here is measured."""

from __future__ import annotations

import datetime
import os

import pytest

from infra.plan import build as builder
from infra.plan.lock import Lock
from network import flows
from network.render import render_all
from tests.bench import network as bench


def test_the_large_group_is_as_announced() -> None:
    declared = bench.large_group(4)
    planned = builder.build("bench", declared, Lock(stack="bench"), datetime.date(2026, 4, 1), clock=lambda: 0.0).plan
    files = render_all(planned.network)
    assert len(planned.network.endpoints) == 4 * 3 * 5
    assert {handoff.routing for line in planned.network.lines for handoff in line.handoffs} == {"bgp"}
    gateways = [node.name for node in planned.network.nodes if node.role == "gateway"]
    assert len(gateways) > 2, "the internet zone has gateways of its own, and a guest has 24 cards"
    assert len(files) == 4 * 3 * 5 + len(gateways)


@pytest.mark.parametrize("members", [1, 10])
def test_the_rules_grow_by_one_element_for_each_member_and_service(members: int) -> None:
    passed = flows.resolve(bench.one_gateway(members)).through(bench._gateway())
    assert len(passed) == members * bench.SERVICES_PER_ZONE
    grown = bench._elements(bench.gateway_rules(members + 1)) - bench._elements(bench.gateway_rules(members))
    assert grown == bench.SERVICES_PER_ZONE + 1, "one a service, and the member among those who may speak"


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_what_is_measured_goes_through_the_rules() -> None:
    with bench._path() as (office, gateway, server):
        bench._load(gateway, bench.gateway_rules(2))
        bench._require_judged(office, server)
        bench._load(gateway, "flush ruleset\n")
        with pytest.raises(ConnectionRefusedError):  # without rules every port is reached, whether it listens or not
            _connect(office)


def _connect(office: str) -> None:
    with bench._socket(office) as caller:
        caller.settimeout(5)
        caller.connect((str(bench.SERVER), 445))

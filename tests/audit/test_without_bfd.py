"""Lines without BFD: its port is one like any other, at which an answer may come in and nobody may open anything."""

from __future__ import annotations

import functools

import pytest

from infra.audit import check
from infra.plan.model import Plan
from tests.audit import listings
from tests.network.render.tunnels import planned

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

GATEWAY = "dc1-gw1a"


@functools.cache
def plan() -> Plan:
    return planned(
        prefix="100.64.0.0/29",
        peer="100.64.0.1",
        local=["100.64.0.2", "100.64.0.3"],
        vip="100.64.0.4",
        routing="static",
    )


def test_the_rules_pass_and_say_nothing_about_bfd() -> None:
    assert not any(handoff.bfd for line in plan().network.lines for handoff in line.handoffs)
    found = check.audit_rules(plan(), listings.listings_of(plan().network))
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())


def test_answers_that_are_dropped_at_the_port_of_bfd_are_missing() -> None:
    changed = (GATEWAY, "ct state invalid counter drop", "udp dport 3784 drop\n\t\tct state invalid counter drop")
    found = check.audit_rules(plan(), listings.listings_of(plan().network, changed))
    assert {(str(m.flow), m.packet.port, m.packet.state) for m in found.missing} == {
        (f"{GATEWAY} -> station:dc1", 3784, "established"),
        (f"{GATEWAY} -> dc1-gw1b", 3784, "established"),
    }


def test_bfd_that_is_taken_in_all_the_same_is_found() -> None:
    changed = (GATEWAY, "ct state invalid counter drop", "udp dport 3784 accept\n\t\tct state invalid counter drop")
    found = check.audit_rules(plan(), listings.listings_of(plan().network, changed))
    assert {(v.packet.port, v.severity) for v in found.violations if v.packet and v.packet.state == "new"} == {
        (3784, "critical")
    }

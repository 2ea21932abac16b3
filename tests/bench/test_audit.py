"""What the measurement of the audit rests on, at a small size: nothing here is measured."""

from __future__ import annotations

from infra.audit import check
from tests.bench import audit as bench


def test_the_group_is_as_announced() -> None:
    plan = bench.group(3)
    assert len(plan.network.endpoints) == 3 * 3
    found = check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))
    offices = {endpoint.name for endpoint in found.endpoints if endpoint.kind == "office"}
    assert offices == {f"office:m{number}/{zone}" for number in (1, 2, 3) for zone in ("mynumber", "lgwan", "internet")}
    reached = {pair.target for pair in found.pairs if pair.source in offices}
    assert len(reached) == 3 * 3, "each office reaches the service of its own zone, and nothing else"
    assert found.verdict == "pass"

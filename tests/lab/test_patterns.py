"""Each of the four tenancy patterns on real machines: up, configured, seen from the offices, and gone again."""

from __future__ import annotations

import pathlib

import pytest

from infra.lab import visits
from infra.secrets import store
from tests.lab import place as places

pytestmark = pytest.mark.lab
STACKS = [
    "per-municipality",
    *(pytest.param(stack, marks=pytest.mark.soak) for stack in ("same-business", "mixed", "multi-tenant")),
]
"""The demo is mixed and multi-tenant already, so one more is enough between two changes."""


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_of_each_pattern_serves_its_offices(
    stack: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places.make(tmp_path, stack, f"t-{stack}")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    try:
        for command in (("plan",), ("lab", "up"), ("hosts",), ("up",), ("configure",), ("verify",)):
            assert place.kumiai(*command).code == 0
        plan = place.plan()
        seen = visits.visit_all(plan, store.load(place.stack_file, "dc1").ca.certificate_pem)
        assert [visit for visit in seen if visit.expected], "an empty matrix would pass"
        assert [visit for visit in seen if not visit.as_planned] == []
        assert [visit for visit in seen if visit.expected and "answered" not in visit.answer] == []
        assert place.kumiai("destroy", "--allow-data-loss=all").code == 0
    finally:
        place.remove()

"""Probes as a level of the audit."""

from __future__ import annotations

import datetime

import pytest

import infra.plan
from infra.audit import document
from infra.audit.model import Audit
from infra.plan.model import Plan
from infra.probes import level, wanted
from infra.probes.model import Probe, Tried
from tests.network.render import demo


@pytest.fixture(scope="module")
def plan() -> Plan:
    return infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan


def as_planned(probe: Probe) -> Tried:
    """Return what comes of a probe when all is as planned; datagrams are never answered."""
    answers = bool(probe.passes) and probe.protocol != "udp"
    return Tried(probe=probe, outcome="open" if answers else "silent", answered_by=str(probe.target) if answers else "")


def audited(plan: Plan, *changed: Tried) -> Audit:
    other = {one.probe: one for one in changed}
    return level.audit(plan, [other.get(p, as_planned(p)) for p in wanted.probes(plan.network)])


def probe_of(plan: Plan, source: str, target: str, protocol: str, port: int) -> Probe:
    return next(
        p
        for p in wanted.probes(plan.network)
        if (p.source.name, p.target_name, p.protocol, p.port) == (source, target, protocol, port)
    )


def test_all_as_planned_passes_and_says_what_was_tried(plan: Plan) -> None:
    found = audited(plan)
    assert (found.verdict, found.level, found.violations, found.missing) == ("pass", "probe", (), ())
    assert found.examined.probes == len(wanted.probes(plan.network)) > 5000
    assert found.examined.machines == 7
    opened = {(pair.source, pair.target) for pair in found.pairs}
    assert ("office:nishiki/mynumber", "service:juki") in opened
    assert ("office:nishiki/lgwan", "service:juki") not in opened
    assert document.document(found)["examined"]["probes"] == found.examined.probes


def test_nothing_tried_is_no_pass(plan: Plan) -> None:
    assert level.audit(plan, []).verdict == "fail"


def test_a_packet_that_passes_and_should_not_is_a_violation_with_its_path(plan: Plan) -> None:
    probe = probe_of(plan, "nishiki/honcho/lgwan", "service/juki", "tcp", 443)
    found = audited(plan, Tried(probe=probe, outcome="open", answered_by=str(probe.target)))
    (violation,) = found.violations
    assert found.verdict == "fail"
    assert (violation.source, violation.target) == ("office:nishiki/lgwan", "service:juki")
    assert violation.packet is not None
    assert (violation.packet.destination, violation.packet.port) == (str(probe.target), 443)
    assert next(row for row in found.controls if row.id == "TZ-1").status == "not_met"


def test_a_declared_flow_that_does_not_pass_is_missing(plan: Plan) -> None:
    probe = probe_of(plan, "nishiki/honcho/mynumber", "service/juki", "tcp", 443)
    (missing,) = audited(plan, Tried(probe=probe, outcome="silent", answered_by="")).missing
    assert str(missing.flow) == "office:nishiki/mynumber -> service:juki"

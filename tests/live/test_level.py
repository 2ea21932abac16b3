"""Running machines as a level of the audit."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

import pytest

import infra.plan
from infra.audit import sandbox
from infra.audit.model import Audit
from infra.live import level
from infra.live.model import Live, LiveRoute
from infra.operations.live import Finding
from infra.plan.model import Plan
from network.errors import OperationError
from tests.live import test_judge as machines
from tests.network.render import demo

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rules are loaded in network namespaces, as root")
NOW = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
RULES = "/etc/nftables.conf"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return infra.plan.compute(demo.STACK, demo.AS_OF).plan


@pytest.fixture(scope="module")
def running() -> Mapping[str, Live | OperationError]:
    """Machines as planned, with the rules that the kernel made of theirs."""
    cards = {node.name: [card.name for card in node.interfaces] for node in demo.network().nodes}
    listed = sandbox.load_texts({name: files[RULES] for name, files in demo.files().items()}, cards)
    found: dict[str, Live | OperationError] = {}
    for name, one in machines.all_live().items():
        assert isinstance(one, Live)
        text = listed[name].text
        assert text is not None, listed[name].reason
        found[name] = dataclasses.replace(one, rules=text)
    return found


def audited(plan: Plan, running: Mapping[str, Live | OperationError], *hosts: Finding) -> Audit:
    return level.audit(plan, running, hosts, NOW)


def with_change(
    running: Mapping[str, Live | OperationError], name: str, **changes: object
) -> dict[str, Live | OperationError]:
    one = running[name]
    assert isinstance(one, Live)
    return {**running, name: dataclasses.replace(one, **changes)}  # type: ignore[arg-type]


def test_machines_as_planned_pass(plan: Plan, running: Mapping[str, Live | OperationError]) -> None:
    found = audited(plan, running)
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    assert found.examined.machines == 7
    assert found.examined.rules > 200


def test_a_rule_added_by_hand_is_found_with_its_place(plan: Plan, running: Mapping[str, Live | OperationError]) -> None:
    opened = demo.files()["dc1-gw1a"][RULES] + "\ninsert rule inet kumiai forward tcp dport 22 accept\n"
    cards = {"dc1-gw1a": [card.name for card in demo.network().node_by_name["dc1-gw1a"].interfaces]}
    text = sandbox.load_texts({"dc1-gw1a": opened}, cards)["dc1-gw1a"].text
    found = audited(plan, with_change(running, "dc1-gw1a", rules=text))
    assert found.verdict == "fail"
    assert {v.kind for v in found.violations} >= {"not_declared"}
    assert any(v.rule is not None and "dc1-gw1a" in str(v.path) + str(v.rule) for v in found.violations)


def test_a_silent_machine_is_not_examined(plan: Plan, running: Mapping[str, Live | OperationError]) -> None:
    found = audited(plan, {**running, "dc1-gw1a": OperationError("dc1-gw1a on host kvm01: no answer")})
    (violation,) = [v for v in found.violations if v.kind == "not_examined"]
    assert "dc1-gw1a on host kvm01: no answer" in violation.reason
    assert found.verdict == "fail"


def test_rules_that_sleep_are_not_examined(plan: Plan, running: Mapping[str, Live | OperationError]) -> None:
    found = audited(plan, with_change(running, "juki-ap1", dormant=("inet kumiai",)))
    (violation,) = [v for v in found.violations if v.kind == "not_examined"]
    assert "inet kumiai is dormant" in violation.reason


def test_a_route_a_stopped_service_and_a_moved_card_are_drift(
    plan: Plan, running: Mapping[str, Live | OperationError]
) -> None:
    one = running["juki-ap1"]
    assert isinstance(one, Live)
    route = LiveRoute(
        table="main", prefix=IPv4Network("10.9.0.0/16"), vias=(IPv4Address("172.16.0.65"),), card="seg3", kind="unicast"
    )
    changed = with_change(
        running, "juki-ap1", routes=(*one.routes, route), units={**one.units, "nftables.service": "inactive"}
    )
    moved = Finding(host="kvm02", subject="juki-ap2", message="card 2 is on another network")
    found = audited(plan, changed, moved)
    assert {(v.severity, v.reason.partition(":")[0]) for v in found.violations if v.kind == "drift"} == {
        ("major", "juki-ap1"), ("critical", "juki-ap1"), ("critical", "juki-ap2 on kvm02"),
    }  # fmt: skip

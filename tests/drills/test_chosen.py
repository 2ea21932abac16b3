"""What a drill breaks, and where its client stands, in the demo stack and in others."""

from __future__ import annotations

import datetime

import pytest

import infra.plan
from infra.drills import gateway, line, node, scene, sync
from infra.drills.faults import Fault
from infra.plan.model import Plan
from network.errors import InputError
from tests.network.render import demo


@pytest.fixture(scope="module")
def plan() -> Plan:
    return infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan


def test_the_main_line_of_a_member_is_cut_and_seen_from_its_own_office(plan: Plan) -> None:
    found, post = scene.line_post(plan, "tsuno")
    assert found.name == "tsuno-main"
    assert (post.office.member, post.endpoint.zone) == ("tsuno", post.office.zone)
    assert line.words(plan, "tsuno", Fault.CUT, twice=False).startswith("tsuno-main: cut inside the carrier")


def test_a_member_without_a_backup_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="member nobody: no main line with a backup"):
        scene.line_post(plan, "nobody")


def test_the_pair_is_found_by_either_gateway(plan: Plan) -> None:
    for name in (None, "dc1-gw1a", "dc1-gw1b"):
        loss = gateway.loss(plan, name, None)
        assert set(loss.nodes) == {"dc1-gw1a", "dc1-gw1b"}
        assert loss.vip.segment == loss.post.endpoint.segment
    with pytest.raises(InputError, match=r"juki-ap1: no pair of gateways .* gateways: dc1-gw1a, dc1-gw1b"):
        gateway.loss(plan, "juki-ap1", None)
    assert "dc1-gw1a and dc1-gw1b" in sync.words(plan, None, Fault.CUT, twice=False)


def test_an_application_node_is_lost_behind_its_own_address(plan: Plan) -> None:
    loss = node.loss(plan, "juki-ap2")
    assert (loss.victim, set(loss.nodes), loss.vip.name) == ("juki-ap2", {"juki-ap1", "juki-ap2"}, "service/juki")
    assert not loss.connection_survives


def test_a_gateway_by_name_is_itself_lost(plan: Plan) -> None:
    loss = node.loss(plan, "dc1-gw1b")
    assert (loss.kind, loss.victim) == ("gateway", "dc1-gw1b")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zaimu-tsuno-ap1", "zaimu-tsuno-ap1: no machine with a partner that takes its place"),
        ("nobody", "nobody: no such node; the plan has "),
    ],
)
def test_a_machine_without_a_partner_is_refused(plan: Plan, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        node.loss(plan, name)

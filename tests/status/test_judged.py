"""What is wrong with what the machines of the demo stack say."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import pytest

import infra.plan
from infra.configure.services import services
from infra.plan.model import Plan
from infra.status import model
from infra.status.model import Answer, Asked, Status
from tests.network.render import demo


@pytest.fixture(scope="module")
def plan() -> Plan:
    return infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan


@pytest.fixture(scope="module")
def questions(plan: Plan) -> tuple[Asked, ...]:
    return model.asked(plan.network, services(plan))


def whole(plan: Plan, questions: tuple[Asked, ...]) -> dict[str, Answer | None]:
    """Return the answers of machines on which all is well; the first of each set holds its address."""
    first = {vip.nodes[0]: [v for v in plan.network.vips if v.nodes[0] == vip.nodes[0]] for vip in plan.network.vips}
    return {
        question.node: Answer(
            node=question.node,
            units=dict.fromkeys(question.units, "active"),
            held=tuple(str(vip.address.ip) for vip in first.get(question.node, ())),
            sessions=dict.fromkeys(question.peers, "Established"),
        )
        for question in questions
    }


def judged(plan: Plan, questions: tuple[Asked, ...], **changed: Answer | None) -> Status:
    answers: Mapping[str, Answer | None] = {
        **whole(plan, questions),
        **{n.replace("_", "-"): a for n, a in changed.items()},
    }
    return model.judge(plan.network, questions, answers)


def test_every_service_of_a_role_is_asked_for(questions: tuple[Asked, ...]) -> None:
    units = {question.node: question.units for question in questions}
    assert units["dc1-gw1a"] == ("nftables.service", "conntrackd.service", "frr.service", "keepalived.service")
    assert units["juki-ap1"] == (
        "nftables.service", "haproxy.service", "keepalived.service", "kumiai-application@juki.service",
    )  # fmt: skip
    assert set(units["juki-db1"]) == {"nftables.service", "kumiai-database.service"}


def test_a_gateway_is_asked_for_a_session_with_every_line_and_zone(questions: tuple[Asked, ...]) -> None:
    (peers,) = (set(question.peers.values()) for question in questions if question.node == "dc1-gw1b")
    assert peers == {
        f"{member}-{role}/{zone}"
        for member in ("nishiki", "tsuno") for role in ("main", "backup") for zone in ("mynumber", "lgwan")
    }  # fmt: skip


def test_all_is_whole_and_the_main_lines_carry(plan: Plan, questions: tuple[Asked, ...]) -> None:
    found = judged(plan, questions)
    assert found.whole
    assert {(line.line, line.state) for line in found.lines} == {
        ("nishiki-main", "carries"), ("nishiki-backup", "stands by"),
        ("tsuno-main", "carries"), ("tsuno-backup", "stands by"),
    }  # fmt: skip


def test_a_silent_machine_is_found_and_what_it_may_hold_is_unknown(plan: Plan, questions: tuple[Asked, ...]) -> None:
    found = judged(plan, questions, dc1_gw1a=None)
    assert found.findings == ("dc1-gw1a: does not answer",)
    assert all(one.unknown == ("dc1-gw1a",) for one in found.holdings if "dc1-gw1a" in one.vip.nodes)
    assert not found.whole


def test_two_holders_and_none_are_found(plan: Plan, questions: tuple[Asked, ...]) -> None:
    answers = whole(plan, questions)
    first, second = answers["juki-ap1"], answers["juki-ap2"]
    assert first is not None
    assert second is not None
    both = judged(plan, questions, juki_ap2=dataclasses.replace(second, held=first.held))
    (finding,) = both.findings
    assert "juki-ap1 and juki-ap2 hold it at once" in finding
    none = judged(plan, questions, juki_ap1=dataclasses.replace(first, held=()))
    (finding,) = none.findings
    assert finding.startswith("service/juki (")
    assert finding.endswith("nobody holds it")


def test_a_stopped_service_and_a_lost_session_are_found(plan: Plan, questions: tuple[Asked, ...]) -> None:
    gateway = whole(plan, questions)["dc1-gw1a"]
    assert gateway is not None
    peer = next(iter(gateway.sessions))
    broken = dataclasses.replace(
        gateway,
        units={**gateway.units, "frr.service": "failed"},
        sessions={**gateway.sessions, peer: "Active"},
    )
    found = judged(plan, questions, dc1_gw1a=broken).findings
    assert found[0] == "dc1-gw1a: frr.service is failed"
    assert found[1].startswith(f"dc1-gw1a: the session with {peer} (")
    assert found[1].endswith(") is Active")
    assert len(found) == 2


def test_the_backup_carries_when_no_gateway_has_a_session_of_the_main_line(
    plan: Plan, questions: tuple[Asked, ...]
) -> None:
    answers = whole(plan, questions)
    changed = {}
    for node in ("dc1-gw1a", "dc1-gw1b"):
        answer = answers[node]
        assert answer is not None
        question = next(q for q in questions if q.node == node)
        lost = {peer: "Active" for peer, line in question.peers.items() if line.startswith("nishiki-main/")}
        changed[node.replace("-", "_")] = dataclasses.replace(answer, sessions={**answer.sessions, **lost})
    found = {(line.line, line.state) for line in judged(plan, questions, **changed).lines}
    assert found == {
        ("nishiki-main", "down"), ("nishiki-backup", "carries"),
        ("tsuno-main", "carries"), ("tsuno-backup", "stands by"),
    }  # fmt: skip

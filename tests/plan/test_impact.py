"""Blast radius, derived by hand from where the plan puts things (``kumiai plan``) and DESIGN's layers of redundancy.

demo: kvm01 carries dc1-gw1a, juki-ap2 and juki-db1; kvm02 dc1-gw1b, juki-ap1 and both members' zaimu; kvm03 is spare.
Both members have a main line of 100 and a backup line of 50 Mbit/s; juki has one database, zaimu one machine.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
import time

import pytest
import typer.testing

import infra.cli
import infra.plan
from infra.plan import build, impact
from infra.plan.impact import Impact
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.errors import InputError
from tests.plan import factory

ROOT = pathlib.Path(__file__).parents[2]
DAY = datetime.date(2026, 4, 1)


@functools.cache
def plan_of(stack: str) -> Plan:
    return infra.plan.compute(ROOT / "stacks" / f"{stack}.yaml", DAY).plan


def states(found: Impact) -> dict[str, str]:
    return {f"{effect.member} {effect.service}": effect.state for effect in found.effects}


def why(found: Impact, member: str, service: str) -> list[str]:
    (effect,) = [e for e in found.effects if (e.member, e.service) == (member, service)]
    return [reason.text for reason in effect.reasons]


DEMO = ["nishiki juki", "nishiki zaimu-nishiki", "tsuno juki", "tsuno zaimu-tsuno"]
SAME = ["nishiki juki-nishiki", "nishiki zaimu-nishiki", "tsuno juki-tsuno", "tsuno zaimu-tsuno"]
PER = ["nishiki zaimu-nishiki", "nishiki jinji-nishiki", "tsuno zaimu-tsuno", "tsuno jinji-tsuno"]


@pytest.mark.parametrize(
    ("stack", "kind", "name", "keys", "expected"),
    [
        ("demo", "site", "dc1", DEMO, ["stops", "stops", "stops", "stops"]),
        # the only database of juki; the partner of the gateway goes on
        ("demo", "host", "kvm01", DEMO, ["stops", "degrades", "stops", "degrades"]),
        # every zaimu has one machine; juki keeps juki-ap2 and its database
        ("demo", "host", "kvm02", DEMO, ["degrades", "stops", "degrades", "stops"]),
        ("demo", "host", "kvm03", DEMO, ["goes_on", "goes_on", "goes_on", "goes_on"]),
        ("demo", "gateway", "dc1-gw1a", DEMO, ["degrades", "degrades", "degrades", "degrades"]),
        ("demo", "gateway", "dc1-gw1", DEMO, ["stops", "stops", "stops", "stops"]),
        ("demo", "line", "nishiki-main", DEMO, ["degrades", "degrades", "goes_on", "goes_on"]),
        ("demo", "line", "tsuno-backup", DEMO, ["goes_on", "goes_on", "degrades", "degrades"]),
        ("demo", "node", "juki-ap1", DEMO, ["degrades", "goes_on", "degrades", "goes_on"]),
        ("demo", "node", "juki-db1", DEMO, ["stops", "goes_on", "stops", "goes_on"]),
        # its own business stops, and the resident register's link to it (flow specific) does not answer
        ("demo", "node", "zaimu-tsuno-ap1", DEMO, ["goes_on", "goes_on", "degrades", "stops"]),
        # pattern 1: a host carries one business of all members; kvm01 juki, kvm02 zaimu, kvm03 and kvm04 the gateways
        ("same-business", "host", "kvm01", SAME, ["stops", "goes_on", "stops", "goes_on"]),
        ("same-business", "host", "kvm02", SAME, ["goes_on", "stops", "goes_on", "stops"]),
        ("same-business", "host", "kvm03", SAME, ["degrades", "degrades", "degrades", "degrades"]),
        ("same-business", "line", "tsuno-main", SAME, ["goes_on", "goes_on", "stops", "stops"]),
        # pattern 2: a host carries all business of one member, jinji on zaimu's machine; kvm03 nishiki, kvm04 tsuno
        ("per-municipality", "host", "kvm03", PER, ["stops", "stops", "goes_on", "goes_on"]),
        ("per-municipality", "host", "kvm04", PER, ["goes_on", "goes_on", "stops", "stops"]),
        ("per-municipality", "gateway", "dc1-gw1b", PER, ["degrades", "degrades", "degrades", "degrades"]),
    ],
)
def test_what_stops_degrades_and_goes_on(
    stack: str, kind: impact.Kind, name: str, keys: list[str], expected: list[str]
) -> None:
    found = impact.impact(plan_of(stack), kind, name)
    assert states(found) == dict(zip(keys, expected, strict=True))


def test_every_reason_is_told() -> None:
    found = impact.impact(plan_of("demo"), "host", "kvm01")
    assert found.nodes == ("dc1-gw1a", "juki-ap2", "juki-db1")
    assert why(found, "nishiki", "juki") == [
        "application juki-ap1 serves alone: juki-ap2 lost",
        "its data is on juki-db1 alone, which is lost",
        "gateway dc1-gw1b serves alone: dc1-gw1a lost",
    ]
    assert found.moves == {"dc1-gw1a": "kvm03", "juki-ap2": "kvm03", "juki-db1": "kvm02"}
    assert found.members("stops") == ("nishiki", "tsuno")
    assert all(reason.text_ja != reason.text for effect in found.effects for reason in effect.reasons)


def test_a_link_to_what_has_stopped_is_told_by_its_purpose() -> None:
    found = impact.impact(plan_of("demo"), "node", "zaimu-tsuno-ap1")
    assert why(found, "tsuno", "juki") == ["住民税の収納連携: zaimu-tsuno does not answer"]


def test_the_gap_is_that_of_the_slowest_layer_and_only_where_something_takes_over() -> None:
    plan = plan_of("demo")
    gaps = {recovery.layer: recovery.seconds for recovery in plan.recovery}
    assert impact.impact(plan, "gateway", "dc1-gw1b").effects[0].gap_s == gaps["gateway"]
    assert impact.impact(plan, "line", "nishiki-main").effects[0].gap_s == gaps["line"]
    assert impact.impact(plan, "line", "nishiki-backup").effects[0].gap_s == 0
    assert impact.impact(plan, "host", "kvm01").effects[0].gap_s == 0, "it stops: nothing takes over"


def test_a_second_database_takes_over_as_long_as_two_of_three_votes_are_left() -> None:
    """nishiki: conveni has two databases, db1 on kvm02 and db2 on kvm01, and its third vote on kvm03."""
    plan = plan_of("nishiki")
    found = impact.impact(plan, "node", "conveni-db1")
    assert states(found)["nishiki conveni"] == "degrades"
    assert next(e for e in found.effects if e.service == "conveni").gap_s == 28, "the worst case of a lost machine"
    assert states(impact.impact(plan, "node", "conveni-db2"))["nishiki conveni"] == "degrades"
    # Two of three votes on lost hosts: the database that is left may not accept writes.
    nodes = tuple(
        dataclasses.replace(node, host="kvm09") if node.name in {"conveni-db1", "conveni-ap1"} else node
        for node in plan.nodes
    )
    host = dataclasses.replace(plan.hosts[0], id="kvm09")
    shared = dataclasses.replace(plan, nodes=nodes, hosts=(*plan.hosts, host))
    (effect,) = [e for e in impact.impact(shared, "host", "kvm09").effects if e.service == "conveni"][:1]
    assert [r.text for r in effect.reasons if r.state == "stops"] == [
        "1 of 3 votes are left: no database may accept writes"
    ]


def test_a_pair_of_gateways_takes_along_its_own_members_only() -> None:
    """With dedicated gateways each member has a pair of its own, and both pairs stand on the shared segment."""
    declared = factory.declaration(
        services=[factory.service("juki", "multi_tenant")],
        availability={"spare_hosts": 0, "gateway": "dedicated"},
    )
    plan = build.build("test", declared, Lock(stack="test"), DAY, clock=time.perf_counter).plan
    assert states(impact.impact(plan, "gateway", "dc1-gw1")) == {"m1 juki": "stops", "m2 juki": "goes_on"}
    assert states(impact.impact(plan, "gateway", "dc1-gw2b")) == {"m1 juki": "goes_on", "m2 juki": "degrades"}


def test_everything_that_can_be_lost_is_examined_once() -> None:
    found = impact.every(plan_of("demo"))
    assert [(one.kind, one.name) for one in found] == [
        ("site", "dc1"),
        ("host", "kvm01"),
        ("host", "kvm02"),
        ("host", "kvm03"),
        ("gateway", "dc1-gw1"),
        ("gateway", "dc1-gw1a"),
        ("gateway", "dc1-gw1b"),
        ("line", "nishiki-main"),
        ("line", "nishiki-backup"),
        ("line", "tsuno-main"),
        ("line", "tsuno-backup"),
    ]
    assert all(len(one.effects) == 4 for one in found)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="demo has no host kvm9; it has: kvm01, kvm02, kvm03"):
        impact.impact(plan_of("demo"), "host", "kvm9")


def test_the_command_shows_a_row_for_each_member_and_business() -> None:
    runner = typer.testing.CliRunner()
    stack = str(ROOT / "stacks" / "demo.yaml")
    shown = runner.invoke(infra.cli.app, ["impact", stack, "host", "kvm02", "--as-of", "2026-04-01"])
    assert shown.exit_code == 0, shown.output
    assert "停止 (stops)" in shown.output
    assert "until the repair, zaimu-tsuno-ap1 can run on kvm01" in shown.output
    told = runner.invoke(infra.cli.app, ["impact", stack, "line", "tsuno-main", "--json", "--as-of", "2026-04-01"])
    document = json.loads(told.output)
    assert (document["state"], document["lines"]) == ("degrades", ["tsuno-main"])
    assert document["effects"][2]["reasons"] == [
        "main line tsuno-main lost: tsuno-backup (50 Mbit/s, best effort) carries"
    ]

from __future__ import annotations

import datetime
import pathlib

import pytest

from infra.declaration import queries
from infra.declaration.load import parse_located
from infra.declaration.model import Declaration, Service
from tests.declaration.good_stack import GOOD


def declared(text: str = GOOD) -> Declaration:
    return parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack").declaration


def service(declaration: Declaration, name: str) -> Service:
    return next(service for service in declaration.services if service.id == name)


@pytest.mark.parametrize(
    ("day", "juki", "zaimu"),
    [
        ("2011-09-30", [], []),
        ("2011-10-01", ["nishiki"], ["nishiki"]),
        ("2011-10-08", ["nishiki", "tsuno"], ["nishiki", "tsuno"]),
    ],
)
def test_members_take_part_from_the_day_they_join(day: str, juki: list[str], zaimu: list[str]) -> None:
    declaration = declared()
    as_of = datetime.date.fromisoformat(day)
    for name, expected in (("juki", juki), ("zaimu", zaimu)):
        found = queries.participants(declaration, service(declaration, name), as_of)
        assert [member.id for member in found] == expected


def test_the_day_of_leaving_is_the_first_without_the_member() -> None:
    declaration = declared(GOOD.replace("    joins: 2011-10-08\n", "    joins: 2011-10-08\n    leaves: 2020-04-01\n"))
    juki = service(declaration, "juki")
    before = queries.participants(declaration, juki, datetime.date(2020, 3, 31))
    after = queries.participants(declaration, juki, datetime.date(2020, 4, 1))
    ever = queries.participants(declaration, juki, None)
    assert [len(before), len(after), len(ever)] == [2, 1, 2]


def test_participants_come_in_the_order_of_the_members() -> None:
    declaration = declared(
        GOOD.replace("[nishiki, {member: tsuno, from: 2011-10-08}]", "[{member: tsuno, from: 2011-10-08}, nishiki]")
    )
    found = queries.participants(declaration, service(declaration, "juki"), None)
    assert [member.id for member in found] == ["nishiki", "tsuno"]


def test_a_service_runs_at_its_site_at_that_of_its_nodes_or_at_the_only_data_center() -> None:
    declaration = declared()
    assert [queries.service_site(declaration, each) for each in declaration.services] == ["dc1"] * 3
    assert queries.host_service(declaration, service(declaration, "kyuyo")).id == "zaimu"
    assert queries.host_service(declaration, service(declaration, "juki")).id == "juki"


def test_a_flow_holds_on_its_last_day_and_is_expired_on_the_next() -> None:
    declaration = declared()
    assert queries.expired_flows(declaration, datetime.date(2030, 3, 31)) == ()
    ((index, flow),) = queries.expired_flows(declaration, datetime.date(2030, 4, 1))
    assert (index, flow.to) == (0, "service:zaimu")


def test_everything_assumed_is_listed_in_the_order_of_the_model() -> None:
    text = (
        GOOD.replace("    name: 都農町\n", "    name: 都農町\n    assumed: true\n")
        .replace("lgwan: [10.1.64.0/18]}}", "lgwan: [10.1.64.0/18]}, assumed: true}")
        .replace("mbps: 100}]", "mbps: 100, assumed: true}]")
        .replace("routing: static}\n  - id: tsuno-main", "routing: static, assumed: true}\n  - id: tsuno-main")
        .replace("database: {count: 2,", "database: {assumed: true, count: 2,")
        .replace("expires: 2030-03-31}", "expires: 2030-03-31, assumed: true}")
        .replace("{hosts: separate,", "{assumed: true, hosts: separate,")
        .replace("recovery_hours: 24", "recovery_hours: 24, assumed: true")
    )
    assert queries.assumed_paths(declared(text)) == (
        "members[nishiki].offices[honcho]",
        "members[tsuno]",
        "closed_networks[lgwan].path[0]",
        "lines[nishiki-backup].handoff.all",
        "services[juki].nodes.database",
        "flows[0]",
        "availability.zone_separation",
        "sla",
    )
    assert queries.assumed_paths(declared()) == ()

"""Ways that begin or end in an office or outside the stack: each member by its own lines, judged from both sides."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from infra.audit import check
from infra.audit.model import Audit
from network import ports
from network.model import Flow
from tests.audit import listings
from tests.network.render.test_outside import GATEWAY, INTERNET_GATEWAY, plan

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

SEGMENTS = {card.name: card.segment for card in plan().network.node_by_name[GATEWAY].interfaces}
CARDS = {segment: name for name, segment in SEGMENTS.items()}
M1, M2, LINE1, LINE2 = (CARDS[s] for s in ("dc1-m1-lgwan", "dc1-m2-lgwan", "m1-main-lgwan", "m2-main-lgwan"))
ASKED = f'"{M2}" . 172.16.1.5 . "{LINE2}" . 198.18.0.0/20 . 443 comment'
"""Member 2's machine into LGWAN."""
NOWHERE = {
    ("service:juki@m1", "external:nowhere"): "no closed network says at which addresses it reaches external:nowhere",
    ("office:m1/lgwan", "network:lgwan"): "no end of it is a service, so that it passes no gateway of the stack",
}


def audit(*changes: tuple[str, str, str]) -> Audit:
    return check.audit_rules(plan(), listings.listings_of(plan().network, *changes))


def told(found: Audit, state: str = "new") -> set[tuple[str, str, str, str, str]]:
    return {
        (v.kind, v.severity, v.source, v.target, str(v.packet))
        for v in found.violations
        if v.packet and v.packet.state == state
    }


def test_every_way_is_judged_or_a_finding() -> None:
    for found in (check.audit_declared(plan(), dict.fromkeys(plan().members, "alpha")), audit()):
        assert found.missing == ()
        assert {(v.kind, v.source, v.target, v.reason) for v in found.violations} == {
            ("not_examined", *ends, f"the flow cannot be examined: {reason}") for ends, reason in NOWHERE.items()
        }


@pytest.mark.parametrize("level", ["declared", "rendered"])
def test_who_reaches_what_outside(level: str) -> None:
    found = audit() if level == "rendered" else check.audit_declared(plan(), {})
    ways = {
        (pair.source, pair.target, one.destinations, one.ports)
        for pair in found.pairs
        if "network" in {found.endpoint_by_name[name].kind for name in (pair.source, pair.target) if ":" in name}
        or pair.target.startswith("office:")
        for passing in pair.passing
        for one in passing.packets
    }
    assert ways == {
        ("zaimu-m1-ap1", "network:lgwan", "198.18.0.0/20", "443"),
        ("zaimu-m2-ap1", "network:lgwan", "198.18.0.0/20", "443"),
        ("network:lgwan", "service:zaimu-m1", "172.16.0.132", "8443"),
        ("network:lgwan", "service:zaimu-m2", "172.16.1.4", "8443"),
        ("zaimu-m1-ap1", "office:m1/lgwan", "10.1.16.0/20", "9100"),
        ("juki-ap1", "external:juki-net", "203.0.113.0/28", "443"),
    } | {way for way in ways if way[1] == "external:internet"}
    assert {source for source, target, *_ in ways if target == "external:internet"} == {"koho-m1-ap1", "koho-m2-ap1"}


def test_one_members_machines_by_anothers_line_are_found() -> None:
    found = audit((GATEWAY, ASKED, f'{ASKED.replace(LINE2, LINE1)} "wrong line",\n\t\t\t{ASKED}'))
    (one,) = told(found)
    assert one == ("not_declared", "minor", "zaimu-m2-ap1", "network:lgwan", "tcp 172.16.1.5 -> 198.18.0.0:443")
    (violation,) = [v for v in found.violations if v.packet and v.packet.state == "new"]
    assert "no route leads there" in violation.reason, "the machine's own table knows its member's line only"


def test_more_of_what_lies_outside_than_is_declared_is_found() -> None:
    asked = f'"{LINE2}" . 198.18.0.0/20 . "{M2}" . 172.16.1.4 . 8443 comment'
    found = audit((GATEWAY, asked, asked.replace("198.18.0.0/20", "198.18.0.0/19")))
    assert ("spoofable", "major", "line:m2-main-lgwan", "dc1-m2-lgwan", "tcp 198.18.16.0 -> 172.16.1.4:8443") in {
        (kind, severity, source, "dc1-m2-lgwan", packet) for kind, severity, source, _, packet in told(found)
    }


def test_a_way_outside_that_is_closed_is_missing_as_is_its_answer() -> None:
    closed = ASKED.replace("443", "80")
    found = audit((GATEWAY, ASKED, closed), ("dc1-gw1b", ASKED, closed))
    assert {(str(m.flow), m.packet.port) for m in found.missing} == {("service:zaimu -> network:lgwan", 443)}
    assert ("zaimu-m2-ap1", "network:lgwan") not in {
        (pair.source, pair.target) for pair in found.pairs for one in pair.passing if one.flow
    }


def test_an_answer_by_another_members_line_is_found() -> None:
    """The address outside is the same for all; only card and other side together say whose connection it is."""
    before = "ct state established iifname . ip saddr . oifname . ip daddr @partners_outside accept"
    for gateway in (GATEWAY, INTERNET_GATEWAY):
        found = audit((gateway, before, "ct state established iifname . ip saddr . ip daddr { } accept".replace(
            "iifname . ip saddr . ip daddr { }", "ip protocol tcp")))  # fmt: skip
        assert {(v.kind, v.severity) for v in found.violations if v.packet} >= {("not_declared", "critical")}


def test_a_printer_of_another_members_office_is_no_target() -> None:
    mine = f'"{M1}" . 172.16.0.133 . "{LINE1}" . 10.1.16.0/20 . 9100 comment'
    theirs = f'"{M1}" . 172.16.0.133 . "{LINE2}" . 10.2.16.0/20 . 9100 comment'
    found = audit((GATEWAY, mine, f'{theirs} "other",\n\t\t\t{mine}'))
    assert told(found) == {
        ("not_declared", "critical", "zaimu-m1-ap1", "office:m2/lgwan", "tcp 172.16.0.133 -> 10.2.16.0:9100")
    }


def test_a_gateway_that_takes_an_office_for_the_internet_is_found() -> None:
    rule = 'oifname . ip daddr @named_targets counter drop comment "not the public Internet"'
    found = audit((INTERNET_GATEWAY, rule, rule.replace("drop", "continue")))
    assert {(kind, severity, source) for kind, severity, source, *_ in told(found)} == {
        ("not_declared", "critical", "koho-m1-ap1"),
        ("not_declared", "critical", "koho-m2-ap1"),
    }


def test_who_has_a_name_is_not_let_in_as_the_internet() -> None:
    flow = Flow(
        source="external:internet",
        target="service:koho",
        allow=(ports.parse("tcp/8080"),),
        kind="via_security_cloud",
        reason="試験",
        approved_by="課",
        expires=datetime.date(2030, 3, 31),
    )
    network = dataclasses.replace(plan().network, flows=(*plan().network.flows, flow))
    found = check.audit_rules(dataclasses.replace(plan(), network=network), listings.listings_of(network))
    assert {v.kind for v in found.violations} == {"not_examined"}, "as without it"
    assert found.missing == ()
    opened = {
        (pair.source, pair.target)
        for pair in found.pairs
        for passing in pair.passing
        for one in passing.packets
        if one.ports == "8080"
    }
    assert {pair for pair in opened if pair[1].startswith("service:")} >= {
        ("external:internet", "service:koho-m1"),
        ("external:internet", "service:koho-m2"),
    }
    assert not [pair for pair in opened if pair[0].startswith(("office:", "external:juki", "network:"))]

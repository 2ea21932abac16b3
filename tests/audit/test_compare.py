"""Rules that differ from the plan, one story each: kind, severity, packet, path and rule of what is found."""

from __future__ import annotations

import pathlib

import pytest

from infra.audit import check, sandbox
from infra.audit.document import document
from infra.audit.model import Audit
from network.render import nftables
from tests.audit import listings
from tests.network.render import demo

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

GATEWAY, NODE = "dc1-gw1a", "zaimu-tsuno-ap1"


def audit(machine: str, before: str, after: str, *more: tuple[str, str, str]) -> Audit:
    """Audit the demo with a text exchanged in the rules of some machines."""
    given = dict(listings.listings())
    for name, old, new in ((machine, before, after), *more):
        text = demo.files()[name][nftables.RULES]
        assert text.count(old) == 1, f"{old} stands in the file {text.count(old)} times"
        cards = [card.name for card in listings.topology().machines[name].cards]
        given.update(sandbox.load_texts({name: text.replace(old, new)}, {name: cards}))
        assert given[name].text, given[name].reason
    return check.audit_rules(listings.plan(), given)


ZAIMU = '"seg10" . 10.2.64.0/24 . "seg5" . 172.16.0.196 . 443 comment'
FOREIGN = '"seg6" . 10.1.64.0/24 . "seg5" . 172.16.0.196 . 443,\n\t\t\t' + ZAIMU
"""The offices of one member to the service of another one."""
ADMITTED = '"seg5" . 10.2.64.0/24 . 172.16.0.196 . 443 comment'


def test_a_way_between_two_members_at_the_gateway_alone_is_held_back_by_the_receiver() -> None:
    found = audit(GATEWAY, ZAIMU, FOREIGN)
    violation = next(v for v in found.violations if v.packet and v.packet.state == "new")
    assert (violation.kind, violation.severity) == ("not_declared", "major")
    assert (violation.source, violation.target) == ("office:nishiki/lgwan", "service:zaimu-tsuno")
    assert str(violation.packet) == "tcp 10.1.64.0 -> 172.16.0.196:443"
    assert violation.rule is not None
    assert violation.rule.startswith("dc1-gw1a: inet kumiai forward 5: ct state 8 ")
    assert violation.rule.endswith(", element seg6 . 10.1.64.0/24 . seg5 . 172.16.0.196 . 443")
    assert violation.path[1:4] == ("seg6 (nishiki-backup-lgwan)", "dc1-gw1a forward", "seg5 (dc1-tsuno-lgwan)")
    assert ("office:nishiki/lgwan", "service:zaimu-tsuno") not in {(p.source, p.target) for p in found.pairs}


def test_a_way_between_two_members_through_all_filters_is_critical_and_a_pair_without_a_flow() -> None:
    open_too = f'"seg5" . 10.1.64.0/24 . 172.16.0.196 . 443,\n\t\t\t{ADMITTED}'
    found = audit(GATEWAY, ZAIMU, FOREIGN, (NODE, ADMITTED, open_too))
    assert ("critical", GATEWAY) in {(v.severity, (v.rule or "").partition(":")[0]) for v in found.violations}
    (pair,) = [p for p in found.pairs if (p.source, p.target) == ("office:nishiki/lgwan", "service:zaimu-tsuno")]
    (passing,) = pair.passing
    assert passing.flow is None
    assert passing.path == ("office:nishiki/lgwan", GATEWAY, "service:zaimu-tsuno")
    assert [(r.protocol, r.sources, r.destinations, r.ports) for r in passing.packets] == [
        ("tcp", "10.1.64.0/24", "172.16.0.196", "443")
    ]
    status = {control.id: control.status for control in found.controls}
    assert (status["TZ-6"], status["CLD.9.5.1"], status["CLD.13.1.4"]) == ("not_met", "not_met", "not_met")
    assert status["TZ-1"] == "met", "the mynumber zone is not concerned"


def test_a_source_that_is_not_compared_is_spoofable() -> None:
    found = audit(GATEWAY, ZAIMU, ZAIMU.replace("10.2.64.0/24", "10.2.64.0/23"))
    violation = next(v for v in found.violations if v.packet and v.packet.state == "new")
    assert (violation.kind, violation.source) == ("spoofable", "line:tsuno-backup-lgwan")
    assert str(violation.packet) == "tcp 10.2.65.0 -> 172.16.0.196:443"


def test_what_only_the_route_holds_back_is_minor() -> None:
    found = audit(GATEWAY, ZAIMU, ZAIMU.replace("172.16.0.196", "198.51.100.0/24"))
    violation = next(v for v in found.violations if v.packet and v.packet.state == "new")
    assert (violation.severity, violation.packet and violation.packet.destination) == ("minor", "198.51.100.0")
    assert "no route leads there" in violation.reason


def test_ipv6_that_passes_is_found() -> None:
    before = 'forward priority filter; policy drop;\n\t\tmeta nfproto ipv6 counter drop comment "the plan has no IPv6"'
    found = audit(GATEWAY, before, "forward priority filter; policy drop;\n\t\tmeta nfproto ipv6 accept")
    assert {v.kind for v in found.violations} == {"ipv6"}


def test_a_declared_flow_that_is_stopped_is_missing_with_the_rule_that_stops_it() -> None:
    found = audit(NODE, "ct state new iifname . ip saddr . ip daddr . tcp dport @admitted_tcp accept", "")
    assert found.violations == ()
    missing = {str(m.flow): m for m in found.missing}
    stopped = missing["office:tsuno/lgwan -> service:zaimu@tsuno"]
    assert (stopped.packet.protocol, stopped.packet.port, stopped.packet.destination) == ("tcp", 443, "172.16.0.196")
    assert stopped.rule is not None
    assert stopped.rule.startswith("zaimu-tsuno-ap1: inet kumiai input")
    assert "station:dc1 -> zaimu-tsuno-ap1" in missing
    assert ("office:tsuno/lgwan", "service:zaimu-tsuno") not in {(p.source, p.target) for p in found.pairs}


def test_answers_that_are_stopped_are_missing() -> None:
    found = audit(GATEWAY, "ct state established iifname . ip saddr @partners accept", "")
    assert {m.packet.state for m in found.missing} == {"established"}
    assert len({str(m.flow) for m in found.missing}) == 5


def test_a_card_of_another_member_in_an_open_connection_is_found() -> None:
    found = audit(GATEWAY, "ct state established iifname . ip saddr @partners accept", "ct state established accept")
    assert found.verdict == "fail"
    assert {v.packet.state for v in found.violations if v.packet} == {"established"}


def test_rules_that_nobody_needs_are_listed_and_are_no_violation() -> None:
    last = 'comment "not in the plan"\n\t}\n\n\t# A gateway stands'
    found = audit(GATEWAY, last, last.replace("\t}", "\t\ttcp dport 22 accept\n\t}"))
    assert found.verdict == "pass"
    (unused,) = found.unused_rules
    assert (unused.machine, unused.reason) == (GATEWAY, "no packet can come to it")
    assert unused.rule.endswith("tcp dport 22 accept")


def test_the_document_has_the_fixed_form() -> None:
    found = document(audit(GATEWAY, ZAIMU, FOREIGN))
    fixed = "format stack level digest verdict examined violations missing unused_rules controls"
    assert list(found)[:10] == fixed.split()
    assert {"pairs", "rules", "packet_classes", "probes"} <= set(found["examined"])
    assert set(found["violations"][0]) == {
        "kind", "severity", "level", "from", "to", "packet", "path", "rule", "reason",
    }  # fmt: skip
    assert {"protocol", "source", "destination", "port"} <= set(found["violations"][0]["packet"])
    assert set(found["controls"][0]) == {"id", "title", "status", "evidence"}


def test_every_stack_of_the_project_passes() -> None:
    for path in sorted(pathlib.Path(demo.STACK.parent).glob("*.yaml")):
        if path.suffixes == [".yaml"] and not path.stem.startswith("Pulumi"):
            found = check.audit_rules(listings.plan(path.stem), listings.listings(path.stem))
            assert (found.verdict, found.violations, found.missing) == ("pass", (), ()), path.stem

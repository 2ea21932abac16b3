"""Addresses that gateways rewrite: judged at everybody's own addresses, and only where a line declares it."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping
from ipaddress import IPv4Address

import pytest

from infra.audit import check
from infra.audit.model import Audit, Listing
from infra.plan.model import Plan
from network import ports
from network.model import Flow
from tests.audit import listings
from tests.network.render import test_translation as stack

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")


@functools.cache
def plan() -> Plan:
    """Two members with the same LAN, of which one is translated, and a service that one line shows elsewhere."""
    first = stack.planned(stack.SOURCES)
    inside = first.plan.network.segment_by_name[stack.SEGMENT].prefix
    shown = [stack.translation(name, "m1", inside, stack.SHOWN, "destination") for name in ("lgwan", "vpn")]
    return stack.planned([*stack.SOURCES, *shown], first.lock).plan


@functools.cache
def both_ways() -> Plan:
    """The service prints in both members' offices too."""
    told = {
        "kind": "specific",
        "reason": "帳票の印刷",
        "approved_by": "情報政策課",
        "expires": datetime.date(2030, 3, 31),
    }
    port = (ports.parse("tcp/9100"),)
    printing = [
        Flow(source=f"service:juki@{m}", target=f"office:{m}/mynumber", allow=port, **told)  # type: ignore[arg-type]
        for m in ("m1", "m2")
    ]
    network = plan().network
    return dataclasses.replace(plan(), network=dataclasses.replace(network, flows=(*network.flows, *printing)))


@functools.cache
def rules() -> Mapping[str, Listing]:
    return listings.listings_of(plan().network)


def audit(*changes: tuple[str, str, str]) -> Audit:
    return check.audit_rules(both_ways(), listings.listings_of(both_ways().network, *changes))


def test_declared_translations_pass_and_lose_no_pair() -> None:
    found = check.audit_rules(plan(), rules())
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    reached = {(pair.source, pair.target) for pair in found.pairs}
    assert {("office:m1/mynumber", "service:juki"), ("office:m2/mynumber", "service:juki")} <= reached


def test_a_translation_that_no_line_declares_is_found_with_the_packet_before_and_after() -> None:
    gateway = "dc1-gw2a"
    given = listings.listings_of(plan().network, (gateway, str(stack.SEEN), "203.0.112.0/20"))
    found = check.audit_rules(plan(), given)
    violation = next(v for v in found.violations if v.kind == "translation")
    assert violation.packet is not None
    assert violation.packet.translated is not None
    assert violation.packet.source == str(stack.LAN[0])
    assert violation.packet.translated.source == "203.0.112.0"
    assert violation.path[-1] == "dc1-gw2a postrouting"
    assert "snat to iifname . ip saddr map @translated_sources" in (violation.rule or "")


def test_a_service_reaches_offices_at_their_own_addresses_behind_the_gateway() -> None:
    found = audit()
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    ways = {
        (pair.source, pair.target, one.destinations, pair.passing[0].path[1])
        for pair in found.pairs
        if pair.target.startswith("office:")
        for passing in pair.passing
        for one in passing.packets
    }
    assert ways == {("juki-ap1", f"office:m{n}/mynumber", str(stack.LAN), f"dc1-gw{n}a") for n in (1, 2)}


SOURCES, SERVICES = (f"snat ip prefix to {side}ifname . ip saddr map @translated_" for side in "io")
TARGETS = "dnat ip prefix to iifname . ip daddr map @translated_targets"


@pytest.mark.parametrize(
    ("gateway", "rule", "packets"),
    [
        ("dc1-gw2a", f"{SOURCES}sources", {("office_access", "10.1.0.0", "source", "10.9.0.0")}),
        ("dc1-gw2a", TARGETS, {("specific", "10.9.0.0", "destination", "10.1.0.0")}),
        (
            "dc1-gw1a",
            TARGETS,
            {("office_access", str(stack.shown_vip()), "destination", str(stack.vip()))},
        ),
        ("dc1-gw1a", f"{SERVICES}services", {("specific", "own", "source", "shown")}),
    ],
)
def test_a_declared_translation_that_is_not_done_is_missing(
    gateway: str, rule: str, packets: set[tuple[str, str, str, str]]
) -> None:
    found = audit((gateway, rule, ""))
    own = str(both_ways().network.node_by_name["juki-ap1"].interface(stack.SEGMENT).address.ip)
    prefix = both_ways().network.segment_by_name[stack.SEGMENT].prefix
    shown = str(stack.SHOWN[int(IPv4Address(own)) - int(prefix[0])])
    told = set()
    for missing in found.missing:
        after = missing.packet.translated
        if after is not None:
            kind = "source" if after.source != missing.packet.source else "destination"
            told.add((missing.flow.kind, getattr(missing.packet, kind), kind, getattr(after, kind)))
    assert told == {tuple({"own": own, "shown": shown}.get(text, text) for text in one) for one in packets}


def test_a_translation_at_the_card_of_another_line_is_found() -> None:
    """Only the lines that the plan names show a service elsewhere."""
    card = both_ways().network.node_by_name["dc1-gw2a"].interface(stack.SEGMENT).name
    line = both_ways().network.node_by_name["dc1-gw2a"].interface("m2-main-mynumber").name
    seen = f'"{card}" . {stack.SEEN} : {stack.LAN}'
    found = audit(("dc1-gw2a", seen, f'{seen},\n\t\t\t"{line}" . {stack.SEEN} : {stack.LAN}'))
    assert {(v.kind, v.severity) for v in found.violations} == {("translation", "critical")}

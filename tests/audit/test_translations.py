"""Addresses that gateways rewrite: judged at everybody's own addresses, and only where a line declares it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pytest

from infra.audit import check, sandbox
from infra.audit.model import Listing
from infra.plan.model import Plan
from network.render import nftables, render_all
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
def rules() -> Mapping[str, Listing]:
    texts = {name: files[nftables.RULES] for name, files in render_all(plan().network).items()}
    return sandbox.load_texts(texts, {node.name: [c.name for c in node.interfaces] for node in plan().network.nodes})


def test_declared_translations_pass_and_lose_no_pair() -> None:
    found = check.audit_rules(plan(), rules())
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    reached = {(pair.source, pair.target) for pair in found.pairs}
    assert {("office:m1/mynumber", "service:juki"), ("office:m2/mynumber", "service:juki")} <= reached


def test_a_translation_that_no_line_declares_is_found_with_the_packet_before_and_after() -> None:
    gateway = "dc1-gw2a"
    text = render_all(plan().network)[gateway][nftables.RULES]
    other = text.replace(str(stack.SEEN), "203.0.112.0/20")
    assert other != text
    cards = [card.name for card in plan().network.node_by_name[gateway].interfaces]
    given = {**rules(), **sandbox.load_texts({gateway: other}, {gateway: cards})}
    found = check.audit_rules(plan(), given)
    violation = next(v for v in found.violations if v.kind == "translation")
    assert violation.packet is not None
    assert violation.packet.translated is not None
    assert violation.packet.source == str(stack.LAN[0])
    assert violation.packet.translated.source == "203.0.112.0"
    assert violation.path[-1] == "dc1-gw2a postrouting"
    assert "snat to iifname . ip saddr map @translated_sources" in (violation.rule or "")

"""A link between two members that the rules themselves close: judged for the moment of the audit."""

from __future__ import annotations

import datetime
import functools
import time

import pytest

from infra.audit import check, sandbox
from infra.audit.model import Audit
from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.render import nftables, render_all
from tests.audit import listings
from tests.network.render import test_timed_links as stack
from tests.plan import factory

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")


@functools.cache
def plan() -> Plan:
    flows = [stack.flow(stack.TARGET, "tcp/443", "icmp")]
    declared = Declaration.model_validate(factory.data(2, [factory.service("zaimu")], flows=flows))
    lock = Lock(stack="link")
    return builder.build("link", declared, lock, stack.DAY, clock=time.perf_counter, links=(stack.link(),)).plan


def audit(after_the_end: datetime.timedelta) -> Audit:
    texts = {name: files[nftables.RULES] for name, files in render_all(plan().network).items()}
    cards = {node.name: [card.name for card in node.interfaces] for node in plan().network.nodes}
    return check.audit_rules(plan(), sandbox.load_texts(texts, cards), now=stack.END + after_the_end)


def test_an_open_link_passes_and_says_who_reaches_whom() -> None:
    found = audit(-datetime.timedelta(hours=1))
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    (pair,) = [p for p in found.pairs if (p.source, p.target) == ("office:m1/lgwan", "service:zaimu-m2")]
    assert {(r.protocol, r.ports) for passing in pair.passing for r in passing.packets} == {
        ("tcp", "443"),
        ("icmp", "8"),
    }
    assert {passing.flow.kind for passing in pair.passing if passing.flow} == {"mutual_support"}


def test_past_its_end_a_plan_that_still_opens_it_is_found() -> None:
    found = audit(datetime.timedelta(hours=1))
    assert found.verdict == "fail"
    assert ("office:m1/lgwan", "service:zaimu-m2") not in {(p.source, p.target) for p in found.pairs}

"""The model by the rules of the domain: plans that break one rule each."""

from __future__ import annotations

import dataclasses
import datetime
from ipaddress import IPv4Interface

import pytest

from infra.audit import against, check, declared
from infra.audit.model import Audit
from infra.plan.model import Plan
from network import flows, ports
from network.model import Flow, NetworkPlan
from network.zones import SecurityModel
from tests.audit import listings, test_translations
from tests.network.render import test_outside, test_tunnels, tunnels

ALPHA: dict[str, SecurityModel] = {"nishiki": "alpha", "tsuno": "alpha"}


def with_network(**changes: object) -> Plan:
    plan = listings.plan()
    return dataclasses.replace(plan, network=dataclasses.replace(plan.network, **changes))  # type: ignore[arg-type]


def with_flow(source: str, target: str, kind: str, **more: object) -> Plan:
    flow = Flow(
        source=source,
        target=target,
        allow=(ports.parse("tcp/443"),),
        kind=kind,
        reason="試験",
        **{"approved_by": "課", "expires": datetime.date(2030, 3, 31), **more},  # type: ignore[arg-type]
    )
    return with_network(flows=(*listings.plan().network.flows, flow))


def kinds(found: Audit) -> list[tuple[str, str]]:
    return [(violation.kind, violation.reason) for violation in found.violations]


@pytest.mark.parametrize("stack", ["demo", "nishiki", "same-business", "per-municipality", "mixed", "multi-tenant"])
def test_the_stacks_of_the_project_keep_the_rules(stack: str) -> None:
    plan = listings.plan(stack)
    found = check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))
    assert (found.verdict, found.violations) == ("pass", ())
    assert found.examined.pairs == len(found.endpoints) * (len(found.endpoints) - 1)
    assert sum(len(one.endpoints) for one in found.classes) == len(found.endpoints)


@pytest.mark.parametrize(
    "stack",
    [
        "demo", "nishiki", "same-business", "per-municipality", "mixed", "multi-tenant",
        tunnels.planned(**test_tunnels.DECLARED), test_outside.plan(), test_translations.plan(),
    ],
    ids=lambda stack: stack if isinstance(stack, str) else f"plan {stack.stack}",
)  # fmt: skip
def test_what_is_declared_is_read_alike_by_the_audit_and_by_the_renderer(stack: str | Plan) -> None:
    """Two readings of the same rules, written apart: every single connection is in both."""
    network = (listings.plan(stack) if isinstance(stack, str) else stack).network
    places = {handoff.segment: declared.inside(handoff) for line in network.lines for handoff in line.handoffs}
    mine = {
        (segment, source, one.target_segment, one.target, one.protocol, one.ports)
        for one in declared.declared(network).allowed
        if not one.each_packet and one.target is not None and one.flow.kind != "tunnel"
        for segment in one.source_segments
        for source in one.sources
    }
    theirs = {
        (
            places.get(a.source_segment, a.source_segment),
            a.source,
            places.get(a.target_segment, a.target_segment),
            a.target,
            declared.PROTOCOLS[a.ports.protocol],
            span(a.ports),
        )
        for a in flows.resolve(network).accepts
    }
    assert mine == theirs


def span(allow: ports.PortRange) -> tuple[int, int] | None:
    return None if allow.protocol == "icmp" else (allow.first, allow.last)


@pytest.mark.parametrize(
    ("source", "target", "kind", "violation", "reason"),
    [
        ("office:nishiki/mynumber", "service:zaimu@nishiki", "sanitized", "zone_rule", "does not cover"),
        ("office:nishiki/lgwan", "service:zaimu@tsuno", "specific", "member_rule", "TZ-6"),
        ("office:nishiki/lgwan", "service:zaimu@tsuno", "office_access", "zone_rule", "leaves its zone or its members"),
        ("office:nishiki/lgwan", "service:juki@nishiki", "office_access", "zone_rule", "leaves its zone"),
        ("office:nishiki/lgwan", "service:zaimu@nishiki", "because", "zone_rule", "not among the zone rules"),
    ],
)
def test_a_flow_against_the_zone_rules_is_found(
    source: str, target: str, kind: str, violation: str, reason: str
) -> None:
    found = check.audit_declared(with_flow(source, target, kind), ALPHA)
    assert found.verdict == "fail"
    assert any(k == violation and reason in why for k, why in kinds(found)), kinds(found)


def test_a_flow_that_ended_and_is_open_is_found() -> None:
    plan = with_flow("office:nishiki/lgwan", "service:zaimu@nishiki", "specific", expires=datetime.date(2026, 3, 31))
    assert ("flow_expired", "open, though it ended on 2026-03-31") in kinds(check.audit_declared(plan, ALPHA))


def test_what_ends_soon_is_listed() -> None:
    last = listings.plan().as_of + check.EXPIRES_SOON
    plan = with_flow("office:nishiki/lgwan", "service:zaimu@nishiki", "specific", expires=last)
    found = check.audit_declared(plan, ALPHA)
    assert [(str(flow), flow.expires) for flow in found.expiring] == [
        ("office:nishiki/lgwan -> service:zaimu@nishiki", last)
    ]
    assert found.verdict == "pass"


def test_an_end_without_addresses_is_not_passed_over() -> None:
    plan = with_flow("network:nowhere", "service:zaimu@nishiki", "specific")
    reason = "the flow cannot be examined: no closed network says at which addresses it reaches network:nowhere"
    assert ("not_examined", reason) in kinds(check.audit_declared(plan, ALPHA))


def test_a_way_between_segments_that_no_gateway_joins_is_not_passed_over() -> None:
    network = listings.plan().network
    lines = {segment.name for segment in network.segments if segment.kind == "line"}
    nodes = tuple(
        dataclasses.replace(node, interfaces=tuple(card for card in node.interfaces if card.segment not in lines))
        for node in network.nodes
    )
    vips = tuple(vip for vip in network.vips if vip.segment not in lines)
    plan = with_network(nodes=nodes, vips=vips)
    crossing = {flow.target for flow in network.flows if flow.source.startswith("office:")}
    found = [why for kind, why in kinds(check.audit_declared(plan, ALPHA)) if kind == "not_examined"]
    assert len(found) >= len(crossing) > 0
    assert all("no gateway stands on both" in why for why in found)


def moved(network: NetworkPlan, node: str, segment: str) -> NetworkPlan:
    """Put the second card of a machine on another segment."""
    prefix = network.segment_by_name[segment].prefix
    nodes = [
        dataclasses.replace(
            one,
            interfaces=(
                one.interfaces[0],
                dataclasses.replace(
                    one.interfaces[1], segment=segment, addresses=(IPv4Interface(f"{prefix[-2]}/{prefix.prefixlen}"),)
                ),
            ),
        )
        if one.name == node
        else one
        for one in network.nodes
    ]
    return dataclasses.replace(network, nodes=tuple(nodes), endpoints=(), flows=(), vips=())


@pytest.mark.parametrize(
    ("node", "segment", "reason"),
    [
        ("zaimu-tsuno-ap1", "dc1-nishiki-lgwan", "it serves tsuno too"),
        ("juki-db1", "dc1-nishiki-lgwan", "the machine belongs to zone mynumber"),
        ("juki-db1", "tsuno-main-mynumber", "only gateways stand on such a segment"),
    ],
)
def test_a_card_on_a_strange_segment_is_found(node: str, segment: str, reason: str) -> None:
    plan = dataclasses.replace(listings.plan(), network=moved(listings.plan().network, node, segment))
    assert ("misplaced_card", f"card on {segment}: {reason}") in kinds(check.audit_declared(plan, ALPHA))


def test_one_address_of_two_machines_is_found() -> None:
    network = listings.plan().network
    one, other = network.node_by_name["juki-ap1"], network.node_by_name["juki-ap2"]
    twin = dataclasses.replace(other, interfaces=(other.interfaces[0], one.interfaces[1]))
    nodes = tuple(twin if node.name == "juki-ap2" else node for node in network.nodes)
    plan = dataclasses.replace(listings.plan(), network=dataclasses.replace(network, nodes=nodes))
    assert "ambiguous_address" in {k for k, _ in kinds(check.audit_declared(plan, ALPHA))}


def test_two_step_ways_through_a_service_for_all_are_listed() -> None:
    found = check.audit_declared(listings.plan(), ALPHA)
    assert [(step.source, step.through, step.target, step.zones) for step in found.two_steps] == [
        ("office:nishiki/mynumber", "service:juki", "service:zaimu-tsuno", ("lgwan", "mynumber")),
        ("office:tsuno/mynumber", "service:juki", "service:zaimu-nishiki", ("lgwan", "mynumber")),
    ]


def test_against_names_exactly_the_pairs_that_changed() -> None:
    before = listings.plan()
    after = with_flow("office:nishiki/mynumber", "service:zaimu@nishiki", "specific")
    (change,) = against.changes(before, after)
    assert (change.source, change.target) == ("office:nishiki/mynumber", "service:zaimu-nishiki")
    assert [(r.protocol, r.sources, r.ports) for r in change.gained] == [("tcp", "10.1.0.0/24", "443")]
    assert change.lost == ()
    (back,) = against.changes(after, before)
    assert (back.gained, back.lost) == ((), change.gained)
    assert against.changes(before, before) == ()

"""The plan: deterministic, stable against the lock, and complete."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import tenancy
from infra.configure import database
from infra.declaration.links import Link
from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan import lock as lock_file
from infra.plan.document import document
from infra.plan.lock import Lock
from infra.secrets import generate
from infra.tenancy import gateways
from network.errors import InputError
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
THREE_KINDS = [
    factory.service("juki", "multi_tenant", "mynumber"),
    factory.service("zaimu", "mixed", "lgwan"),
    factory.service("jinji", "mixed", "lgwan"),
]


def built(declared: Declaration, lock: Lock | None = None, as_of: datetime.date = DAY) -> builder.Built:
    return builder.build("test", declared, lock or Lock(stack="test"), as_of, clock=lambda: 0.0)


def cards(result: builder.Built) -> dict[tuple[str, str], tuple[str, str, str]]:
    """(node, segment) → address, MAC and name inside the node."""
    return {
        (node.name, card.segment): (str(card.address), card.mac, card.name)
        for node in result.plan.network.nodes
        for card in node.interfaces
    }


def test_same_input_gives_the_same_document() -> None:
    declared = factory.declaration(services=THREE_KINDS)
    assert document(built(declared).plan) == document(built(declared).plan)


def test_a_second_plan_over_the_lock_changes_nothing() -> None:
    declared = factory.declaration(services=THREE_KINDS)
    first = built(declared)
    second = built(declared, first.lock)
    assert not second.changed
    assert second.lock == first.lock
    assert document(second.plan) == document(first.plan)


def test_the_day_is_part_of_the_digest() -> None:
    declared = factory.declaration()
    digests = {document(built(declared, as_of=DAY + datetime.timedelta(days=n)).plan)["digest"] for n in range(3)}
    assert len(digests) == 3


def test_the_measured_time_is_not_part_of_the_digest() -> None:
    declared = factory.declaration()
    ticks = itertools.count(step=0.7)
    slow = builder.build("test", declared, Lock(stack="test"), DAY, clock=lambda: next(ticks))
    assert slow.plan.placement.seconds == 0.7
    assert document(slow.plan)["digest"] == document(built(declared).plan)["digest"]


def test_a_lock_reads_back_as_written() -> None:
    lock = built(factory.declaration(services=THREE_KINDS)).lock
    assert lock_file.parse(lock_file.dump(lock), "test.lock.yaml", "test") == lock


@settings(deadline=None, max_examples=25)
@given(order=st.permutations([1, 2, 3, 4, 5]), start=st.integers(min_value=1, max_value=4))
def test_nothing_moves_when_members_join_in_any_order(order: list[int], start: int) -> None:
    lock, before = Lock(stack="test"), dict[tuple[str, str], tuple[str, str, str]]()
    hosts: dict[str, str] = {}
    for count in range(start, 6):
        result = built(factory.declaration(sorted(order[:count]), services=THREE_KINDS), lock)
        now = cards(result)
        assert {key: now[key] for key in before} == before
        placed = {node.name: node.host for node in result.plan.nodes}
        assert {name: placed[name] for name in hosts} == hosts
        lock, before, hosts = result.lock, now, placed
    assert len(before) > 20, "an empty plan would have passed"


@settings(deadline=None, max_examples=25)
@given(numbers=st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True))
def test_no_two_segments_overlap_and_no_address_is_used_twice(numbers: list[int]) -> None:
    network = built(factory.declaration(numbers, services=THREE_KINDS, hosts=6)).plan.network
    prefixes = [segment.prefix for segment in network.segments]
    offices = [prefix for office in network.offices for prefix in office.prefixes]
    for one, other in itertools.combinations([*prefixes, *offices], 2):
        assert not one.overlaps(other)
    own = [card.address.ip for node in network.nodes for card in node.interfaces]
    everything = [*own, *(vip.address.ip for vip in network.vips), *(a.ip for a in network.stations.values())]
    assert len(everything) > 2 * len(numbers)
    assert len(set(everything)) == len(everything)
    macs = [card.mac for node in network.nodes for card in node.interfaces]
    assert len(set(macs)) == len(macs)
    names = [(vip.segment, vip.vrid) for vip in network.vips if vip.name.startswith("service/")]
    assert len(set(names)) == len(names)
    assert all(len(segment.bridge) <= 15 for segment in network.segments)
    assert all(len(card.name) <= 15 for node in network.nodes for card in node.interfaces)


def test_a_freed_address_stays_unused_for_some_generations() -> None:
    both = factory.declaration(services=[factory.service("a"), factory.service("b")])
    lock = built(both).lock
    freed = lock.book.segments["dc1-m1-lgwan"].addresses["a-m1-ap1"]
    only_b = built(factory.declaration(services=[factory.service("b")]), lock)
    with_c = built(factory.declaration(services=[factory.service("b"), factory.service("c")]), only_b.lock)
    assert with_c.lock.book.segments["dc1-m1-lgwan"].addresses["c-m1-ap1"] != freed
    assert str(freed) in {entry.value for entry in with_c.lock.book.quarantine}


def test_a_node_that_comes_back_gets_the_next_generation() -> None:
    """A volume name carries the generation, so the data of the removed node is never taken over."""
    both = factory.declaration(services=[factory.service("a"), factory.service("b")])
    without = factory.declaration(services=[factory.service("b")])
    lock = built(without, built(both).lock).lock
    again = built(both, lock)
    assert again.plan.node_by_name["a-m1-ap1"].generation == 2
    assert again.plan.node_by_name["b-m1-ap1"].generation == 1


def test_implied_flows_stay_inside_a_zone_and_a_member() -> None:
    network = built(factory.declaration(services=THREE_KINDS)).plan.network
    access = {(flow.source, flow.target) for flow in network.flows if flow.kind == "office_access"}
    assert access == {
        ("office:m1/mynumber", "service:juki"),
        ("office:m2/mynumber", "service:juki"),
        ("office:m1/lgwan", "service:zaimu@m1"),
        ("office:m2/lgwan", "service:zaimu@m2"),
        ("office:m1/lgwan", "service:jinji@m1"),
        ("office:m2/lgwan", "service:jinji@m2"),
    }


def test_a_flow_past_its_date_is_left_out_and_reported() -> None:
    flow: dict[str, Any] = {
        "from": "service:juki@each_member",
        "to": "service:zaimu",
        "allow": ["tcp/8443"],
        "kind": "specific",
        "reason": "収納連携",
        "approved_by": "情報政策課",
        "expires": "2026-03-31",
    }
    declared = factory.declaration(services=THREE_KINDS, flows=[flow])
    last_day, after = built(declared, as_of=datetime.date(2026, 3, 31)).plan, built(declared).plan
    assert [f.kind for f in last_day.network.flows if f.kind == "specific"] == ["specific"]
    assert not last_day.expired
    assert not [f for f in after.network.flows if f.kind == "specific"]
    assert after.expired == ("flows[0]: service:juki@each_member → service:zaimu expired on 2026-03-31",)


def test_service_nodes_reach_only_the_offices_of_their_members() -> None:
    network = built(factory.declaration(services=THREE_KINDS)).plan.network
    assert [str(r.prefix) for r in network.node_by_name["zaimu-m1-ap1"].routes] == ["10.1.16.0/20"]
    assert [str(r.prefix) for r in network.node_by_name["juki-ap1"].routes] == ["10.1.0.0/20", "10.2.0.0/20"]


@pytest.mark.parametrize(
    ("kind", "source", "answered"),
    [("specific", "office:m1/mynumber", "10.1.0.0/20"), ("mutual_support", "office:m2/lgwan", "10.2.16.0/20")],
)
def test_a_service_answers_the_offices_that_a_declared_flow_lets_in(kind: str, source: str, answered: str) -> None:
    """Without the route its packets would go nowhere: nodes have no default route."""
    flow: dict[str, Any] = {
        "from": source,
        "to": "service:zaimu@m1",
        "allow": ["tcp/443"],
        "kind": kind,
        "reason": "理由",
        "approved_by": "情報政策課",
        "expires": "2030-03-31",
    }
    opened = Link.model_validate(
        {
            "from": source,
            "to": "service:zaimu@m1",
            "requested_by": "m2",
            "event": "台風",
            "scope": "証明書",
            "opened_at": "2026-03-31T10:00+09:00",
            "until": "2026-04-02T10:00+09:00",
        }
    )
    declared = factory.declaration(services=THREE_KINDS, flows=[flow])
    plan = builder.build("test", declared, Lock(stack="test"), DAY, clock=lambda: 0.0, links=[opened]).plan
    routes = {str(r.prefix): r.via for r in plan.network.node_by_name["zaimu-m1-ap1"].routes}
    assert set(routes) == {"10.1.16.0/20", answered}
    assert len(set(routes.values())) == 1
    closed = builder.build("test", declared, Lock(stack="test"), DAY, clock=lambda: 0.0).plan
    still = {str(r.prefix) for r in closed.network.node_by_name["zaimu-m1-ap1"].routes}
    assert (answered in still) == (kind == "specific")


def test_a_gateway_has_at_most_24_cards() -> None:
    network = built(factory.declaration(12, services=THREE_KINDS, hosts=8)).plan.network
    nodes = [node for node in network.nodes if node.role == "gateway"]
    assert len(nodes) > 2
    assert max(len(node.interfaces) for node in nodes) <= 24
    served = sorted(member for node in nodes for member in node.members)
    assert served == sorted([f"m{number}" for number in range(1, 13)] * 2), "every member has exactly one pair"


def test_the_two_gateways_of_a_pair_share_all_segments_and_never_a_host() -> None:
    plan = built(factory.declaration(3, services=THREE_KINDS)).plan
    one, other = (node for node in plan.network.nodes if node.role == "gateway")
    assert (one.name, other.name) == ("dc1-gw1a", "dc1-gw1b")
    assert one.segments == other.segments
    assert plan.node_by_name[one.name].host != plan.node_by_name[other.name].host
    assert plan.node_by_name[one.name].replica_sets == plan.node_by_name[other.name].replica_sets == ("dc1-gw1",)
    shared = [vip for vip in plan.network.vips if not vip.name.startswith("service/")]
    assert {(vip.nodes, vip.vrid) for vip in shared} == {((one.name, other.name), shared[0].vrid)}
    assert {vip.segment for vip in shared} == set(one.segments) - {"dc1-management", "dc1-gw1-sync"}


def test_members_with_the_same_office_addresses_have_different_gateways() -> None:
    """Source translation makes such a declaration valid; one machine has one route to a prefix."""
    data = factory.data(3, services=[factory.service("zaimu")])
    data["members"][1]["offices"][0]["zones"]["lgwan"] = ["10.1.24.0/24"]  # inside the first member's
    declared = Declaration.model_validate(data)
    first = built(declared)
    assert first.lock.gateways == {"dc1-gw1": ("m1", "m3"), "dc1-gw2": ("m2",)}
    moved = dataclasses.replace(first.lock, gateways={"dc1-gw1": ("m1", "m2", "m3")})
    instances = tenancy.expand(declared, DAY)
    assert {s.name: s.members for s in gateways.plan_shards(declared, instances, moved.gateways)} == first.lock.gateways


def test_a_hand_off_for_all_zones_of_a_line_has_one_pair_of_gateways() -> None:
    """It has two local addresses: a second pair would have the same ones."""
    data = factory.data(1, services=[factory.service("zaimu"), factory.service("koho", zone="internet")])
    data["members"] = [factory.member(1, ("mynumber", "lgwan", "internet"))]
    apart = {"separation": "prefix", "separation_reason": "事業者の引渡しが一つ"}
    data["lines"] = [
        {**factory.line(1), **apart},
        {**factory.line(1, "backup", ("internet",)), "id": "m1-net", "role": "main", **apart},
    ]
    network = built(Declaration.model_validate(data)).plan.network
    attached = {
        segment: sorted(node.name for node in network.nodes if segment in node.segments)
        for segment in ("m1-main-all", "m1-net-all")
    }
    assert attached == {"m1-main-all": ["dc1-gw1a", "dc1-gw1b"], "m1-net-all": ["dc1-igw1a", "dc1-igw1b"]}
    used = [address for node in network.nodes for card in node.interfaces for address in card.addresses]
    assert len(used) == len(set(used))


def test_a_gateway_has_static_routes_only_where_neither_bgp_nor_bfd_leads() -> None:
    """The others are FRR's: two programs for one route would not notice the dead line."""
    value: dict[str, Any] = {
        "prefix": "192.0.2.0/29",
        "peer": "192.0.2.1",
        "local": ["192.0.2.2", "192.0.2.3"],
        "vip": "192.0.2.4",
    }
    ways: dict[str, dict[str, Any]] = {
        "static": {"routing": "static"},
        "watched": {"routing": "static", "bfd": True},
        "bgp": {"routing": "bgp", "peer_as": 64600, "local_as": 65010},
    }
    found = {}
    for name, way in ways.items():
        line = {**factory.line(1, "main", ("lgwan",)), "handoff": {"lgwan": {**value, **way}}}
        declared = factory.declaration(1, services=[factory.service("zaimu")], lines=[line])
        pair = [n for n in built(declared).plan.network.nodes if n.role == "gateway"]
        found[name] = [[(str(r.prefix), str(r.via)) for r in node.routes] for node in pair]
    assert found == {"static": [[("10.1.16.0/20", "192.0.2.1")]] * 2, "watched": [[], []], "bgp": [[], []]}


@pytest.mark.parametrize(
    ("profile", "seconds", "told"),
    [
        # 4 silent intervals and (256 - 190) / 256 of one; 3 × 300 ms and half a second for the new route
        ("standard", {"gateway": 1.28, "line": 1.4}, ""),
        ("emulated", {"gateway": 4.26, "line": 3.5}, " (timers: emulated)"),
    ],
)
def test_recovery_of_gateways_and_lines_follows_the_timers(profile: str, seconds: dict[str, float], told: str) -> None:
    value = {"prefix": "192.0.2.0/29", "peer": "192.0.2.1", "local": ["192.0.2.2", "192.0.2.3"], "vip": "192.0.2.4",
             "routing": "bgp", "peer_as": 64600, "local_as": 65010, "bfd": True}  # fmt: skip
    main = {**factory.line(1, "main", ("lgwan",)), "handoff": {"lgwan": value}}
    without = {**main, "handoff": {"lgwan": {**value, "bfd": False, "hold_s": 9}}}
    for line, entry in ((main, seconds["line"]), (without, 9.5)):
        declared = factory.declaration(
            1,
            services=[factory.service("zaimu")],
            lines=[line, factory.line(1, "backup", ("lgwan",))],
            availability={"spare_hosts": 0, "timers": profile},
        )
        found = {r.layer: r for r in built(declared).plan.recovery}
        assert (found["gateway"].seconds, found["gateway"].target_seconds) == (seconds["gateway"], 2.0)
        assert (found["line"].seconds, found["line"].target_seconds) == (entry, 3.0)
        assert found["gateway"].fault == f"gateway that holds the addresses lost{told}"
    alone = factory.declaration(1, services=[factory.service("zaimu")], lines=[main])
    assert "line" not in {r.layer for r in built(alone).plan.recovery}, "one line alone recovers by nothing"


@pytest.mark.parametrize(
    ("profile", "seconds"),
    [
        # lock 20 s + election 2 × 1 s + its extension 1 s + etcd's look 0.5 s + dead member asked 2 s + promotion 1 s
        # + HAProxy 0.5 s + 1 s; loop 3 s + 0.5 s + 2 s + 1 s + 1.5 s; 4 s + 3 s + 0.5 s + 0.5 s; 0.5 s + 1 s + 1.5 s
        ("standard", (28.0, 8.0, 8.0, 3.0, 43.0)),  # the watchdog's 15 s before the 28 s
        # 90 + 2 × 5 + 5 + 0.5 + 2 + 4 + 2 + 4 s; 10 + 0.5 + 2 + 4 + 6 s; 10 + 10 + 0.5 + 2 s;
        # 2 + 4 + 6 s; the watchdog's 80 s before the 117.5 s
        ("emulated", (117.5, 22.5, 22.5, 12.0, 197.5)),
    ],
)
def test_recovery_of_a_replicated_database_follows_the_timers(profile: str, seconds: tuple[float, ...]) -> None:
    one = {"vcpus": 1, "memory_gib": 1, "disk_gib": 1}
    nodes = {"application": {"count": 1, **one}, "database": {"count": 2, **one}}
    availability = {"spare_hosts": 0, "timers": profile}
    declared = factory.declaration(1, services=[factory.service("zaimu", nodes=nodes)], availability=availability)
    found = [r for r in built(declared).plan.recovery if r.layer == "database"]
    assert tuple(r.seconds for r in found) == seconds
    assert [r.target_seconds for r in found] == [28.0, 8.0, 10.0, 3.0, None]
    if profile == "standard":
        assert all(r.seconds <= r.target_seconds for r in found if r.target_seconds is not None)
    single = factory.declaration(1, services=[factory.service("zaimu")])
    assert not [r for r in built(single).plan.recovery if r.layer == "database"], (
        "of a single server nothing is promised"
    )


def test_a_full_supernet_says_which_segment_has_no_room() -> None:
    declared = factory.declaration(addressing={"supernet": "172.16.0.0/27"})
    with pytest.raises(InputError, match=r"segment dc1-m1-lgwan: no free /26 is left in the supernet 172\.16\.0\.0/27"):
        built(declared)


def test_two_machines_of_one_name_are_refused() -> None:
    declared = factory.declaration(services=[factory.service("a"), factory.service("a-m1", "multi_tenant")])
    with pytest.raises(InputError, match="two machines would have the name a-m1-ap1"):
        built(declared)


def test_a_host_that_the_lock_needs_must_stay_declared() -> None:
    lock = built(factory.declaration()).lock
    used = {entry.host for entry in lock.nodes.values()}
    declared = factory.declaration(hosts=4)
    fewer = declared.model_copy(update={"hosts": tuple(h for h in declared.hosts if h.id not in used)})
    with pytest.raises(InputError, match="does not declare that host any more"):
        built(fewer, lock)


def test_handoffs_of_simulated_lines_come_from_documentation_ranges() -> None:
    documentation = [IPv4Network(p) for p in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    segments = [s for s in built(factory.declaration()).plan.network.segments if s.kind == "line"]
    assert len(segments) == 8
    for segment in segments:
        assert segment.prefix.prefixlen == 29
        assert any(segment.prefix.subnet_of(pool) for pool in documentation)


def test_handoffs_of_simulated_lines_are_routed_by_bgp_with_an_as_number_per_closed_network() -> None:
    declared = factory.declaration()
    numbers = {network.id: 64600 + index for index, network in enumerate(declared.closed_networks)}
    assert len(numbers) == 2
    for line in built(declared).plan.network.lines:
        for handoff in line.handoffs:
            assert (handoff.routing, handoff.peer_as) == ("bgp", numbers[line.closed_network])
            assert (handoff.local_as, handoff.hold_s, handoff.bfd) == (65010, 9, True)


def test_a_common_data_area_is_one_database_with_one_password() -> None:
    services = [
        factory.service("juki", "multi_tenant", data="common"),
        factory.service("zei", "multi_tenant"),
    ]
    declared = factory.declaration(members=2, services=services)
    plan = built(declared).plan
    assert {e.name: e.common_data for e in plan.network.endpoints} == {"juki": True, "zei": False}
    kept = [one for node in plan.nodes for one in database.databases_on(plan.network, node.name)]
    assert sorted(one.name for one in kept) == ["juki", "zei_m1", "zei_m2"]
    assert generate.password_names(plan.network.endpoints) == ("database/juki", "database/zei/m1", "database/zei/m2")
    assert sorted(one.password_name for one in kept) == ["database/juki", "database/zei/m1", "database/zei/m2"]


def test_a_service_stays_on_the_hosts_that_it_names() -> None:
    services = [factory.service("juki", "multi_tenant", hosts=["kvm02"]), factory.service("zei", "multi_tenant")]
    declared = factory.declaration(members=1, services=services, availability={"spare_hosts": 0})
    plan = built(declared).plan
    assert plan.node_by_name["juki-ap1"].host == "kvm02"

"""Whatever the checks of a declaration accept can be planned and rendered, and nft takes the rules."""

from __future__ import annotations

import datetime
import functools
import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.declaration import checks
from infra.declaration.model import Declaration, Flow
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.process import probe
from network import flows, render, zones
from network.render import nftables
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
MORE = {"method": "mail_to_text", "via": "無害化サーバ", "system": "住基ネット"}
NETWORKS = [
    {"id": "lgwan", "kind": "lgwan", "assigned_prefix": "198.18.0.0/20"},
    {"id": "vpn", "kind": "ip_vpn", "reaches": {"juki-net": ["198.18.32.0/28"], "saas": ["198.18.33.0/24"]}},
]
ENDS = [
    *(f"office:m{number}/{zone}" for number in (1, 2) for zone in zones.ZONES),
    *(f"service:{name}{who}" for name in ("shared", "own", "open", "inner") for who in ("", "@m1", "@each_member")),
    "network:lgwan",
    *(f"external:{name}" for name in ("juki-net", "saas", "nowhere", "internet")),
]


def stack(declared: list[dict[str, Any]], gateway: str, gateways: str, separation: str) -> Declaration:
    apart = {"separation": separation}
    if separation == "prefix":
        apart["separation_reason"] = "事業者の引渡しが一つ"
    lines = []
    for number in (1, 2):
        lines += [
            {**factory.line(number), **apart},
            {**factory.line(number, "backup"), **apart},
            {**factory.line(number, "backup", ("internet",)), "id": f"m{number}-net", "role": "main", **apart},
        ]
    services = [
        factory.service("shared", "multi_tenant", "mynumber"),
        factory.service("own"),
        factory.service("open", zone="internet"),
        factory.service("inner", "multi_tenant"),
    ]
    data = factory.data(2, services, hosts=8, closed_networks=NETWORKS, lines=lines, flows=declared)
    data["members"] = [
        {**factory.member(number, zones.ZONES), "model": "alpha_prime", "link_server": "own"} for number in (1, 2)
    ]
    separate: dict[str, str] = {"gateways": gateways}
    if gateways == "shared":
        separate |= {"reason": "試験", "approved_by": "情報政策課"}
    data["availability"] = {"spare_hosts": 0, "gateway": gateway, "zone_separation": separate}
    return Declaration.model_validate(data)


def is_valid(declared: Declaration) -> bool:
    return not list(checks.problems(declared, ids=checks.Ids.of(declared)))


@functools.cache
def valid_flows() -> tuple[dict[str, Any], ...]:
    """Every flow that is valid by itself, of all ends and kinds."""
    bare = stack([], "shared", "separate", "segment")
    assert is_valid(bare)
    found = []
    for source, target, kind in itertools.product(ENDS, ENDS, zones.FLOW_KINDS):
        flow = {"from": source, "to": target, "allow": ["tcp/443"], "kind": kind, "reason": "試験",
                "approved_by": "情報政策課", "expires": "2030-03-31"}  # fmt: skip
        flow |= {str(key): MORE[key] for key in zones.CONDITIONS[kind].requires}
        with_it = bare.model_copy(update={"flows": (Flow.model_validate(flow),)})
        rules = (checks.flows.check_ends, checks.flows.check_zones, checks.flows.check_network_prefixes)
        if not any(list(rule(with_it)) for rule in rules):
            found.append(flow)
    return tuple(found)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_everything_that_validates_renders(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(valid_flows()), max_size=12, unique_by=str))
    gateway = data.draw(st.sampled_from(["shared", "dedicated"]))
    gateways = data.draw(st.sampled_from(["separate", "shared"]))
    declared = stack(chosen, gateway, gateways, data.draw(st.sampled_from(["segment", "prefix"])))
    if not is_valid(declared):
        return
    plan = builder.build("any", declared, Lock(stack="any"), DAY, clock=lambda: 0.0).plan
    resolution = flows.resolve(plan.network)
    labels = {accept.flow for accept in resolution.accepts}
    for flow in plan.network.flows:
        label = f"{flow.source} -> {flow.target}"
        if flow.kind not in flows.FROM_ENDPOINTS:
            assert (label in labels) != ((flow.source, flow.target) in resolution.unopened), "opened, or told why not"
    assert set(render.render_all(plan.network)) == {node.name for node in plan.network.nodes}


@pytest.mark.parametrize("gateways", ["separate", "shared"])
@pytest.mark.parametrize("seed", range(2))
def test_nft_takes_the_rules_of_all_valid_flows_together(gateways: str, seed: int) -> None:
    every = list(valid_flows())
    random.Random(seed).shuffle(every)  # noqa: S311 - an order, no secret
    declared = stack(every, "shared", gateways, "segment")
    plan = builder.build("any", declared, Lock(stack="any"), DAY, clock=lambda: 0.0).plan
    for texts in render.render_all(plan.network).values():
        loaded = probe("unshare", "-rn", "nft", "-f", "-", stdin=texts[nftables.RULES])
        assert loaded.ok, loaded.stderr

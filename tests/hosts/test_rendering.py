"""What the renderer puts on each hypervisor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from ipaddress import IPv4Address

import pytest

from infra.hosts import access, views
from infra.lab import underlay
from network.errors import EnvironmentLackError, InputError
from network.render import hypervisor
from network.render.hypervisor import FLOOD, HostView, TunnelEnd, TunnelView
from tests.conftest import Golden
from tests.lab_unit.small import small_plan, with_host

PLAN = small_plan()
UNDERLAY = {"kvm01": "100.64.0.1", "kvm02": "100.64.0.2", "kvm03": "100.64.0.3", "edge.dc1": "100.64.0.4"}


@pytest.fixture(scope="module")
def planned() -> Mapping[str, HostView]:
    return views.plan_views(PLAN, {})


def tunnel(view: HostView, segment: str) -> TunnelView:
    found = next(bridge.tunnel for bridge in view.bridges if bridge.segment == segment)
    assert found is not None
    return found


def entries(view: HostView, segment: str) -> set[tuple[str, str]]:
    return {(entry.mac, str(entry.underlay)) for entry in tunnel(view, segment).entries}


def test_the_script_is_as_reviewed(golden: Golden, planned: Mapping[str, HostView]) -> None:
    golden.check("hypervisor/kvm01", hypervisor.render(planned["kvm01"]))
    golden.check("hypervisor/kvm02", hypervisor.render(planned["kvm02"]))


def test_the_same_plan_gives_the_same_bytes(planned: Mapping[str, HostView]) -> None:
    again = views.plan_views(small_plan(), {})
    assert {h: hypervisor.render(v) for h, v in again.items()} == {h: hypervisor.render(v) for h, v in planned.items()}


def test_every_host_carries_every_segment_of_its_site(planned: Mapping[str, HostView]) -> None:
    segments = {segment.name for segment in PLAN.network.segments}
    assert len(segments) == 10
    assert {host: {b.segment for b in view.bridges} for host, view in planned.items()} == dict.fromkeys(
        ("kvm01", "kvm02", "kvm03"), segments
    )


def test_interface_names_fit_the_kernel(planned: Mapping[str, HostView]) -> None:
    names = [name for view in planned.values() for name in view.links]
    assert len(names) == 60
    assert max(map(len, names)) <= 15


def test_frames_for_planned_cards_go_to_their_host_and_all_others_to_every_peer(
    planned: Mapping[str, HostView],
) -> None:
    ap1, ap2 = (PLAN.network.node_by_name[name].interface("juki").mac for name in ("ap1", "ap2"))
    flood = {(FLOOD, UNDERLAY["kvm02"]), (FLOOD, UNDERLAY["kvm03"])}
    assert entries(planned["kvm01"], "juki") >= flood
    assert entries(planned["kvm01"], "juki") - flood == {(ap1, UNDERLAY["kvm02"]), (ap2, UNDERLAY["kvm03"])}


def test_lines_reach_the_access_switch_and_nothing_else_does(planned: Mapping[str, HostView]) -> None:
    with_switch = {
        bridge.kind
        for bridge in planned["kvm02"].bridges
        if (FLOOD, UNDERLAY["edge.dc1"]) in entries(planned["kvm02"], bridge.segment)
    }
    assert with_switch == {"line"}
    switch = hypervisor.plan_host(
        PLAN.network, "edge.dc1", ends=underlay.tunnel_ends(PLAN), node_hosts={"gw": "kvm01"}, hubs={"dc1": "kvm01"}
    )
    assert len(switch.bridges) == 8
    assert {bridge.kind for bridge in switch.bridges} == {"line"}
    assert not any(bridge.address for bridge in switch.bridges)


def test_the_hub_isolates_its_tunnel_and_knows_every_spoke(planned: Mapping[str, HostView]) -> None:
    hub = planned["kvm01"]
    assert hub.hub
    assert tunnel(hub, "management-dc1").isolated
    assert entries(hub, "management-dc1") >= {(FLOOD, UNDERLAY["kvm02"]), (FLOOD, UNDERLAY["kvm03"])}
    others = [t.name for b in hub.bridges if (t := b.tunnel) is not None and b.kind != "management" and t.isolated]
    assert others == []


@pytest.mark.parametrize("spoke", ["kvm02", "kvm03"])
def test_a_spokes_only_entry_is_the_hub(planned: Mapping[str, HostView], spoke: str) -> None:
    assert not planned[spoke].hub
    assert not tunnel(planned[spoke], "management-dc1").isolated
    assert entries(planned[spoke], "management-dc1") == {(FLOOD, UNDERLAY["kvm01"])}


def test_the_station_is_the_only_address_on_any_bridge(planned: Mapping[str, HostView]) -> None:
    addresses = [(h, b.segment, str(b.address)) for h, view in planned.items() for b in view.bridges if b.address]
    assert addresses == [("kvm01", "management-dc1", "172.16.0.1/26")]


def test_a_lost_hub_moves_and_no_entry_leads_to_a_lost_host() -> None:
    left = views.plan_views(PLAN, {}, lost=["kvm01"])
    assert list(left) == ["kvm02", "kvm03"]
    assert left["kvm02"].hub
    lost = IPv4Address(UNDERLAY["kvm01"])
    every = [entry for view in left.values() for b in view.bridges if b.tunnel for entry in b.tunnel.entries]
    assert every
    assert not [entry for entry in every if entry.underlay == lost]
    assert UNDERLAY["kvm03"] in {str(entry.underlay) for entry in every}, "a lost host keeps no other one's place"


def test_no_host_left_and_unknown_hosts_are_refused() -> None:
    with pytest.raises(InputError, match=r"kvm09: no such host; small has kvm01, kvm02, kvm03"):
        views.plan_views(PLAN, {}, lost=["kvm09"])
    with pytest.raises(EnvironmentLackError, match="no host is left"):
        access.hub(PLAN, "dc1", lost=["kvm01", "kvm02", "kvm03"])


def test_a_real_host_needs_an_underlay_address() -> None:
    plan = with_host(PLAN, "kvm02", libvirt="qemu+ssh://root@kvm02.example/system")
    with pytest.raises(InputError, match=r"host kvm02: `underlay` must state the IPv4 address"):
        views.plan_views(plan, {})
    stated = with_host(plan, "kvm02", underlay="192.0.2.12")
    assert str(views.plan_views(stated, {})["kvm02"].underlay) == "192.0.2.12"
    by_address = with_host(PLAN, "kvm02", libvirt="qemu+ssh://root@192.0.2.13/system")
    assert str(views.plan_views(by_address, {})["kvm02"].underlay) == "192.0.2.13"


LINE = "nishiki-main-mynumber"


def ends(**uplinks: str) -> list[TunnelEnd]:
    return [
        TunnelEnd(
            id=host,
            site="dc1",
            underlay=IPv4Address(UNDERLAY[host]),
            uplinks={LINE: uplinks[host]} if host in uplinks else {},
        )
        for host in ("kvm01", "kvm02", "kvm03")
    ]


def plan_host(host: str, tunnel_ends: list[TunnelEnd]) -> HostView:
    return hypervisor.plan_host(PLAN.network, host, ends=tunnel_ends, node_hosts={"gw": "kvm01"}, hubs={"dc1": "kvm01"})


def test_one_uplink_serves_all_hosts_through_the_tunnel() -> None:
    view = plan_host("kvm03", ends(kvm03="eno2.101"))
    bridge = next(b for b in view.bridges if b.segment == LINE)
    assert bridge.uplink == "eno2.101"
    assert bridge.tunnel is not None
    assert f"uplink eno2.101 {bridge.name}\n" in hypervisor.render(view)


def test_several_uplinks_replace_the_tunnel_which_would_close_a_loop() -> None:
    for host in ("kvm01", "kvm02", "kvm03"):
        bridge = next(b for b in plan_host(host, ends(kvm01="eno2", kvm02="eno2")).bridges if b.segment == LINE)
        assert bridge.tunnel is None


def test_several_uplinks_must_serve_the_gateways_host() -> None:
    with pytest.raises(InputError, match=r"host kvm01: no uplink for the line nishiki-main-mynumber, which gw needs"):
        plan_host("kvm02", ends(kvm02="eno2", kvm03="eno2"))


def test_a_single_host_needs_no_tunnel() -> None:
    plan = small_plan(hosts=("kvm01",))
    (view,) = [
        hypervisor.plan_host(plan.network, "kvm01", ends=ends()[:1], node_hosts={}, hubs={"dc1": "kvm01"}),
    ]
    assert len(view.bridges) == 10
    assert [b.tunnel for b in view.bridges] == [None] * 10
    assert "\ntunnel " not in hypervisor.render(view)


def test_segments_of_other_sites_stay_away() -> None:
    segments = [dataclasses.replace(s, site="dc2") if s.name == "juki" else s for s in PLAN.network.segments]
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(PLAN.network, segments=tuple(segments)))
    assert "juki" not in {b.segment for b in views.plan_views(plan, {})["kvm01"].bridges}

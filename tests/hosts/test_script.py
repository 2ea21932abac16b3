"""The rendered script on a host (a namespace), and the check that compares the host with the plan."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra import process
from infra.hosts import apply, check, views
from infra.hosts.check import HostReport
from infra.lab import namespaces, places, underlay
from infra.plan.model import Plan
from network.errors import EnvironmentLackError, OperationError
from network.render.hypervisor import HostView
from tests.lab_unit.guests import guest, needs_root
from tests.lab_unit.small import small_plan

pytestmark = needs_root
STACK = f"script{os.getpid()}"
PLAN = small_plan(STACK)
BRIDGE = {segment.name: segment.bridge for segment in PLAN.network.segments}
TUNNEL = {segment.name: f"kx{segment.vni}" for segment in PLAN.network.segments}
HOST = underlay.namespace_of(STACK, "kvm02")
MAC = PLAN.network.node_by_name["gw"].interface("juki").mac


@pytest.fixture(scope="module")
def planned() -> Iterator[dict[str, HostView]]:
    """One spoke, kvm02, with its network applied."""
    try:
        namespaces.apply(STACK, underlay.draw(PLAN))
        wanted = {"kvm02": views.plan_views(PLAN, {})["kvm02"]}
        apply.require_success(apply.apply(PLAN, wanted))
        yield wanted
    finally:
        namespaces.remove(places.existing(STACK))


def look(planned: dict[str, HostView], plan: Plan = PLAN) -> HostReport:
    (report,) = check.check(plan, planned)
    return report


def inside(*argv: str) -> None:
    process.run("ip", "netns", "exec", HOST, *argv)


def test_a_second_run_changes_nothing(planned: dict[str, HostView]) -> None:
    (again,) = apply.apply(PLAN, planned)
    assert again.changes == ()
    report = look(planned)
    assert (report.bridges, report.tunnels, report.settings, report.deviations) == (10, 10, 6, ())


JUKI, MANAGEMENT, LINE = BRIDGE["juki"], BRIDGE["management-dc1"], BRIDGE["nishiki-main-mynumber"]
MAKE_OLD_BRIDGE = f"ip link add k-old type bridge; ip link set k-old alias kumiai:{STACK}:old; ip link set k-old up"
MAKE_LEARNING_TUNNEL = (
    f"ip link del {TUNNEL['juki']}; ip link add {TUNNEL['juki']} type vxlan id {TUNNEL['juki'][2:]} "
    f"local 100.64.0.2 dstport 4789 learning; ip link set {TUNNEL['juki']} alias kumiai:{STACK}:juki"
)
DAMAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{
        f"setting {path}": (("sh", "-c", f"echo 1 >/proc/sys/{path}"), (f"setting: {path}: is 1, must be 0",))
        for path in (
            "net/bridge/bridge-nf-call-iptables",
            "net/bridge/bridge-nf-call-ip6tables",
            "net/bridge/bridge-nf-call-arptables",
            "net/ipv4/ip_forward",
        )
    },
    "a missing bridge": (
        ("ip", "link", "del", JUKI),
        (f"bridge: {JUKI}: missing (segment juki)",),
    ),
    "a setting of a bridge": (
        ("ip", "link", "set", LINE, "type", "bridge", "mcast_snooping", "1"),
        (f"bridge: {LINE}: mcast_snooping is 1, must be 0",),
    ),
    "a bridge that is down": (("ip", "link", "set", JUKI, "down"), (f"bridge: {JUKI}: is down",)),
    "an address on a segment": (
        ("ip", "addr", "add", "172.16.1.60/26", "dev", JUKI),
        (f"no-address: {JUKI}: IPv4 address 172.16.1.60/26, must be none",),
    ),
    "an address on a line": (
        ("ip", "addr", "add", "198.51.100.6/29", "dev", LINE),
        (f"no-address: {LINE}: IPv4 address 198.51.100.6/29, must be none",),
    ),
    "an address on management, away from the hub": (
        ("ip", "addr", "add", "172.16.0.60/26", "dev", MANAGEMENT),
        (f"no-address: {MANAGEMENT}: IPv4 address 172.16.0.60/26, must be none",),
    ),
    "an address on a tunnel": (
        ("ip", "addr", "add", "172.16.1.60/26", "dev", TUNNEL["juki"]),
        (f"no-address: {TUNNEL['juki']}: IPv4 address 172.16.1.60/26, must be none",),
    ),
    "IPv6 on a bridge": (
        ("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{JUKI}/disable_ipv6"),
        (f"no-ipv6: {JUKI}: IPv6 is on, must be off",),
    ),
    "IPv6 on a port": (
        ("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{TUNNEL['juki']}/disable_ipv6"),
        (f"no-ipv6: {TUNNEL['juki']}: IPv6 is on, must be off",),
    ),
    "a missing tunnel": (
        ("ip", "link", "del", TUNNEL["juki"]),
        (f"tunnel: {TUNNEL['juki']}: missing (segment juki)",),
    ),
    "a tunnel that is not plugged in": (
        ("ip", "link", "set", TUNNEL["juki"], "nomaster"),
        (f"tunnel: {TUNNEL['juki']}: is plugged into nothing, must be {JUKI}",),
    ),
    "a tunnel that is down": (
        ("ip", "link", "set", TUNNEL["juki"], "down"),
        (f"tunnel: {TUNNEL['juki']}: is down",),
    ),
    "a thin tunnel, which its bridge follows": (
        ("ip", "link", "set", TUNNEL["juki"], "mtu", "1400"),
        (f"mtu: {TUNNEL['juki']}: is 1400, must be 1500",),
    ),
    "a thin bridge": (("ip", "link", "set", LINE, "mtu", "1400"), (f"mtu: {LINE}: is 1400, must be 1500",)),
    "an unisolated spoke made a hub": (
        ("bridge", "link", "set", "dev", TUNNEL["management-dc1"], "isolated", "on"),
        (f"isolation: {TUNNEL['management-dc1']}: must not be isolated",),
    ),
    "a forwarding entry that is gone": (
        ("bridge", "fdb", "del", MAC, "dev", TUNNEL["juki"], "dst", "100.64.0.1", "self"),
        (f"forwarding: {TUNNEL['juki']}: no entry for {MAC} → 100.64.0.1",),
    ),
    "a forwarding entry past the hub": (
        (
            *("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", TUNNEL["management-dc1"]),
            *("dst", "100.64.0.3", "self", "permanent"),
        ),
        (f"forwarding: {TUNNEL['management-dc1']}: entry for everything else → 100.64.0.3 is not planned",),
    ),
    "a bridge that nobody planned": (
        ("sh", "-euc", MAKE_OLD_BRIDGE),
        (f"unplanned: k-old: carries the stack's mark (kumiai:{STACK}:old) but is not planned",),
    ),
    "no filter": (
        ("nft", "delete", "table", "inet", f"kumiai-{STACK}"),
        (f"filter: table inet kumiai-{STACK}: is missing: machines reach the host's own services",),
    ),
    "a hole in the filter": (
        ("nft", "insert", "rule", "inet", f"kumiai-{STACK}", "input", "tcp", "dport", "22", "accept"),
        (f"filter: table inet kumiai-{STACK}: is not as planned: tcp dport 22 accept",),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_deviation_is_found_by_itself_and_repaired(planned: dict[str, HostView], damage: str) -> None:
    command, findings = DAMAGES[damage]
    inside(*command)
    assert [str(deviation) for deviation in look(planned).deviations] == [f"kvm02: {found}" for found in findings]
    (repaired,) = apply.apply(PLAN, planned)
    assert repaired.error is None
    assert repaired.changes
    assert look(planned).deviations == ()


def test_a_learning_tunnel_is_found_and_made_anew(planned: dict[str, HostView]) -> None:
    inside("sh", "-euc", MAKE_LEARNING_TUNNEL)
    assert {d.rule for d in look(planned).deviations} == {"learning", "tunnel", "forwarding"}
    (repaired,) = apply.apply(PLAN, planned)
    assert repaired.error is None
    assert look(planned).deviations == ()


def test_a_card_that_nobody_planned_is_found_on_a_segment(planned: dict[str, HostView]) -> None:
    inside("sh", "-euc", f"ip link add veth7 type veth peer name veth8; ip link set veth7 master {JUKI}")
    try:
        (deviation,) = look(planned).deviations
        assert str(deviation) == (
            f"kvm02: foreign-port: {JUKI}: veth7 is plugged in, which is no machine's card and not planned"
        )
    finally:
        inside("ip", "link", "del", "veth7")


def test_a_thin_underlay_is_found(planned: dict[str, HostView]) -> None:
    inside("ip", "link", "set", "underlay", "mtu", "1500")
    try:
        (deviation,) = look(planned).deviations
        assert str(deviation) == "kvm02: underlay: underlay: MTU 1500, tunnelled frames need 1550"
    finally:
        inside("ip", "link", "set", "underlay", "mtu", "1550")


def test_cards_on_management_must_be_isolated_and_foreign_ports_are_found(planned: dict[str, HostView]) -> None:
    with guest(PLAN, "ap1", "management-dc1"):
        assert {d.rule for d in look(planned).deviations} == {"foreign-port"}, "a cable is no machine's tap"
        inside("bridge", "link", "set", "dev", "tap10", "isolated", "off")
        assert {d.rule for d in look(planned).deviations} == {"foreign-port", "isolation"}
    inside("ip", "tuntap", "add", "vnet7", "mode", "tap")
    try:
        inside("ip", "link", "set", "vnet7", "master", MANAGEMENT)
        assert [d.rule for d in look(planned).deviations] == ["isolation"]
        inside("bridge", "link", "set", "dev", "vnet7", "isolated", "on")
        assert look(planned).deviations == ()
    finally:
        inside("ip", "link", "del", "vnet7")


def test_links_of_others_are_left_alone(planned: dict[str, HostView]) -> None:
    inside("sh", "-euc", f"ip link del {JUKI}; ip link add {JUKI} type bridge; ip link set {JUKI} alias mine up")
    try:
        (refused,) = apply.apply(PLAN, planned)
        assert refused.error == (
            f"kumiai-network: {JUKI} exists, but not as segment juki of stack {STACK}; remove or rename it"
        )
        with pytest.raises(OperationError, match="host kvm02: kumiai-network"):
            apply.require_success((refused,))
    finally:
        inside("ip", "link", "del", JUKI)
    (repaired,) = apply.apply(PLAN, planned)
    assert repaired.error is None


def test_an_unplanned_bridge_stays_while_a_machine_is_plugged_in(planned: dict[str, HostView]) -> None:
    inside("sh", "-euc", MAKE_OLD_BRIDGE)
    inside("ip", "tuntap", "add", "vnet7", "mode", "tap")
    inside("ip", "link", "set", "vnet7", "master", "k-old")
    try:
        assert apply.apply(PLAN, planned)[0].changes == ()
        assert [d.rule for d in look(planned).deviations] == ["unplanned"]
    finally:
        inside("ip", "link", "del", "vnet7")
    assert apply.apply(PLAN, planned)[0].changes == ("ip link del dev k-old",)


def test_bridges_of_other_stacks_on_the_host_are_not_ours(planned: dict[str, HostView]) -> None:
    inside("sh", "-euc", "ip link add k-x type bridge; ip link set k-x alias kumiai:other:old")
    try:
        assert apply.apply(PLAN, planned)[0].changes == ()
        assert look(planned).deviations == ()
    finally:
        inside("ip", "link", "del", "k-x")


def test_a_host_without_its_underlay_address_is_refused(planned: dict[str, HostView]) -> None:
    inside("ip", "addr", "del", "100.64.0.2/16", "dev", "underlay")
    try:
        error = apply.apply(PLAN, planned)[0].error
        assert error == "kumiai-network: the underlay address 100.64.0.2 is not on this host"
        assert [d.rule for d in look(planned).deviations] == ["underlay"]
    finally:
        inside("ip", "addr", "add", "100.64.0.2/16", "dev", "underlay")


def test_an_interrupted_run_is_finished_by_the_next_one(planned: dict[str, HostView]) -> None:
    inside("ip", "link", "del", JUKI)
    inside("ip", "link", "add", JUKI, "type", "bridge")  # killed before the mark was set
    assert apply.apply(PLAN, planned)[0].error is None
    assert look(planned).deviations == ()


def test_a_host_that_is_not_there_is_named_before_the_first_change() -> None:
    plan = small_plan(f"{STACK}-none")
    with pytest.raises(EnvironmentLackError) as refused:
        apply.apply(plan, views.plan_views(plan, {}))
    lines = str(refused.value).splitlines()
    assert [line[:11] for line in lines[:3]] == ["host kvm01:", "host kvm02:", "host kvm03:"]
    assert f"run: kumiai lab up {STACK}-none" in lines[0]
    assert lines[-1] == "nothing was changed"

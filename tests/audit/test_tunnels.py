"""Lines that lead through networks of others: offices inside the tunnel, and nothing but the tunnel outside of it."""

from __future__ import annotations

import functools

import pytest

from infra.audit import check
from infra.audit.model import Audit
from infra.plan.model import Plan
from tests.audit import listings
from tests.network.render import test_tunnels as stack
from tests.network.render import tunnels

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

GATEWAY = "dc1-gw1a"
PEER, OWN = "192.0.2.1", "203.0.113.2"
ENDS = f'"seg4" . {PEER} . {OWN}'
OFFICE = '"tun4" . 10.1.16.0/20 . "seg2" . 172.16.0.68 . 443 comment'
IKE_IN = "ct state new udp dport { 500, 4500 } iifname . ip saddr . ip daddr @tunnel_ends accept"


@functools.cache
def plan() -> Plan:
    return tunnels.planned(**stack.DECLARED)


def audit(old: str = "", new: str = "") -> Audit:
    changes = [(GATEWAY, old, new)] if old else []
    return check.audit_rules(plan(), listings.listings_of(plan().network, *changes))


def new_ones(found: Audit) -> set[tuple[str, str, str, str]]:
    """Kind, severity, card in or out and packet of what may be opened and should not."""
    return {
        (v.kind, v.severity, next(step for step in v.path if "(" in step), str(v.packet))
        for v in found.violations
        if v.packet and v.packet.state == "new"
    }


def test_both_levels_pass_and_an_office_comes_in_by_the_tunnel() -> None:
    assert check.audit_declared(plan(), {"m1": "alpha"}).verdict == "pass"
    found = audit()
    assert (found.verdict, found.violations, found.missing) == ("pass", (), ())
    (pair,) = [p for p in found.pairs if (p.source, p.target) == ("office:m1/lgwan", "service:shomu-m1")]
    assert pair.passing[0].path == ("office:m1/lgwan", GATEWAY, "service:shomu-m1")


def test_the_outer_card_carries_ike_and_esp_between_the_two_ends_and_nothing_else() -> None:
    found = audit()
    outer = {
        (pair.source, pair.target, one.protocol, one.sources, one.destinations, one.ports)
        for pair in found.pairs
        if "line:m1-net-lgwan" in {pair.source, pair.target} and GATEWAY in {pair.source, pair.target}
        for passing in pair.passing
        for one in passing.packets
        if not one.sources.startswith("169.254.")  # RFC 3927: the addresses inside
    }
    assert outer == {
        (source, target, protocol, one, other, port)
        for source, target, one, other in (
            ("line:m1-net-lgwan", GATEWAY, PEER, OWN),
            (GATEWAY, "line:m1-net-lgwan", OWN, PEER),
        )
        for protocol, port in (("udp", "500"), ("udp", "4500"), ("50", "any"))
    }


def test_an_office_in_clear_on_the_outer_card_is_found() -> None:
    found = audit(OFFICE, f'{OFFICE.replace("tun4", "seg4")} "clear",\n\t\t\t{OFFICE}')
    assert new_ones(found) == {
        ("spoofable", "critical", "seg4 (m1-net-lgwan)", "tcp 10.1.16.0 -> 172.16.0.68:443"),
    }


@pytest.mark.parametrize(
    ("old", "new", "packet"),
    [
        (f"{PEER} . {OWN}", f"192.0.2.0/31 . {OWN}", f"udp 192.0.2.0 -> {OWN}:500"),
        (f"{PEER} . {OWN}", f"{PEER} . 203.0.113.2/31", "udp 192.0.2.1 -> 203.0.113.3:500"),
        (
            IKE_IN,
            f"{IKE_IN}\n\t\tudp dport 501 iifname . ip saddr . ip daddr @tunnel_ends accept",
            f"udp {PEER} -> {OWN}:501",
        ),
        (IKE_IN, f'{IKE_IN}\n\t\tiifname "seg4" ip protocol 47 accept', "47 0.0.0.0 -> 169.254.1.33"),
    ],
)
def test_anything_else_on_the_outer_card_is_found(old: str, new: str, packet: str) -> None:
    found = audit(old, new)
    came = {(severity, card, text) for kind, severity, card, text in new_ones(found) if kind == "spoofable"}
    assert came == {("critical", "seg4 (m1-net-lgwan)", packet)}


def test_a_tunnel_that_cannot_be_made_is_missing() -> None:
    found = audit(IKE_IN, "")
    assert {(m.flow.kind, m.packet.protocol, m.packet.source) for m in found.missing} == {("tunnel", "udp", PEER)}
    assert all(m.flow.reason == "暗号化トンネル(IPsec)の確立と通信" for m in found.missing)


def test_routing_with_the_far_end_stays_inside() -> None:
    found = audit('"tun4" . 169.254.1.34 . 169.254.1.33 . 179', f'"seg4" . {PEER} . {OWN} . 179')
    assert new_ones(found) == {("spoofable", "critical", "seg4 (m1-net-lgwan)", f"tcp {PEER} -> {OWN}:179")}
    assert {(str(m.flow), m.packet.port) for m in found.missing} == {("line:m1-net/lgwan -> dc1-gw1a", 179)}

"""What rules mean: hooks, families, priorities, verdicts, maps, limits, connections, translation.

Expected values follow nft(8) and the kernel's documentation; tests/audit/test_kernel.py asks the kernel itself.
"""

from __future__ import annotations

import datetime
import ipaddress

import pytest

from infra.audit import packets
from infra.audit.filters import Filtered
from infra.audit.nft import evaluate
from infra.audit.packets import (
    DESTINATION,
    ESTABLISHED,
    FAMILY,
    ICMP_TYPE,
    INCOMING,
    INVALID,
    NEW,
    OUTGOING,
    PORT,
    PROTOCOL,
    SOURCE,
    SOURCE_PORT,
    STATE,
)
from tests.audit import listings

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")


def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def packet(one: Filtered, text: str, *, state: int = NEW, ins: str = "a", out: str = "b") -> dict[int, int]:
    source, target, service = text.split()
    protocol, _, port = service.partition("/")
    found = {
        STATE: state,
        INCOMING: one.cards.number(ins) if ins else 0,
        OUTGOING: one.cards.number(out) if out else 0,
        FAMILY: int(":" in source),
        PROTOCOL: {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "esp": 50}[protocol],
        SOURCE: number(source),
        DESTINATION: number(target),
        SOURCE_PORT: 40000,
        packets.ICMP_CODE: 0,
        packets.TTL: 64,
        packets.FLAGS: 2,
        PORT: 0,
        ICMP_TYPE: 8,
    }
    if port:
        found[ICMP_TYPE if protocol.startswith("icmp") else PORT] = int(port)
    return found


def passes(one: Filtered, text: str, state: int = NEW) -> bool | None:
    """True, False, or None where it cannot be told."""
    found = one.at("forward").passing
    probe = packet(one, text, state=state)
    may, surely = packets.contains(found.may, probe), packets.contains(found.surely, probe)
    assert may or not surely
    return True if surely else None if may else False


def forward(body: str, head: str = "") -> Filtered:
    return listings.judged(
        f"table inet t {{\n{head}\nchain f {{ type filter hook forward priority 0; policy drop;\n{body}\n}}\n}}\n"
    )


WEB, SSH, DNS = "10.0.0.1 10.0.1.1 tcp/443", "10.0.0.1 10.0.1.1 tcp/22", "10.0.0.1 10.0.1.1 udp/53"
PING, WEB6 = "10.0.0.1 10.0.1.1 icmp/8", "fd00::1 fd00:1::1 tcp/443"


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ("tcp dport 443 accept", (WEB, WEB6), (SSH, DNS, PING)),
        ("tcp dport != 443 accept", (SSH,), (WEB, DNS)),
        ("tcp dport { 22, 440-450 } accept", (WEB, SSH), (DNS,)),
        ("tcp dport != { 22, 53 } accept", (WEB,), (SSH, DNS)),
        ("tcp dport < 100 accept", (SSH,), (WEB, DNS)),
        ("tcp dport >= 443 accept", (WEB,), (SSH,)),
        ("ip saddr 10.0.0.0/24 accept", (WEB, DNS, PING), (WEB6,)),
        ("ip saddr != 10.0.0.0/24 accept", (), (WEB, WEB6)),
        ("ip saddr 10.0.0.1-10.0.0.9 accept", (WEB,), (WEB6, "10.0.0.10 10.0.1.1 tcp/443")),
        ("ip6 daddr fd00:1::/64 accept", (WEB6,), (WEB,)),
        ("meta nfproto ipv6 accept", (WEB6,), (WEB,)),
        ("meta l4proto { tcp, udp } th dport 53 accept", (DNS,), (WEB, PING)),
        ("meta l4proto != tcp accept", (DNS, PING), (WEB,)),
        ("ip protocol icmp accept", (PING,), (WEB,)),
        ("icmp type { echo-request } accept", (PING,), ("10.0.0.1 10.0.1.1 icmp/13", WEB)),
        ('iifname "a" accept', (WEB,), ()),
        ('iifname "a*" oifname { "b", "c" } accept', (WEB,), ()),
        ('iifname != "a" accept', (), (WEB,)),
        ("ip saddr . tcp dport { 10.0.0.0/24 . 443, 10.0.0.7 . 1-99 } accept", (WEB,), (SSH, WEB6)),
        ("tcp dport vmap { 443 : accept, 22 : drop }", (WEB,), (SSH, DNS)),
        ("tcp dport 443 reject\naccept", (SSH, DNS), (WEB,)),
        ("tcp flags syn accept", (WEB,), (DNS,)),
        ("tcp flags & (syn | ack) == ack accept", (), (WEB,)),
        ("ct state new accept", (WEB,), ()),
        ("ct state established,related accept", (), (WEB,)),
        ("ct state != established accept", (WEB,), ()),
        ("ip ttl 64 accept", (WEB,), (WEB6,)),
        ("ip ttl 255 accept", (), (WEB,)),
        ("counter log prefix \"x\" accept", (WEB, WEB6), ()),
        ("tcp dport @ports accept", (WEB,), (SSH,)),
        ("ip saddr . tcp dport vmap @m", (WEB,), (SSH,)),
        ("jump other\ntcp dport 53 accept", (WEB,), (SSH,)),
        ("goto other\naccept", (WEB,), (SSH, DNS)),
        ("tcp dport 443 return\naccept", (SSH,), (WEB,)),
        ("tcp dport 443 continue\nudp dport 53 accept", (DNS,), (WEB,)),
    ],
)  # fmt: skip
def test_matches_and_verdicts(rule: str, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    head = (
        "set ports { type inet_service; flags interval; elements = { 440-450 } }\n"
        "map m { type ipv4_addr . inet_service : verdict; flags interval; elements = { 10.0.0.0/8 . 443 : accept } }\n"
        "chain other {\ntcp dport 443 accept\ntcp dport 22 return\n}"
    )
    one = forward(rule, head)
    assert not one.problems
    assert {text: passes(one, text) for text in yes} == dict.fromkeys(yes, True)
    assert {text: passes(one, text) for text in no} == dict.fromkeys(no, False)


def test_an_accept_does_not_undo_the_drop_of_another_base_chain() -> None:
    one = listings.judged(
        "table inet one { chain f { type filter hook forward priority -10; policy accept;\ntcp dport 443 accept\n} }\n"
        "table ip two { chain f { type filter hook forward priority 10; policy accept;\ntcp dport 443 drop\n} }\n"
    )
    assert passes(one, WEB) is False
    assert passes(one, SSH) is True
    assert passes(one, WEB6) is True, "a table of family ip sees no IPv6"


def test_bridge_rules_protect_nothing_and_are_said_to() -> None:
    one = listings.judged("table bridge t { chain f { type filter hook forward priority 0; policy drop; } }")
    assert passes(one, WEB) is True
    assert [note.reason for note in one.ruleset.notes] == [
        "family bridge: sees no routed packet, and protects nothing here"
    ]


def test_a_dormant_table_protects_nothing() -> None:
    said = (
        '{"nftables": [{"table": {"family": "inet", "name": "t", "flags": ["dormant"]}}, {"chain": {"family": "inet", '
    )
    said += '"table": "t", "name": "f", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}]}'
    one = listings.filtered(listings.router(), said)
    assert passes(one, WEB) is True
    assert [note.place for note in one.ruleset.notes] == ["inet t"]


def test_other_hooks_do_not_filter_what_is_forwarded() -> None:
    one = listings.judged("table inet t { chain i { type filter hook input priority 0; policy drop; } }")
    assert passes(one, WEB) is True
    for hook in ("prerouting", "postrouting"):
        one = listings.judged(f"table inet t {{ chain i {{ type filter hook {hook} priority 0; policy drop; }} }}")
        assert passes(one, WEB) is False


def test_before_connection_tracking_every_packet_is_invalid() -> None:
    early = (
        "table inet t {{ chain p {{ type filter hook prerouting priority {}; policy accept;\nct state new drop\n}} }}"
    )
    assert passes(listings.judged(early.format(-300)), WEB) is True
    assert passes(listings.judged(early.format(-150)), WEB) is False
    seen = (
        "table inet t { chain p { type filter hook prerouting priority -300; policy accept;\nct state invalid drop\n} }"
    )
    assert passes(listings.judged(seen), WEB) is False


def test_a_limit_may_let_pass_and_may_not() -> None:
    one = forward(
        "tcp dport 443 limit rate 5/second accept\ntcp dport 22 limit rate 5/second drop\ntcp dport 22 accept"
    )
    assert not one.problems
    assert passes(one, WEB) is None
    assert passes(one, SSH) is None
    assert passes(one, DNS) is False


def test_a_time_may_let_pass_and_may_not() -> None:
    one = forward('meta time < "2030-01-01 00:00:00" tcp dport 443 accept')
    assert not one.problems
    assert (passes(one, WEB), passes(one, SSH)) == (None, False)


@pytest.mark.parametrize(("day", "open_now"), [(31, True), (32, False)])
def test_a_time_is_judged_for_a_moment(day: int, open_now: bool) -> None:
    moment = datetime.datetime(2029, 12, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=day - 1, hours=23)
    rules = listings.listed(
        "table inet t { chain f { type filter hook forward priority 0; policy drop;\n"
        "meta time >= 1893456000 ct original ip saddr 10.0.0.1 drop\n"  # 2030-01-01 00:00 UTC
        "meta time < 1893456000 tcp dport 443 accept\n} }"
    )
    one = listings.filtered(listings.router(), rules, moment)
    assert passes(one, WEB) is open_now
    assert passes(one, SSH) is False
    assert bool(one.problems) != open_now, "after the end, the first rule is in force and cannot be judged"


@pytest.mark.parametrize(
    "rule",
    [
        "meta mark 1 accept",
        "ct mark 1 accept",
        "fib saddr . iif oif missing drop",
        "ct status dnat accept",
        "ct direction original accept",
        "ip dscp cs1 accept",
        "ether saddr 00:11:22:33:44:55 accept",
        "meta pkttype broadcast accept",
        "ip saddr & 255.0.0.255 == 10.0.0.1 accept",
        "tcp dport 22 ct count over 10 drop",
        "meta mark set 1",
        "ct mark set 1",
        "add @seen { ip saddr }",
        "ip saddr @timed accept",
        "tcp dport 443 quota over 10 mbytes drop",
        "ip length 40-80 accept",
        "@nh,0,8 0x45 accept",
        "numgen inc mod 2 0 accept",
        "ip frag-off & 0x1fff != 0 drop",
        "tcp option maxseg size 1-500 drop",
        "meta skuid 0 accept",
        "rt mtu 1400 accept",
        "th dport 443 accept",
    ],
)
def test_what_cannot_be_judged_is_a_problem_or_undecided_and_never_ignored(rule: str) -> None:
    head = (
        "set seen { type ipv4_addr; flags dynamic; size 10; }\n"
        "set timed { type ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 1h } }"
    )
    one = forward(rule, head)
    esp = "10.0.0.1 10.0.1.1 esp"
    assert one.problems or passes(one, esp) is None
    if "accept" in rule and "th dport" not in rule:
        assert passes(one, WEB) is None


def test_translation_of_destinations_comes_before_forward() -> None:
    one = listings.judged(
        "table ip t {\n"
        "map to { type ipv4_addr : ipv4_addr; elements = { 192.0.2.1 : 10.0.1.1 } }\n"
        "chain n { type nat hook prerouting priority -100;\ndnat to ip daddr map @to\n}\n"
        "chain f { type filter hook forward priority 0; policy drop;\nip daddr 10.0.1.1 accept\n} }"
    )
    assert not one.problems
    before, passed = one.at("forward").judged[:2]
    (done,) = before.translated
    assert packets.contains(done.packets.may, packet(one, "10.0.0.1 192.0.2.1 tcp/443", out=""))
    assert packets.contains(passed.accepted.surely, packet(one, "10.0.0.1 10.0.1.1 tcp/443"))
    assert passes(one, "10.0.0.1 192.0.2.1 tcp/443") is False, "forward sees the new address only"


def test_translation_of_prefixes_keeps_the_place_of_an_address() -> None:
    one = listings.judged(
        "table ip t { chain n { type nat hook prerouting priority -100;\n"
        "dnat ip prefix to ip daddr map { 192.0.2.0/24 : 10.0.1.0/24 }\n}\n"
        "chain f { type filter hook forward priority 0; policy drop;\nip daddr 10.0.1.7 accept\n} }"
    )
    assert not one.problems
    (done,) = one.at("forward").judged[0].translated
    changed = packets.mapped(
        packets.box({FAMILY: (0, 0), DESTINATION: (number("192.0.2.7"),) * 2}),
        lambda box: evaluate.rewritten(box, kind=done.kind, rewrite=done.rewrite),
    )
    assert changed is packets.box({FAMILY: (0, 0), DESTINATION: (number("10.0.1.7"),) * 2})


def test_states_are_told_apart() -> None:
    one = forward("ct state invalid drop\nct state established accept\ntcp dport 22 accept")
    assert passes(one, WEB, state=ESTABLISHED) is True
    assert passes(one, WEB, state=NEW) is False
    assert passes(one, SSH, state=INVALID) is False

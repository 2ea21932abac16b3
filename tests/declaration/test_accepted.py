"""What looks like a mistake and is none: the other side of the table of wrong files."""

from __future__ import annotations

import pathlib

import pytest

from infra.declaration.load import parse_located
from infra.declaration.model import Declaration
from tests.declaration.good_stack import GOOD
from tests.declaration.wrong_rules import LINKED_GOOD
from tests.declaration.wrong_stacks import FLOW

TRANSLATION = """\
translations:
  - {closed_network: lgwan, member: tsuno, inside: 10.1.64.0/20, outside: 10.9.64.0/20, direction: source}
flows:
"""
SECOND_SERVICE = """\
  - id: koho
    title: 広報
    zone: internet
    pattern: mixed
    pattern_reason: 理由
    participants: [tsuno]
    listen: [tcp/443]
    nodes: {application: {count: 1, vcpus: 1, memory_gib: 0.5}}
flows:
"""
INTERNET_LINE = """\
  - id: tsuno-net
    member: tsuno
    site: dc1
    closed_network: net
    role: main
    class: best_effort
    mbps: 10
    zones: [internet]
    handoff:
      internet: {prefix: 203.0.113.0/29, peer: 203.0.113.1, local: [203.0.113.2, 203.0.113.3], vip: 203.0.113.4,
                 routing: tunnel, tunnel_peer: 192.0.2.1, peer_as: 64700, local_as: 65010}
services:
"""

CASES: dict[str, tuple[tuple[str, str], ...]] = {
    "overlapping LANs with a source translation on every line of one of the two": (
        ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [10.1.64.0/20]\n"),
        ("flows:\n", TRANSLATION),
    ),
    "overlapping LANs of members that share neither gateway nor segment": (
        ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [10.1.64.0/20]\n"),
        ("gateway: shared\n", "gateway: dedicated\n"),
    ),
    "one hand-off prefix on two dedicated gateways": (
        ("gateway: shared\n", "gateway: dedicated\n"),
        ("{prefix: 198.51.100.32/29, peer: 198.51.100.33,", "{prefix: 198.51.100.8/29, peer: 198.51.100.9,"),
        ("local: [198.51.100.34, 198.51.100.35],", "local: [198.51.100.10, 198.51.100.11],"),
        ("vip: 198.51.100.36", "vip: 198.51.100.12"),
    ),
    "a hand-off inside what its own network assigned": (
        ("assigned_prefix: 198.18.0.0/20", "assigned_prefix: 198.51.100.0/28"),
    ),
    "a best-effort main line for services that state no bandwidth": (
        ("    required_mbps: 20\n", ""),
        ("    class: reserved\n", "    class: best_effort\n"),
    ),
    "bandwidth that is needed one after the other": (
        ("    class: reserved\n    mbps: 100\n", "    class: reserved\n    mbps: 20\n"),
        ("{member: tsuno, from: 2011-10-08}", "{member: tsuno, until: 2015-04-01}"),
        (
            "    pattern_reason: 各町の機種更新時期\n    listen: [tcp/443]\n",
            ("    pattern_reason: 各町の機種更新時期\n    listen: [tcp/443]\n    required_mbps: 20\n"
            "    participants: [{member: tsuno, from: 2015-04-01}, nishiki]\n"),
        ),
    ),
    "the internet zone over the public Internet alone, through a tunnel": (
        ("kind: ip_vpn}\n", "kind: ip_vpn}\n  - {id: net, kind: internet_vpn}\n"),
        ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [10.2.64.0/18]\n          internet: [10.2.128.0/18]\n"),
        ("flows:\n", SECOND_SERVICE),
        ("services:\n", INTERNET_LINE),
    ),
    "a line without hand-off values into a site of simulated hosts": tuple(
        (f'"qemu+ssh://root@kvm0{number}/system"', "lab") for number in (1, 2, 3)
    ),
    "a service at the second site": (
        ("prefecture: 宮崎県}\n", "prefecture: 宮崎県}\n  - {id: dc2, kind: secondary, country: JP}\n"),
        ("    pattern_reason: 費用と仕様統一\n", "    pattern_reason: 費用と仕様統一\n    site: dc1\n"),
    ),
    "shared hosts with a reason and an approval": (
        ("{hosts: separate,", "{hosts: shared, reason: 台数が少ない, approved_by: 情報政策課,"),
    ),
    "a flow between members for a disaster": (
        (FLOW, FLOW.replace("service:juki@each_member", "office:nishiki/lgwan")
         .replace("service:zaimu", "service:zaimu@tsuno").replace("kind: specific", "kind: mutual_support")),
    ),
    "a flow past its date: callers report it, with the day they act on": (
        (FLOW, FLOW.replace("2030-03-31", "2012-03-31")),
    ),
    "a breakout of a member in model α′": (
        (FLOW, FLOW.replace("service:juki@each_member", "office:tsuno/lgwan")
         .replace("service:zaimu", "external:groupware").replace("kind: specific", "kind: local_breakout")),
    ),
    "a national system by its name": (
        (FLOW, FLOW.replace("service:zaimu", "external:juki-net")
         .replace("kind: specific", "kind: national_backend, system: 住基ネット")),
    ),
    "a link with another body through the member's link server": (
        *LINKED_GOOD,
        (FLOW, FLOW.replace("service:juki@each_member", "service:renkei@nishiki")
         .replace("service:zaimu", "external:prefecture").replace("kind: specific", "kind: member_link")),
    ),
    "後期高齢 linked past the link server": (
        *LINKED_GOOD,
        (FLOW, FLOW.replace("service:zaimu", "external:kouki")
         .replace("kind: specific", "kind: direct_link, system: 後期高齢広域連合用窓口サーバ")),
    ),
    "mail made harmless on its way in": (
        ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [10.2.64.0/18]\n          internet: [10.2.128.0/18]\n"),
        (FLOW, FLOW.replace("service:juki@each_member", "office:tsuno/internet")
         .replace("service:zaimu", "service:zaimu@tsuno")
         .replace("kind: specific", "kind: sanitized, method: mail_to_text, via: 無害化サーバ")),
    ),
    "the LGWAN's own services, at the prefix that J-LIS assigned": (
        (FLOW, FLOW.replace("service:juki@each_member", "network:lgwan").replace("kind: specific", "kind: lgwan_ce")),
    ),
    "a wide blank in a text": (("title: 人事給与\n", 'title: "人事\\u3000給与"\n'),),
    "a folded reason": (
        ("    pattern_reason: 各町の機種更新時期\n", "    pattern_reason: >\n      各町の\n      機種更新時期\n"),
    ),
}  # fmt: skip


def accepted(edits: tuple[tuple[str, str], ...]) -> Declaration:
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the good file"
        text = text.replace(old, new)
    return parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack").declaration


@pytest.mark.parametrize("name", CASES)
def test_this_is_no_mistake(name: str) -> None:
    assert accepted(CASES[name]) != accepted(())


def test_a_folded_text_is_one_line() -> None:
    declaration = accepted(CASES["a folded reason"])
    assert declaration.services[1].pattern_reason == "各町の 機種更新時期"

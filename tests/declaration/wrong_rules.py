"""Stack files whose shape is good but which break a rule; see :mod:`tests.declaration.wrong_stacks` for the form."""

# ruff: noqa: E501 -- a message stands on one line, as the loader prints it

from __future__ import annotations

from tests.declaration.good_stack import GOOD
from tests.declaration.wrong_stacks import BACKUP_ALL, FLOW, KVM01, NISHIKI_MAIN_LGWAN, ZAIMU_NODES, Wrong, wrong

AGREED = "reason: 理由, approved_by: 情報政策課, expires: 2030-03-31}\n"
TSUNO_LANS = "          mynumber: [10.2.0.0/18]\n          lgwan: [10.2.64.0/18]\n"
HOPS = "path: [{hop: 県NOC-県NOC, mbps: 100}]"
JUKI_NODES = """\
      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}
      database: {count: 2, vcpus: 2, memory_gib: 8, disk_gib: 100}
"""
NISHIKI_BACKUP = "    closed_network: vpn-a\n    role: backup\n"
TSUNO_OVERLAP = "          lgwan: [10.1.64.0/20]\n"
SECOND_SITE = "  - {id: dc2, kind: data_center, country: JP, prefecture: 熊本県}\n"
HOSTS_TEXT = GOOD[GOOD.index("hosts:\n") : GOOD.index("closed_networks:")]
SITE = "  - {id: dc1, kind: data_center, country: JP, prefecture: 宮崎県}\n"

MEMBERS = (
    wrong(
        "leaving before joining",
        "    joins: 2011-10-01\n",
        "    joins: 2011-10-01\n    leaves: ▶2011-10-01\n",
        "nishiki leaves on 2011-10-01, which is not after it joins (2011-10-01)",
    ),
    wrong("a code twice", '"454061"', '▶"435015"', "435015 is the code of nishiki already"),
    wrong(
        "the code of a prefecture",
        '"454061"',
        '▶"450006"',
        "450006 is the code of a prefecture; write `kind: prefecture`, or correct it",
    ),
    wrong(
        "the code of a town for a prefecture",
        '    lg_code: "454061"\n',
        '    lg_code: ▶"454061"\n    kind: prefecture\n',
        "454061 is not the code of a prefecture; those end in 000 and a check digit",
    ),
    Wrong(
        "a model that the edition does not know",
        (
            ("総合行政システム}", "総合行政システム, policy_basis: {doc: soumu-guideline, edition: R2-12}}"),
            ("model: alpha_prime", "model: ▶alpha_prime"),
        ),
        ("model alpha_prime came with edition R6-10; the group's policy_basis is R2-12",),
    ),
    wrong(
        "an edition that is none",
        "総合行政システム}",
        "総合行政システム, policy_basis: {doc: soumu-guideline, edition: ▶令和7年3月}}",
        '"令和7年3月": not an edition; write era, year and month, such as R7-03',
    ),
)

HOSTS = (
    wrong("a site abroad", "country: JP", "country: ▶US", "site dc1 is in US; residents' data stays in Japan (R48)"),
    wrong(
        "memory of no whole MiB",
        KVM01,
        KVM01.replace("256", "▶0.3"),
        "0.3 GiB is not a whole number of MiB; 0.2998046875 is, for example",
    ),
    wrong(
        "nodes of no whole MiB",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("memory_gib: 4", "memory_gib: ▶1.7"),
        "1.7 GiB is not a whole number of MiB; 1.69921875 is, for example",
    ),
    wrong(
        "a slice larger than its host",
        KVM01,
        KVM01.replace("4000}", "4000, slice: {vcpus: ▶64, memory_gib: 64, storage_gib: 1000}}"),
        "the slice has 64, but host kvm01 only 32",
    ),
    wrong(
        "one machine as two hosts",
        '"qemu+ssh://root@kvm02/system"',
        '▶"qemu+ssh://root@kvm01/system"',
        "kvm02 is the same machine as kvm01",
    ),
    Wrong(
        "a chassis for one host only",
        (
            (KVM01, KVM01.replace("4000}", "4000, chassis: A}")),
            ("{id: kvm02, ", "▶{id: kvm02, "),
            ("{id: kvm03, ", "▶{id: kvm03, "),
        ),
        (
            "host kvm02 names no chassis, but kvm01 does; name it for all or for none",
            "host kvm03 names no chassis, but kvm01 does; name it for all or for none",
        ),
    ),
    Wrong(
        "as many spare hosts as hosts",
        (
            ("spare_hosts: 1\n", "spare_hosts: ▶1\n"),
            (
                '  - {id: kvm02, site: dc1, libvirt: "qemu+ssh://root@kvm02/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}\n',
                "",
            ),
            (
                '  - {id: kvm03, site: dc1, libvirt: "qemu+ssh://root@kvm03/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}\n',
                "",
            ),
        ),
        ("spare_hosts is 1, but only 1 host is declared",),
    ),
    wrong(
        "zones put together without a reason",
        "{hosts: separate, gateways: separate}",
        "{hosts: ▶shared, gateways: ▶shared, reason: 台数が少ない}",
        "`hosts: shared` puts zones together; say why and who agreed: approved_by missing",
        "`gateways: shared` puts zones together; say why and who agreed: approved_by missing",
    ),
    wrong(
        "slow timers on a real host",
        "  gateway: shared\n",
        "  gateway: shared\n  timers: ▶emulated\n",
        "`timers: emulated` is for simulated hosts (`libvirt: lab`) only, and kvm01 is a real one",
    ),
    wrong(
        "service hours that nobody knows",
        'base: service_hours, calendar: {days: weekdays, from: "08:30", to: "17:30"}',
        "base: ▶service_hours",
        "`base: service_hours` needs a `calendar` that says which hours those are",
    ),
    wrong(
        "a day that ends before it begins",
        'to: "17:30"',
        'to: ▶"08:30"',
        "the calendar closes at 08:30, which is not after 08:30",
    ),
    wrong(
        "a recovery time that the timers of a layer cannot meet",
        "recovery_hours: 24",
        "recovery_hours: ▶0.005",
        "the layer database serves again after 43.0 s at worst, by its timers; 18 s are declared, so declare a longer time",
    ),
    Wrong(
        "an availability that one restored machine uses up: 0.1 % of 245 days of 9 h",
        (
            ("availability_percent: 99.5", "availability_percent: ▶99.9"),
            (
                "      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}\n  - id: kyuyo",
                "      application: {count: 1, vcpus: 2, memory_gib: 4, disk_gib: 40}\n  - id: kyuyo",
            ),
        ),
        (
            (
                "zaimu: a machine without a partner, restored within 24 h, is away for 9 h of service; 99.9 % of 2205 h a "
                "year leave 2.2 h, so declare a second machine, a shorter recovery time or a lower availability"
            ),
        ),
    ),
    wrong(
        "an availability that a takeover uses up: one millionth of 365 days",
        "availability_percent: 99.5, base: service_hours",
        "availability_percent: ▶99.9999, base: always",
        "the layer database is away for 43.0 s after one fault, by its timers; 99.9999 % of 8760 h a year leave 31.5 s, "
        "so declare a lower availability",
    ),
    Wrong(
        "two data centers to choose from",
        ((SITE, SITE + SECOND_SITE), ("  - id: juki\n", "  - ▶id: juki\n"), ("  - id: zaimu\n", "  - ▶id: zaimu\n")),
        (
            "juki needs `site`: 2 data centers are declared (dc1, dc2)",
            "zaimu needs `site`: 2 data centers are declared (dc1, dc2)",
        ),
    ),
    Wrong(
        "a site without hosts and lines",
        (
            (SITE, SITE + SECOND_SITE.replace("data_center", "secondary")),
            ("  - id: zaimu\n", "  - ▶▶id: zaimu\n"),
            ("    pattern_reason: 各町の機種更新時期\n", "    pattern_reason: 各町の機種更新時期\n    site: ▶dc2\n"),
        ),
        (
            "nishiki takes part in zaimu (lgwan), but has no main line that carries this zone to dc2",
            "tsuno takes part in zaimu (lgwan), but has no main line that carries this zone to dc2",
            "zaimu runs at dc2, but no host is declared there",
        ),
    ),
)

PREFIXES = (
    wrong(
        "LANs of one office that overlap",
        TSUNO_LANS,
        "          mynumber: [10.2.0.0/17]\n          lgwan: [▶10.2.64.0/18]\n",
        "10.2.64.0/18 overlaps 10.2.0.0/17, the mynumber LAN of tsuno/honcho; every LAN of a member needs its own addresses",
    ),
    wrong(
        "LANs of two members on one gateway",
        "          lgwan: [10.2.64.0/18]\n",
        "          lgwan: [▶10.1.64.0/20]\n",
        "10.1.64.0/20 overlaps 10.1.64.0/18, the lgwan LAN of nishiki/honcho; both use the shared gateway, so one of "
        "them needs other addresses or a source translation on each of its lines",
    ),
    Wrong(
        "LANs of two members in one multi-tenant service",
        (
            ("gateway: shared\n", "gateway: dedicated\n"),
            ("          mynumber: [10.2.0.0/18]\n", "          mynumber: [▶10.1.0.0/20]\n"),
        ),
        (
            (
                "10.1.0.0/20 overlaps 10.1.0.0/18, the mynumber LAN of nishiki/honcho; both take part in juki, which all its "
                "members share, so one of them needs other addresses or a source translation on each of its lines"
            ),
        ),
    ),
    Wrong(
        "a translation on one of two lines",
        (
            ("lgwan: [10.1.64.0/18]", "lgwan: [10.1.64.0/18]"),
            ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [▶10.1.64.0/20]\n"),
            (
                "flows:\n",
                (
                    "translations:\n  - {closed_network: ▶vpn-a, member: nishiki, inside: 10.1.64.0/18, outside: 10.9.0.0/18,"
                    " direction: source}\nflows:\n"
                ),
            ),
        ),
        (
            (
                "10.1.64.0/20 overlaps 10.1.64.0/18, the lgwan LAN of nishiki/honcho; both use the shared gateway, so one of "
                "them needs other addresses or a source translation on each of its lines"
            ),
            (
                "10.1.64.0/18, the lgwan LAN of nishiki/honcho, is translated on nishiki-backup and not in the same way on "
                "nishiki-main; a terminal has one address for our services, whichever line carries it"
            ),
        ),
    ),
    wrong(
        "an office inside the supernet",
        "          lgwan: [10.2.64.0/18]\n",
        "          lgwan: [▶172.16.64.0/18]\n",
        "172.16.64.0/18 overlaps addressing.supernet 172.16.0.0/12, from which all inner addresses come",
    ),
    Wrong(
        "a supernet that swallows a hand-off",
        (
            ("supernet: 172.16.0.0/12", "supernet: 198.51.100.16/29"),
            ("{prefix: 198.51.100.16/29", "{prefix: ▶198.51.100.16/29"),
        ),
        ("198.51.100.16/29 overlaps addressing.supernet 198.51.100.16/29, from which all inner addresses come",),
    ),
    wrong(
        "an underlay inside the supernet",
        KVM01,
        KVM01.replace("4000}", "4000, underlay: ▶172.16.0.1}"),
        "172.16.0.1 lies in addressing.supernet 172.16.0.0/12; hosts are reached outside of it",
    ),
    wrong(
        "an assigned prefix that an office has",
        "assigned_prefix: 198.18.0.0/20",
        "assigned_prefix: ▶10.2.0.0/20",
        "10.2.0.0/20 overlaps 10.2.0.0/18, the mynumber LAN of tsuno/honcho",
    ),
    wrong(
        "one assigned prefix for two networks",
        "kind: ip_vpn}",
        "kind: ip_vpn, assigned_prefix: ▶198.18.8.0/24}",
        "198.18.8.0/24 overlaps 198.18.0.0/20, the assigned prefix of lgwan",
    ),
    wrong(
        "one hand-off prefix for two lines",
        BACKUP_ALL,
        BACKUP_ALL.replace("198.51.100.16/29", "▶198.51.100.8/29")
        .replace(".17,", ".9,")
        .replace(".18,", ".10,")
        .replace(".19]", ".11]")
        .replace(".20,", ".12,"),
        "198.51.100.8/29 overlaps 198.51.100.8/29, the hand-off lgwan of nishiki-main",
    ),
    Wrong(
        "a hand-off inside an office",
        (
            ("          lgwan: [10.2.64.0/18]\n", "          lgwan: [198.51.100.32/27]\n"),
            ("{prefix: 198.51.100.32/29", "{prefix: ▶198.51.100.32/29"),
        ),
        ("198.51.100.32/29 overlaps 198.51.100.32/27, the lgwan LAN of tsuno/honcho",),
    ),
    Wrong(
        "a hand-off in another network's assigned prefix",
        (
            ("kind: ip_vpn}", "kind: ip_vpn, assigned_prefix: 198.51.100.0/29}"),
            ("{prefix: 198.51.100.0/29", "{prefix: ▶198.51.100.0/29"),
        ),
        ("198.51.100.0/29 overlaps 198.51.100.0/29, the assigned prefix of vpn-a",),
    ),
    wrong(
        "an office in IPv6",
        "          lgwan: [10.2.64.0/18]\n",
        '          lgwan: [10.2.64.0/18, ▶"2001:db8::/48"]\n',
        "2001:db8::/48: IPv6 is not carried yet; declare the IPv4 prefix or address",
    ),
    wrong(
        "an office on loopback",
        "          lgwan: [10.2.64.0/18]\n",
        "          lgwan: [▶127.16.0.0/18]\n",
        "127.16.0.0/18 holds addresses that no host can have (127.0.0.0/8 is loopback)",
    ),
    wrong(
        "an office that is the whole world",
        "          lgwan: [10.2.64.0/18]\n",
        "          lgwan: [▶0.0.0.0/0]\n",
        "0.0.0.0/0 holds addresses that no host can have (0.0.0.0/8 is this network)",
    ),
    wrong(
        "a destination translation of two sizes",
        "flows:\n",
        "translations:\n  - {closed_network: lgwan, inside: 172.16.0.0/24, outside: ▶198.18.128.0/25, direction: destination}\nflows:\n",
        "a destination translation maps address by address; `inside` and `outside` need the same length",
    ),
    wrong(
        "one inside translated twice",
        "flows:\n",
        "translations:\n"
        "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/17, outside: 10.9.0.0/17, direction: source}\n"
        "  - {closed_network: lgwan, member: tsuno, inside: ▶10.2.0.0/18, outside: 10.10.0.0/18, direction: source}\n"
        "flows:\n",
        "10.2.0.0/18 overlaps 10.2.0.0/17, which is translated on the same network",
    ),
)

HANDOFFS = (
    Wrong(
        "a zone without hand-off",
        (
            (
                "    handoff:\n      mynumber: {prefix: 198.51.100.0/29",
                "    ▶handoff:\n      mynumber: {prefix: 198.51.100.0/29",
            ),
            (NISHIKI_MAIN_LGWAN, ""),
        ),
        (
            (
                "the hand-off for lgwan is missing; with `separation: segment`, nishiki-main has one hand-off for "
                "mynumber and lgwan"
            ),
        ),
    ),
    wrong(
        "one hand-off for all where zones have their own segment",
        "    separation: prefix\n    separation_reason: 事業者の引渡しが一つ\n    handoff:\n      all:",
        "    ▶▶handoff:\n      ▶all:",
        "the hand-off for lgwan is missing; with `separation: segment`, nishiki-backup has one hand-off for "
        "mynumber and lgwan",
        "the hand-off for mynumber is missing; with `separation: segment`, nishiki-backup has one hand-off for "
        "mynumber and lgwan",
        "hand-off all does not belong here; with `separation: segment`, nishiki-backup has one hand-off for "
        "mynumber and lgwan",
    ),
    wrong(
        "weak separation without a reason",
        "    separation: prefix\n    separation_reason: 事業者の引渡しが一つ\n",
        "    separation: ▶prefix\n",
        "`separation: prefix` is weaker than a hand-off per zone; give `separation_reason`",
    ),
    Wrong(
        "no hand-off on real hosts",
        (
            ("  - id: nishiki-backup\n", "  - ▶id: nishiki-backup\n"),
            (
                "    separation_reason: 事業者の引渡しが一つ\n    handoff:\n" + BACKUP_ALL,
                "    separation_reason: 理由\n",
            ),
        ),
        (
            (
                "nishiki-backup needs `handoff` with the carrier's values: kvm03 in dc1 is a real host, and such values are "
                "never made up outside the lab"
            ),
        ),
    ),
    wrong(
        "a hand-off that is too small",
        "198.51.100.16/29",
        "▶198.51.100.16/30",
        "198.51.100.16/30 is too small; a hand-off needs at least a /29 (two gateways, their virtual IP and the provider's edge)",
    ),
    wrong(
        "a peer elsewhere",
        "peer: 198.51.100.17",
        "peer: ▶198.51.101.17",
        "peer 198.51.101.17 lies outside 198.51.100.16/29",
    ),
    wrong(
        "the broadcast address",
        "vip: 198.51.100.20",
        "vip: ▶198.51.100.23",
        "vip 198.51.100.23 is the broadcast address of 198.51.100.16/29; no host can have it",
    ),
    wrong(
        "the network address",
        "[198.51.100.18, 198.51.100.19]",
        "[▶198.51.100.16, 198.51.100.19]",
        "local[0] 198.51.100.16 is the network address of 198.51.100.16/29; no host can have it",
    ),
    wrong(
        "one address for both gateways",
        "[198.51.100.18, 198.51.100.19]",
        "[198.51.100.18, ▶198.51.100.18]",
        "local[1] 198.51.100.18 is the address of local[0] already",
    ),
    wrong(
        "BGP without AS numbers",
        NISHIKI_MAIN_LGWAN,
        NISHIKI_MAIN_LGWAN.replace("{prefix", "▶{prefix").replace("peer_as: 64600, ", ""),
        "`routing: bgp` needs `peer_as`",
    ),
    wrong(
        "a timer without BGP",
        BACKUP_ALL,
        BACKUP_ALL.replace("static", "static, ▶hold_s: 9"),
        "`hold_s` has no effect with `routing: static`; remove it",
    ),
    wrong(
        "a tunnel's end without a tunnel",
        BACKUP_ALL,
        BACKUP_ALL.replace("static", "static, ▶tunnel_peer: 203.0.113.9"),
        "`tunnel_peer` has no effect with `routing: static`; remove it",
    ),
    Wrong(
        "a tunnel without numbers for the BGP in it",
        ((BACKUP_ALL, BACKUP_ALL.replace("all: {", "all: ▶▶{").replace("static", "tunnel")),),
        ("`routing: tunnel` needs `local_as`", "`routing: tunnel` needs `peer_as`"),
    ),
    Wrong(
        "two tunnels to one far end",
        (
            (
                "vip: 198.51.100.28, routing: static}",
                "vip: 198.51.100.28, routing: tunnel, peer_as: 64700, local_as: 65010, tunnel_peer: 192.0.2.1}",
            ),
            (
                "vip: 198.51.100.36, routing: static}",
                "vip: 198.51.100.36, routing: tunnel, peer_as: 64700, local_as: 65010, tunnel_peer: ▶192.0.2.1}",
            ),
        ),
        (
            (
                "192.0.2.1 is the far end of a tunnel of tsuno-main already, and leads out by one card only; a line has one "
                "hand-off for all its zones then (`separation: prefix`)"
            ),
        ),
    ),
    Wrong(
        "the Internet without a tunnel",
        (("kind: ip_vpn}", "kind: internet_vpn}"), (BACKUP_ALL, BACKUP_ALL.replace("static", "▶static"))),
        ("vpn-a is an internet_vpn; a line on it needs `routing: tunnel` (IPsec)",),
    ),
)

LINES = (
    wrong(
        "a zone twice",
        "    zones: [mynumber, lgwan]\n    separation: segment\n",
        "    zones: [mynumber, lgwan, ▶lgwan]\n    separation: segment\n",
        "lgwan stands here a second time",
    ),
    wrong(
        "two main lines",
        "    role: backup\n    class: best_effort\n",
        "    role: ▶main\n    class: reserved\n",
        "nishiki-main is the main line for mynumber of nishiki already; make one a backup",
    ),
    Wrong(
        "no main line",
        (
            ("    role: main\n    class: reserved\n", "    role: backup\n    class: reserved\n"),
            ("{member: tsuno, from: 2011-10-08}", "▶{member: tsuno, from: 2011-10-08}"),
            ("  - id: zaimu\n", "  - ▶id: zaimu\n"),
        ),
        (
            "tsuno takes part in juki (mynumber), but has no main line that carries this zone to dc1",
            "tsuno takes part in zaimu (lgwan), but has no main line that carries this zone to dc1",
        ),
    ),
    Wrong(
        "no LAN in the zone",
        (("          lgwan: [10.2.64.0/18]\n", ""), ("  - id: zaimu\n", "  - ▶id: zaimu\n")),
        ("tsuno takes part in zaimu (lgwan), but none of its offices has a LAN of that zone",),
    ),
    Wrong(
        "the public Internet alone",
        (
            ("  - {id: vpn-a, kind: ip_vpn}\n", "  - {id: vpn-a, kind: ip_vpn}\n  - {id: net, kind: internet_vpn}\n"),
            (
                "    closed_network: lgwan\n    role: main\n    class: reserved\n",
                "    closed_network: net\n    role: main\n    class: reserved\n",
            ),
            (
                "vip: 198.51.100.28, routing: static",
                "vip: 198.51.100.28, routing: tunnel, peer_as: 64700, local_as: 65010",
            ),
            (
                "vip: 198.51.100.36, routing: static",
                "vip: 198.51.100.36, routing: tunnel, peer_as: 64700, local_as: 65010",
            ),
            ("{member: tsuno, from: 2011-10-08}", "▶{member: tsuno, from: 2011-10-08}"),
            ("  - id: zaimu\n", "  - ▶id: zaimu\n"),
        ),
        (
            (
                "tsuno reaches juki over the public Internet only (tsuno-main); even encrypted it promises no bandwidth, "
                "so a closed network is needed beside it (R3)"
            ),
            (
                "tsuno reaches zaimu over the public Internet only (tsuno-main); even encrypted it promises no bandwidth, "
                "so a closed network is needed beside it (R3)"
            ),
        ),
    ),
    Wrong(
        "5 to 20 Mbit/s between prefectures against 100 recommended",
        (
            (HOPS, "path: [{hop: 県NOC-県NOC, mbps: ▶▶20}]"),
            ("    required_mbps: 20\n", "    required_mbps: 100\n"),
            ("    mbps: 50\n", "    mbps: 100\n"),
        ),
        (
            "the services on nishiki-main require 100 Mbit/s (juki 100), but the hop 県NOC-県NOC of lgwan carries 20 (R8)",
            "the services on tsuno-main require 100 Mbit/s (juki 100), but the hop 県NOC-県NOC of lgwan carries 20 (R8)",
        ),
    ),
    Wrong(
        "lines too narrow for the sum of their services",
        (
            (ZAIMU_NODES, ZAIMU_NODES.replace("    nodes", "    required_mbps: 35.5\n    nodes")),
            ("    class: guaranteed\n    mbps: 100\n", "    class: guaranteed\n    mbps: ▶55\n"),
            ("    mbps: 50\n", "    mbps: ▶50\n"),
        ),
        (
            "the services on nishiki-main require 55.5 Mbit/s (juki 20, zaimu 35.5), but the line carries 55",
            (
                "the services on nishiki-backup require 55.5 Mbit/s (juki 20, zaimu 35.5), but the line carries 50; "
                "when the main line is cut, all of it moves here"
            ),
        ),
    ),
    wrong(
        "best effort on the main line",
        "    class: reserved\n",
        "    class: ▶best_effort\n",
        "the services on tsuno-main require 20 Mbit/s (juki 20), but a best-effort line promises none; a main line is guaranteed or reserved (R1)",
    ),
)

SERVICES = (
    wrong(
        "a participant twice",
        "[nishiki, {member: tsuno,",
        "[nishiki, ▶nishiki, {member: tsuno,",
        "nishiki stands in the participants of juki a second time",
    ),
    wrong(
        "a participation that ends before it begins",
        "from: 2011-10-08}",
        "from: 2011-10-08, until: ▶2011-10-08}",
        "until 2011-10-08 is not after from 2011-10-08",
    ),
    wrong(
        "taking part before joining",
        "from: 2011-10-08}",
        "from: ▶2011-10-01}",
        "2011-10-01 is before tsuno joins the group (2011-10-08)",
    ),
    Wrong(
        "taking part after leaving",
        (
            ("    joins: 2011-10-08\n", "    joins: 2011-10-08\n    leaves: 2012-10-08\n"),
            ("from: 2011-10-08}", "from: ▶2012-10-08}"),
        ),
        ("from 2012-10-08 is not within the membership of tsuno, which leaves on 2012-10-08",),
    ),
    Wrong(
        "no nodes",
        (
            ("  - id: zaimu\n", "  - ▶id: zaimu\n"),
            (
                "    nodes:\n      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}\n  - id: kyuyo\n",
                "  - id: kyuyo\n",
            ),
        ),
        ("zaimu needs `nodes`, or `runs_on` with the service whose nodes it uses",),
    ),
    wrong(
        "nodes of its own and of another",
        "    runs_on: zaimu\n",
        "    runs_on: zaimu\n    ▶nodes: {application: {count: 1, vcpus: 1, memory_gib: 1}}\n",
        "kyuyo runs on the nodes of zaimu; remove `nodes` or `runs_on`",
    ),
    wrong(
        "no application",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("nodes:", "▶nodes:").replace("application", "database"),
        "zaimu has no application nodes; nothing would answer",
    ),
    wrong(
        "a balancer of one",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("count: 2", "count: 1").replace(
            "  - id", "      ▶load_balancer: {count: 2, vcpus: 1, memory_gib: 1}\n  - id"
        ),
        "a load balancer in front of one application node balances nothing; declare two, or remove it",
    ),
    wrong(
        "a witness of nothing",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("  - id", "      ▶witness: {count: 1, vcpus: 1, memory_gib: 1}\n  - id"),
        "a witness is the third voter beside two database nodes; zaimu has none",
    ),
    wrong(
        "two witnesses",
        JUKI_NODES,
        JUKI_NODES + "      witness: {count: ▶2, vcpus: 1, memory_gib: 1}\n",
        "one witness is the third voter; 2 are declared",
    ),
    wrong("running on itself", "runs_on: zaimu", "runs_on: ▶kyuyo", "kyuyo cannot run on itself"),
    Wrong(
        "running on one that runs on another",
        (
            (ZAIMU_NODES, "    listen: [tcp/443]\n    runs_on: ▶kyuyo\n  - id: kyuyo\n"),
            ("runs_on: zaimu", "runs_on: ▶zaimu"),
        ),
        (
            "kyuyo runs on zaimu itself; name a service that has nodes of its own",
            "zaimu runs on kyuyo itself; name a service that has nodes of its own",
        ),
    ),
    wrong(
        "running in another zone",
        "    title: 人事給与\n    zone: lgwan\n",
        "    title: 人事給与\n    zone: ▶mynumber\n",
        "kyuyo runs on zaimu, whose zone is lgwan, not mynumber",
    ),
    wrong(
        "running in another pattern",
        "    pattern: mixed\n    pattern_reason: 財務会計と同じ機器\n",
        "    pattern: ▶per_municipality\n    pattern_reason: 財務会計と同じ機器\n",
        "kyuyo runs on zaimu, whose pattern is mixed, not per_municipality",
    ),
    Wrong(
        "two businesses on hosts of one",
        (
            (
                "    pattern: mixed\n    pattern_reason: 各町の機種更新時期\n",
                "    pattern: same_business\n    pattern_reason: 各町の機種更新時期\n",
            ),
            (
                "    pattern: mixed\n    pattern_reason: 財務会計と同じ機器\n",
                "    pattern: same_business\n    pattern_reason: 財務会計と同じ機器\n",
            ),
            ("runs_on: zaimu", "runs_on: ▶zaimu"),
        ),
        ("with pattern same_business (①) hosts carry one business only; give the service nodes of its own",),
    ),
    Wrong(
        "running for those whom the other does not serve",
        (
            (
                "    pattern_reason: 各町の機種更新時期\n",
                "    pattern_reason: 各町の機種更新時期\n    participants: [nishiki]\n",
            ),
            ("runs_on: zaimu", "runs_on: ▶zaimu"),
        ),
        ("tsuno takes part in kyuyo, but not in zaimu, on whose nodes it runs",),
    ),
    wrong(
        "common data outside pattern ④",
        ZAIMU_NODES,
        "    data: ▶common\n" + ZAIMU_NODES,
        "`data: common` is for pattern multi_tenant (④) only; every other keeps members' data apart",
    ),
    wrong(
        "hosts outside pattern ④",
        ZAIMU_NODES,
        "    ▶hosts: [kvm01]\n" + ZAIMU_NODES,
        "`hosts` is for pattern multi_tenant (④) only; with mixed the pattern chooses them",
    ),
    wrong(
        "a host twice",
        "    required_mbps: 20\n",
        "    required_mbps: 20\n    hosts: [kvm01, ▶kvm01]\n",
        "kvm01 stands here a second time",
    ),
    wrong(
        "listening to ping",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("tcp/443", "▶icmp"),
        "icmp has no port to listen on; write one such as tcp/443",
    ),
    wrong(
        "listening twice",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("tcp/443", "tcp/400-500, ▶tcp/443"),
        "tcp/443 overlaps tcp/400-500, which stands before it",
    ),
)


def flow(text: str) -> str:
    """Return the good flow's place with ``text`` before what every flow needs."""
    return f"  - {{{text}, {AGREED}"


FLOWS = (
    wrong(
        "a flow without its method",
        FLOW,
        flow(
            'from: ▶"office:nishiki/internet", to: "service:zaimu", allow: [tcp/25], kind: sanitized, via: 無害化装置'
        ).replace("- {", "- ▶{"),
        "kind sanitized needs `method`: how the traffic is made harmless",
        "no office of nishiki has a LAN of the internet zone",
    ),
    wrong(
        "a national system without a name",
        FLOW,
        flow(
            'from: "service:juki@each_member", to: "external:juki-net", allow: [tcp/443], kind: national_backend'
        ).replace("- {", "- ▶{"),
        "kind national_backend needs `system`: the national system it is for",
    ),
    wrong(
        "a method where none is",
        FLOW,
        FLOW.replace("kind: specific", "kind: specific, ▶method: screen_transfer"),
        "`method` has no effect with kind specific; remove it",
    ),
    wrong(
        "mynumber to the Internet",
        FLOW,
        flow(
            'from: "service:juki@nishiki", to: "external:internet", allow: [tcp/443], kind: ▶via_security_cloud, via: 県SC'
        ),
        "from the mynumber zone to the public Internet is never allowed, whatever its kind (TZ-1)",
    ),
    wrong(
        "lgwan to mynumber as sanitised",
        FLOW,
        flow(
            'from: "service:zaimu", to: "service:juki", allow: [tcp/443], kind: ▶sanitized, method: screen_transfer, via: 画面転送装置'
        ),
        "kind sanitized (TZ-4) does not cover from the lgwan zone to the mynumber zone; the kinds for it are specific",
    ),
    wrong(
        "a specific flow to a closed network",
        FLOW,
        flow('from: "service:zaimu", to: ▶"network:vpn-a", allow: [tcp/443], kind: ▶specific'),
        "closed network vpn-a has no `assigned_prefix`, and so no addresses; its operator assigns it, it is never made up",
        "kind specific (TZ-1) does not cover from the lgwan zone to a closed network; the kinds for it are member_link, direct_link",
    ),
    wrong(
        "lgwan to the Internet past the sanitiser",
        FLOW,
        flow('from: "service:zaimu", to: "external:internet", allow: [tcp/443], kind: ▶specific'),
        "kind specific (TZ-1) does not cover from the lgwan zone to the public Internet; no kind allows it",
    ),
    wrong(
        "a breakout in model α",
        FLOW,
        flow('from: "office:nishiki/lgwan", to: "external:groupware", allow: [tcp/443], kind: ▶local_breakout'),
        "kind local_breakout needs model alpha_prime; a member here follows alpha (TZ-5)",
    ),
    wrong(
        "member to member",
        FLOW,
        flow('from: "office:nishiki/lgwan", to: "service:zaimu@tsuno", allow: [tcp/443], kind: ▶specific'),
        "one member never reaches another (TZ-6); only kind mutual_support may join two members",
    ),
    wrong(
        "support of oneself",
        FLOW,
        flow('from: "office:nishiki/lgwan", to: "service:zaimu@nishiki", allow: [tcp/443], kind: ▶mutual_support'),
        "kind mutual_support joins two different members; both ends here belong to the same one",
    ),
    wrong(
        "support across zones",
        FLOW,
        flow('from: "office:nishiki/lgwan", to: "office:tsuno/mynumber", allow: [tcp/443], kind: ▶mutual_support'),
        "kind mutual_support (TZ-7) does not cover from the lgwan zone to the mynumber zone; no kind allows it",
    ),
    wrong(
        "a specific flow of all ports",
        FLOW,
        FLOW.replace("tcp/8443", "▶tcp/1-65535"),
        "tcp/1-65535: a specific flow names the ports it needs (TZ-1)",
    ),
    wrong(
        "a specific flow of pings",
        FLOW,
        FLOW.replace("tcp/8443", "tcp/8443, ▶icmp"),
        "icmp: a specific flow names the ports it needs (TZ-1)",
    ),
    wrong(
        "a shared service that does not say for whom",
        FLOW,
        FLOW.replace('"service:juki@each_member"', '▶"service:juki"'),
        "juki serves several members from the same nodes; say for whom it speaks: service:juki@MEMBER or service:juki@each_member",
    ),
    wrong(
        "an office without the zone",
        FLOW,
        FLOW.replace('"service:juki@each_member"', '▶"office:tsuno/internet"').replace(
            "kind: specific", "kind: ▶specific"
        ),
        "no office of tsuno has a LAN of the internet zone",
        "kind specific (TZ-1) does not cover from the internet zone to the lgwan zone; the kinds for it are sanitized",
    ),
    Wrong(
        "a service that the member does not use",
        (
            (
                "    pattern_reason: 各町の機種更新時期\n",
                "    pattern_reason: 各町の機種更新時期\n    participants: [nishiki]\n",
            ),
            ("    runs_on: zaimu\n", "    runs_on: zaimu\n    participants: [nishiki]\n"),
            (FLOW, FLOW.replace("@each_member", "@tsuno").replace('"service:zaimu"', '▶"service:zaimu"')),
        ),
        ("tsuno takes no part in zaimu; a flow joins the two sides of the same member",),
    ),
    wrong(
        "a flow outside the stack",
        FLOW,
        flow('from: "network:lgwan", to: ▶"external:other", allow: [tcp/443], kind: direct_link, system: 住基ネット'),
        "both ends lie outside the stack; a flow has one end in it",
    ),
    wrong(
        "a flow to itself",
        FLOW,
        flow('from: "service:zaimu", to: ▶"service:zaimu", allow: [tcp/443], kind: specific'),
        "both ends are the same",
    ),
    wrong("a flow twice", FLOW, FLOW + FLOW.replace("- {", "- ▶{"), "the same flow stands in flows[0] already"),
)

REST = (
    wrong(
        "a service that the named member does not use",
        FLOW,
        FLOW.replace('"service:juki@each_member"', '▶"service:juki@takaharu"'),
        "no member takaharu; declared are nishiki, tsuno",
    ),
    Wrong(
        "a speaker for a member that takes no part",
        (
            ("    participants: [nishiki, {member: tsuno, from: 2011-10-08}]\n", "    participants: [nishiki]\n"),
            (FLOW, FLOW.replace('"service:juki@each_member"', '▶"service:juki@tsuno"')),
        ),
        ("tsuno takes no part in juki",),
    ),
    Wrong(
        "one underlay address for two hosts",
        (
            (KVM01, KVM01.replace("4000}", "4000, underlay: 192.0.2.11}")),
            ("{id: kvm02, ", "{id: kvm02, underlay: ▶192.0.2.11, "),
        ),
        ("192.0.2.11 is the underlay address of kvm01 already",),
    ),
    wrong(
        "an underlay in IPv6",
        KVM01,
        KVM01.replace("4000}", '4000, underlay: ▶"2001:db8::11"}'),
        "2001:db8::11: IPv6 is not carried yet; declare the IPv4 prefix or address",
    ),
    Wrong("no hosts", ((HOSTS_TEXT, "hosts: ▶[]\n"),), ("no host is declared; nothing could run",)),
    wrong(
        "an outside that an office has",
        "flows:\n",
        "translations:\n"
        "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/18, outside: ▶10.2.64.0/18, direction: source}\n"
        "flows:\n",
        "10.2.64.0/18 overlaps 10.2.64.0/18, the lgwan LAN of tsuno/honcho",
    ),
    wrong(
        "a site for a service on another's nodes",
        "    runs_on: zaimu\n",
        "    runs_on: zaimu\n    site: ▶dc1\n",
        "kyuyo runs where zaimu runs; remove `site`",
    ),
    wrong(
        "hosts for a service on another's nodes",
        "flows:\n",
        "  - {id: kokuho, title: 国民健康保険, zone: mynumber, pattern: multi_tenant, pattern_reason: 理由,\n"
        "     listen: [tcp/443], runs_on: juki, ▶hosts: [kvm01]}\n"
        "flows:\n",
        "kokuho runs on the nodes of juki; remove `hosts`",
    ),
    Wrong(
        "a host at another site",
        (
            (SITE, SITE + SECOND_SITE.replace("data_center", "secondary")),
            ("{id: kvm03, site: dc1,", "{id: kvm03, site: dc2,"),
            ("    required_mbps: 20\n", "    required_mbps: 20\n    hosts: [kvm01, ▶kvm03]\n"),
        ),
        ("host kvm03 stands at dc2, but juki runs at dc1",),
    ),
)

LINKED = GOOD[
    GOOD.index("    joins: 2011-10-01\n") : GOOD.index("    offices:\n      - {id: honcho, zones: {mynumber: [10.1.")
]
RENKEI = """\
  - {id: renkei, title: 連携, zone: lgwan, pattern: mixed, pattern_reason: 団体ごとの中間サーバ, participants: [nishiki],
     listen: [tcp/443], nodes: {application: {count: 1, vcpus: 1, memory_gib: 1}}}
flows:
"""
"""A link server of nishiki alone; it stands where `flows:` stands in the good file."""
LINKED_GOOD = (("flows:\n", RENKEI), (LINKED, LINKED + "    link_server: renkei\n"))
INTERNET_LAN = (
    "          lgwan: [10.2.64.0/18]\n",
    "          lgwan: [10.2.64.0/18]\n          internet: [10.2.128.0/18]\n",
)
NET = "translations:\n"

NETWORKS = (
    wrong(
        "a link server that does not exist",
        LINKED,
        LINKED + "    link_server: ▶renkei\n",
        "no service renkei; declared are juki, kyuyo, zaimu",
    ),
    Wrong(
        "a link server that the member does not use",
        (
            ("flows:\n", RENKEI),
            ("    joins: 2011-10-08\n", "    joins: 2011-10-08\n    link_server: ▶renkei\n"),
        ),
        ("tsuno takes no part in renkei, which it calls its link server",),
    ),
    wrong(
        "one link server for two members",
        LINKED,
        LINKED + "    link_server: ▶juki\n",
        "juki serves several members from the same nodes; every member has a link server of its own (R16)",
    ),
    wrong(
        "a link without a link server",
        FLOW,
        flow('from: ▶▶"service:zaimu", to: "external:prefecture", allow: [tcp/443], kind: member_link'),
        "nishiki declares no `link_server`, which kind member_link goes through (R16)",
        "tsuno declares no `link_server`, which kind member_link goes through (R16)",
    ),
    Wrong(
        "a link past the link server",
        (
            *LINKED_GOOD,
            (
                FLOW,
                flow('from: "external:prefecture", to: ▶"service:zaimu@nishiki", allow: [tcp/443], kind: member_link'),
            ),
        ),
        ("kind member_link goes through the link server of nishiki, which is renkei, not service:zaimu@nishiki (R16)",),
    ),
    Wrong(
        "a link straight from an office",
        (
            *LINKED_GOOD,
            (
                FLOW,
                flow('from: ▶"office:nishiki/lgwan", to: "external:prefecture", allow: [tcp/443], kind: member_link'),
            ),
        ),
        ("kind member_link goes through the link server of nishiki, which is renkei, not office:nishiki/lgwan (R16)",),
    ),
    wrong(
        "a direct link to nobody in particular",
        FLOW,
        flow('from: "service:juki@each_member", to: "external:kouki", allow: [tcp/443], kind: direct_link').replace(
            "- {", "- ▶{"
        ),
        "kind direct_link needs `system`: the system that is reached past the link server",
    ),
    Wrong(
        "sanitised by nothing",
        (
            INTERNET_LAN,
            (
                FLOW,
                flow(
                    'from: "office:tsuno/internet", to: "service:zaimu@tsuno", allow: [tcp/25], kind: sanitized, '
                    "method: mail_to_text"
                ).replace("- {", "- ▶{"),
            ),
        ),
        ("kind sanitized needs `via`: the device in the path that does it",),
    ),
    Wrong(
        "the Internet without the security cloud's gateway",
        (
            INTERNET_LAN,
            (
                FLOW,
                flow(
                    'from: "office:tsuno/internet", to: "external:internet", allow: [tcp/443], kind: via_security_cloud'
                ).replace("- {", "- ▶{"),
            ),
        ),
        ("kind via_security_cloud needs `via`: the gateway of the security cloud",),
    ),
    Wrong(
        "the Internet past the security cloud",
        (
            INTERNET_LAN,
            (
                FLOW,
                flow(
                    'from: "office:tsuno/internet", to: "external:internet", allow: [tcp/443], kind: ▶direct_link, system: x'
                ),
            ),
        ),
        (
            (
                "kind direct_link (R17) does not cover from the internet zone to the public Internet; the kinds for it are "
                "via_security_cloud"
            ),
        ),
    ),
    wrong(
        "a device without a use",
        FLOW,
        FLOW.replace("kind: specific", "kind: specific, ▶via: 画面転送装置"),
        "`via` has no effect with kind specific; remove it",
    ),
    wrong(
        "a system without a use",
        FLOW,
        FLOW.replace("kind: specific", "kind: specific, ▶system: 住基ネット"),
        "`system` has no effect with kind specific; remove it",
    ),
    Wrong(
        "LGWAN without the prefix that J-LIS assigns",
        (
            ("assigned_prefix: 198.18.0.0/20, ", ""),
            (FLOW, flow('from: "service:zaimu", to: ▶"network:lgwan", allow: [tcp/443], kind: lgwan_ce')),
        ),
        ("closed network lgwan has no `assigned_prefix`, and so no addresses; J-LIS assigns it, it is never made up",),
    ),
    Wrong(
        "the internet zone over LGWAN",
        (
            INTERNET_LAN,
            (
                "    mbps: 100\n    zones: [mynumber, lgwan]\n    handoff:\n",
                (
                    "    mbps: 100\n    zones: [mynumber, lgwan, ▶internet]\n    handoff:\n"
                    "      internet: {prefix: 203.0.113.0/29, peer: 203.0.113.1, local: [203.0.113.2, 203.0.113.3],\n"
                    "                 vip: 203.0.113.4, routing: static}\n"
                ),
            ),
        ),
        ("lgwan is LGWAN, which does not carry the internet zone (TZ-3)",),
    ),
    wrong(
        "the internet zone told apart by prefix only",
        "    zones: [mynumber, lgwan]\n    separation: prefix\n",
        "    zones: [mynumber, lgwan, ▶internet]\n    separation: prefix\n",
        "the internet zone needs a hand-off of its own, apart from the other zones' (TZ-3); give it a line, or "
        "`separation: segment`",
    ),
    wrong(
        "one AS on both sides",
        NISHIKI_MAIN_LGWAN,
        NISHIKI_MAIN_LGWAN.replace("peer_as: 64600, local_as: 65010", "peer_as: 65010, local_as: ▶65010"),
        "the gateways and the carrier both have AS 65010; between them it is external BGP",
    ),
    wrong(
        "two members that look the same outside",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: nishiki, inside: 10.1.0.0/18, outside: 10.9.0.0/18, direction: source}\n"
        "  - {closed_network: vpn-a, member: nishiki, inside: 10.1.0.0/18, outside: 10.9.0.0/18, direction: source}\n"
        "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/18, outside: ▶10.9.0.0/18, direction: source}\n"
        "flows:\n",
        "10.9.0.0/18 overlaps 10.9.0.0/18, which services see for nishiki already",
    ),
    wrong(
        "two members that reach one address on one network",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: nishiki, inside: 172.16.0.0/24, outside: 198.18.1.0/24, direction: destination}\n"
        "  - {closed_network: lgwan, member: tsuno, inside: 172.16.1.0/24, outside: ▶198.18.1.0/24, direction: destination}\n"
        "flows:\n",
        "198.18.1.0/24 overlaps 198.18.1.0/24, which lgwan sees for nishiki already",
    ),
    wrong(
        "one address for two services",
        "flows:\n",
        NET + "  - {closed_network: lgwan, inside: 172.16.0.0/24, outside: 198.18.1.0/24, direction: destination}\n"
        "  - {closed_network: vpn-a, inside: 172.16.1.0/24, outside: ▶198.18.1.0/24, direction: destination}\n"
        "flows:\n",
        "198.18.1.0/24 overlaps 198.18.1.0/24, which stands for 172.16.0.0/24 already",
    ),
    wrong(
        "offices that look like services",
        "flows:\n",
        NET + "  - {closed_network: lgwan, inside: 172.16.0.0/18, outside: 198.18.64.0/18, direction: destination}\n"
        "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/18, outside: ▶198.18.64.0/18, direction: source}\n"
        "flows:\n",
        "198.18.64.0/18 overlaps 198.18.64.0/18, which is what a destination translation shows",
    ),
    wrong(
        "services translated from where none is",
        "flows:\n",
        NET + "  - {closed_network: lgwan, inside: ▶10.8.0.0/24, outside: 198.18.1.0/24, direction: destination}\n"
        "flows:\n",
        "services have addresses of addressing.supernet 172.16.0.0/12; 10.8.0.0/24 is not inside, and nothing would be "
        "translated",
    ),
    wrong(
        "offices translated from where none is",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: tsuno, inside: ▶10.8.0.0/24, outside: 10.9.0.0/24, direction: source}\n"
        "flows:\n",
        "no LAN of tsuno with a line of lgwan for its zone lies in 10.8.0.0/24; nothing would be translated",
    ),
    wrong(
        "a part of a LAN translated",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: tsuno, inside: ▶10.2.0.0/24, outside: 10.9.0.0/24, direction: source}\n"
        "flows:\n",
        "10.2.0.0/24 is a part of 10.2.0.0/18, the mynumber LAN of tsuno/honcho; a LAN is translated as a whole",
    ),
    wrong(
        "a source translation of two sizes",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/18, outside: ▶10.9.0.0/24, direction: source}\n"
        "flows:\n",
        "a source translation maps address by address; `inside` and `outside` need the same length",
    ),
    wrong(
        "services shown inside a hand-off",
        "flows:\n",
        NET + "  - {closed_network: lgwan, inside: 172.16.0.0/29, outside: ▶198.51.100.0/29, direction: destination}\n"
        "flows:\n",
        "198.51.100.0/29 overlaps 198.51.100.0/29, the hand-off mynumber of nishiki-main",
    ),
    wrong(
        "offices shown inside an assigned prefix",
        "flows:\n",
        NET
        + "  - {closed_network: lgwan, member: tsuno, inside: 10.2.0.0/18, outside: ▶198.18.0.0/18, direction: source}\n"
        "flows:\n",
        "198.18.0.0/18 overlaps 198.18.0.0/20, the assigned prefix of lgwan",
    ),
    wrong(
        "a translation where the member has no line",
        "flows:\n",
        NET
        + "  - {closed_network: vpn-a, member: ▶tsuno, inside: 10.2.0.0/18, outside: 10.9.0.0/18, direction: source}\n"
        "flows:\n",
        "tsuno has no line of vpn-a, on which nothing is translated",
    ),
    wrong(
        "a hop too narrow for one member of many",
        HOPS,
        "path: [{hop: 庁舎-県NOC, mbps: 100}, {hop: 県NOC-全国NOC, mbps: ▶▶5}]",
        "the services on nishiki-main require 20 Mbit/s (juki 20), but the hop 県NOC-全国NOC of lgwan carries 5 (R8)",
        "the services on tsuno-main require 20 Mbit/s (juki 20), but the hop 県NOC-全国NOC of lgwan carries 5 (R8)",
    ),
    wrong(
        "a support link of two places",
        FLOW,
        flow('from: "service:zaimu@nishiki", to: "service:juki@tsuno", allow: [tcp/443], kind: ▶mutual_support'),
        "kind mutual_support (TZ-7) does not cover from the lgwan zone to the mynumber zone; no kind allows it",
    ),
    wrong(
        "a support link that names no member",
        FLOW,
        flow('from: "service:zaimu", to: "service:kyuyo", allow: [tcp/443], kind: ▶mutual_support'),
        "kind mutual_support joins two different members; both ends here belong to the same one",
    ),
    wrong(
        "intake in the wrong direction",
        FLOW,
        flow('from: "service:juki@each_member", to: "external:mynaportal", allow: [tcp/443], kind: ▶trusted_external'),
        "kind trusted_external (TZ-1) does not cover from the mynumber zone to an external system; the kinds for it are "
        "national_backend, member_link, direct_link",
    ),
    wrong(
        "mynumber over LGWAN's router",
        FLOW,
        flow('from: "service:juki@each_member", to: "network:lgwan", allow: [tcp/443], kind: ▶lgwan_ce'),
        "kind lgwan_ce (TZ-3) does not cover from the mynumber zone to the LGWAN; the kinds for it are national_backend, "
        "member_link, direct_link",
    ),
)

ALL = (*NETWORKS, *MEMBERS, *HOSTS, *PREFIXES, *HANDOFFS, *LINES, *SERVICES, *FLOWS, *REST)

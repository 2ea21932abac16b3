"""Wrong stack files: each is an edit of the good one, with the exact messages that follow.

``▶`` in the new text marks the place of the message (it is not part of the file); with several messages, each has one.
"""

from __future__ import annotations

import dataclasses

from tests.declaration.good_stack import GOOD

MARK = "▶"


@dataclasses.dataclass(frozen=True)
class Wrong:
    """An edit of the good file (old text, which stands there once, to new text) and what the loader says."""

    name: str
    edits: tuple[tuple[str, str], ...]
    messages: tuple[str, ...]

    def marked_text(self) -> str:
        """Return the wrong file with its marks."""
        text = GOOD
        for old, new in self.edits:
            assert text.count(old) == 1, f"{self.name}: {old!r} stands {text.count(old)} times in the good file"
            text = text.replace(old, new)
        return text

    def file(self) -> str:
        """Return the wrong file."""
        return self.marked_text().replace(MARK, "")

    def expected(self, file: str) -> list[str]:
        """Return the whole lines that the loader prints."""
        places: list[tuple[int, int]] = []
        for number, line in enumerate(self.marked_text().split("\n"), start=1):
            for before, part in enumerate(line.split(MARK)[:-1]):
                column = len("".join(line.split(MARK)[: before + 1])) + 1
                places.append((number, column))
                assert part is not None
        assert len(places) == len(self.messages), f"{self.name}: {len(places)} marks, {len(self.messages)} messages"
        return [f"{file}:{line}:{column}: {text}" for (line, column), text in zip(places, self.messages, strict=True)]

    def __str__(self) -> str:
        return self.name


def wrong(name: str, old: str, new: str, *messages: str) -> Wrong:
    """Return the case of one edit."""
    return Wrong(name, ((old, new),), messages)


NISHIKI_MAIN_LGWAN = """\
      lgwan: {prefix: 198.51.100.8/29, peer: 198.51.100.9, local: [198.51.100.10, 198.51.100.11], vip: 198.51.100.12,
              routing: bgp, peer_as: 64600, local_as: 65010, hold_s: 9, bfd: true}
"""
BACKUP_ALL = """\
      all: {prefix: 198.51.100.16/29, peer: 198.51.100.17, local: [198.51.100.18, 198.51.100.19], vip: 198.51.100.20,
            routing: static}
"""
ZAIMU_NODES = """\
    listen: [tcp/443]
    nodes:
      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}
  - id: kyuyo
"""
FLOW = """\
  - {from: "service:juki@each_member", to: "service:zaimu", allow: [tcp/8443], kind: specific,
     reason: 住民税の収納連携, approved_by: 情報政策課, expires: 2030-03-31}
"""
FLOW_REST = "reason: 理由, approved_by: 情報政策課, expires: 2030-03-31}\n"
SLICE = "slice: {vcpus: 8, memory_gib: 64, storage_gib: 1000}"
KVM01 = 'libvirt: "qemu+ssh://root@kvm01/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}'

TEXT = (
    wrong(
        "a key twice",
        "    population: 10600\n",
        "    population: 10600\n    ▶population: 10700\n",
        "key `population` stands here a second time; the first is at line 7, column 5",
    ),
    wrong(
        "a top-level key twice",
        "addressing: {supernet: 172.16.0.0/12}\n",
        "addressing: {supernet: 172.16.0.0/12}\n▶group: {name: other, title: 別}\n",
        "key `group` stands here a second time; the first is at line 2, column 1",
    ),
    wrong(
        "an anchor and its alias",
        "          lgwan: [10.2.64.0/18]\n",
        "          lgwan: ▶&lan [10.2.64.0/18]\n          internet: ▶*lan\n",
        "the anchor `&lan` is not allowed; write the values out",
        "`*lan` repeats another part of the file; write the values out",
    ),
    wrong(
        "a merge key",
        "  spare_hosts: 1\n",
        "  ▶<<: {spare_hosts: 1}\n",
        "the merge key `<<` is not allowed; write the keys out",
    ),
    wrong("a tag", "population: 10600", 'population: ▶!!int "10600"', "the tag `!!int` is not allowed; remove it"),
    wrong(
        "two documents",
        "addressing: {",
        "▶---\naddressing: {",
        "a second document begins here; one file holds one stack",
    ),
    wrong("a tab", "    name: 錦町\n", "▶\tname: 錦町\n", "a tab cannot indent or separate here; use spaces"),
    wrong(
        "an open bracket",
        "    zones: [mynumber, lgwan]\n    separation: segment\n",
        "    zones: [mynumber, lgwan\n    separation▶: segment\n",
        "expected `,` or `]` here; the brackets open at line 40, column 12",
    ),
    wrong(
        "an open brace",
        "kumiai: 1\ngroup: {name: nishiki, title: 錦町・都農町 総合行政システム}\nmembers:\n",
        "kumiai: 1\ngroup: {name: nishiki, title: 錦町・都農町 総合行政システム\nmembers▶:\n",
        "expected `,` or `}` here; the braces open at line 2, column 8",
    ),
    wrong(
        "wrong indentation",
        "    name: 錦町\n",
        "      name▶: 錦町\n",
        "a `:` cannot stand here; check the indentation, or put the text in quotes",
    ),
    wrong(
        "less indentation than the list",
        "    name: 都農町\n",
        "   ▶name: 都農町\n",
        "expected `-` here, as in the list that begins at line 4, column 3; check the indentation",
    ),
    wrong(
        "text with a colon",
        "title: 人事給与\n",
        "title: 給与▶: 人事\n",
        "a `:` cannot stand here; check the indentation, or put the text in quotes",
    ),
    wrong(
        "text with an at sign", "title: 人事給与\n", "title: ▶@給与\n", 'text cannot begin with "@"; put it in quotes'
    ),
    wrong(
        "text after quotes",
        'lg_code: "435015"\n',
        'lg_code: "435015" ▶X\n',
        "expected a new key here; check the quotes and the indentation of the lines around",
    ),
    wrong(
        "a missing colon",
        'flows:\n  - {from: "service',
        'flows\n  - {from▶: "service',
        "expected `key: value` here; a `:` is missing",
    ),
    wrong(
        "a control character",
        "title: 人事給与\n",
        "title: 人事▶\x07給与\n",
        "the control character U+0007 cannot stand in a stack file; remove it",
    ),
    wrong(
        "a key that is a list",
        "  gateway: shared\n",
        "  ? ▶[gateway]\n  : shared\n",
        "a key must be a single word; check brackets and braces here",
    ),
    wrong("a key without a value", "flows:\n" + FLOW, "▶flows:\n", "`flows` has no value; give one or remove the key"),
    wrong(
        "participants without a value do not mean everybody",
        "    participants: [nishiki, {member: tsuno, from: 2011-10-08}]\n",
        "    ▶participants:\n",
        "`participants` has no value; give one or remove the key",
    ),
    wrong(
        "an entry without a value",
        "      - id: honcho\n        zones:\n",
        "      -▶\n      - id: honcho\n        zones:\n",
        "an entry of a list has no value; give one or remove it",
    ),
)

SHAPE = (
    wrong(
        "an unknown key",
        "    population: 10600\n",
        "    ▶popultion: 10600\n",
        "unknown key `popultion`; did you mean `population`?",
    ),
    wrong(
        "an unknown key in the middle",
        "spare_hosts: 1\n",
        "▶spare_host: 1\n",
        "unknown key `spare_host`; did you mean `spare_hosts`?",
    ),
    wrong(
        "an unknown key like none",
        "addressing: {supernet: 172.16.0.0/12}",
        "addressing: {supernet: 172.16.0.0/12, ▶mtu: 1500}",
        "unknown key `mtu`; the keys here are assumed, supernet",
    ),
    wrong(
        "an alias of the model",
        "    class: reserved\n",
        "    ▶class_: reserved\n    class: reserved\n",
        "unknown key `class_`; did you mean `class`?",
    ),
    wrong(
        "an unknown zone",
        "          lgwan: [10.2.64.0/18]\n",
        "          ▶lgwann: [10.2.64.0/18]\n",
        "unknown key `lgwann`; did you mean `lgwan`?",
    ),
    wrong(
        "an unknown role", "      database: {", "      ▶databse: {", "unknown key `databse`; did you mean `database`?"
    ),
    wrong("a missing key", "  - id: kyuyo\n    title: 人事給与\n", "  - ▶id: kyuyo\n", "missing key `title`"),
    wrong("a missing key in braces", "{id: vpn-a, kind: ip_vpn}", "▶{id: vpn-a}", "missing key `kind`"),
    Wrong(
        "a missing top-level key",
        (("kumiai: 1\n", "▶kumiai: 1\n"), ("addressing: {supernet: 172.16.0.0/12}\n", "")),
        ("missing key `addressing`",),
    ),
    wrong(
        "a missing reason of a flow",
        FLOW,
        FLOW.replace("{from", "▶{from").replace("reason: 住民税の収納連携, ", ""),
        "missing key `reason`",
    ),
    Wrong(
        "a pattern without its reason",
        (("  - id: zaimu\n", "  - ▶id: zaimu\n"), ("    pattern_reason: 各町の機種更新時期\n", "")),
        ("missing key `pattern_reason`",),
    ),
    wrong(
        "another format",
        "kumiai: 1\n",
        "kumiai: ▶2\n",
        "expected 1, the format that this program reads (`kumiai: 1`), found 2",
    ),
    wrong("a quoted format", "kumiai: 1\n", 'kumiai: ▶"1"\n', '"1": in quotes it is text; write `kumiai: 1`'),
    wrong(
        "text for a number",
        "population: 10600",
        'population: ▶"10600"',
        'expected a whole number, found the text "10600"',
    ),
    wrong(
        "a number with a comma",
        "population: 10600",
        "population: ▶10,600",
        'expected a whole number, found the text "10,600"',
    ),
    wrong("a fraction for a count", "    mbps: 50\n", "    mbps: ▶50.5\n", "expected a whole number, found 50.5"),
    wrong("true for a number", "    mbps: 50\n", "    mbps: ▶true\n", "expected a whole number, found true"),
    wrong("nobody lives there", "population: 10600", "population: ▶0", "expected a number greater than 0, found 0"),
    wrong(
        "yes for true", "kind: ip_vpn}", "kind: ip_vpn, assumed: ▶yes}", 'expected true or false, found the text "yes"'
    ),
    wrong("a number for a name", "    name: 錦町\n", "    name: ▶1\n", "expected text, found 1; put it in quotes"),
    wrong("a list for a name", "    name: 錦町\n", "    name: ▶[錦町]\n", "expected text, found a list"),
    wrong(
        "one zone without brackets",
        "    zones: [mynumber, lgwan]\n    separation: segment\n",
        "    zones: ▶mynumber\n    separation: segment\n",
        'expected a list (`[…]`, or lines that begin with `-`), found the text "mynumber"',
    ),
    wrong(
        "text for an object",
        "{supernet: 172.16.0.0/12}",
        "▶172.16.0.0/12",
        'expected keys with values (`key: value`), found the text "172.16.0.0/12"',
    ),
    wrong(
        "a list for an object",
        "{supernet: 172.16.0.0/12}",
        "▶[172.16.0.0/12]",
        "expected keys with values (`key: value`), found a list",
    ),
    wrong(
        "an unknown model",
        "    model: alpha\n",
        "    model: ▶gamma\n",
        'expected alpha, alpha_prime, beta or beta_prime, found the text "gamma"',
    ),
    wrong(
        "an unknown kind of flow",
        "kind: specific,",
        "kind: ▶special,",
        "expected specific, sanitized, via_security_cloud, lgwan_ce, national_backend, trusted_external, "
        'local_breakout, mutual_support, member_link or direct_link, found the text "special"',
    ),
    wrong(
        "an empty list of listeners",
        ZAIMU_NODES,
        ZAIMU_NODES.replace("[tcp/443]", "▶[]"),
        "expected at least 1 entry, found 0",
    ),
    wrong(
        "three gateways",
        "local: [198.51.100.18, 198.51.100.19]",
        "local: ▶[198.51.100.18, 198.51.100.19, 198.51.100.21]",
        "expected at most 2 entries, found 3",
    ),
    wrong(
        "an id with capitals",
        "  - id: kyuyo\n",
        "  - id: ▶Kyuyo\n",
        '"Kyuyo": not an id; use lower-case letters, digits and hyphens, a letter first, at most 31 characters',
    ),
    wrong(
        "an id in Japanese",
        "{name: nishiki,",
        "{name: ▶錦町,",
        '"錦町": not an id; use lower-case letters, digits and hyphens, a letter first, at most 31 characters',
    ),
    wrong("an empty text", "title: 人事給与\n", 'title: ▶" "\n', "the text is empty"),
    wrong(
        "a text of two lines",
        "title: 人事給与\n",
        'title: ▶"人事\\n給与"\n',
        "the text holds the control character U+000A; write one plain line",
    ),
    wrong(
        "a text that turns its direction",
        "title: 人事給与\n",
        'title: ▶"人事\\u202e給与"\n',
        "the text holds the control character U+202E; write one plain line",
    ),
    wrong(
        "a code without quotes",
        'lg_code: "435015"',
        "lg_code: ▶435015",
        'expected six digits in quotes, such as "435015", found 435015',
    ),
    wrong(
        "a code whose leading zero is lost",
        'lg_code: "435015"',
        "lg_code: ▶012041",
        'expected six digits in quotes, such as "435015", found 012041',
    ),
    wrong(
        "a wrong check digit",
        'lg_code: "435015"',
        'lg_code: ▶"435016"',
        '"435016": wrong check digit; the code of 43501 ends in 5',
    ),
    wrong(
        "a code of five digits",
        'lg_code: "435015"',
        'lg_code: ▶"43501"',
        '"43501": a 団体コード has six digits, such as "435015"',
    ),
    wrong(
        "a code of no prefecture",
        'lg_code: "435015"',
        'lg_code: ▶"480002"',
        '"480002": the first two digits are a prefecture, 01 to 47',
    ),
    wrong(
        "host bits",
        "lgwan: [10.1.64.0/18]",
        "lgwan: [▶10.1.64.1/18]",
        "10.1.64.1/18: host bits are set; the network is 10.1.64.0/18",
    ),
    wrong(
        "a prefix without length",
        "lgwan: [10.1.64.0/18]",
        "lgwan: [▶10.1.64.0]",
        '10.1.64.0: a prefix needs its length, such as "10.1.64.0/24"',
    ),
    wrong("no prefix", "lgwan: [10.1.64.0/18]", "lgwan: [▶10.1.640.0/18]", "10.1.640.0/18: not an IP prefix"),
    wrong("no address", "vip: 198.51.100.28", "vip: ▶198.51.100.280", "198.51.100.280: not an IP address"),
    wrong(
        "a prefix for an address", "vip: 198.51.100.28", "vip: ▶198.51.100.28/29", "198.51.100.28/29: not an IP address"
    ),
    wrong(
        "a day that does not exist",
        "joins: 2011-10-01",
        "joins: ▶2011-02-30",
        "2011-02-30: not a date; write year-month-day, such as 2026-04-01",
    ),
    wrong(
        "a Japanese date",
        "joins: 2011-10-01",
        "joins: ▶平成23年10月1日",
        "平成23年10月1日: not a date; write year-month-day, such as 2026-04-01",
    ),
    wrong(
        "a time of day", 'from: "08:30"', "from: ▶8:30", '8:30: not a time of day; write it in quotes, such as "08:30"'
    ),
    wrong("no port", "allow: [tcp/8443]", "allow: [▶8443]", "expected a port such as tcp/443, found 8443"),
    wrong(
        "a port too high",
        "allow: [tcp/8443]",
        "allow: [▶tcp/84430]",
        "tcp/84430: ports go from 1 to 65535, the smaller first",
    ),
    wrong(
        "no libvirt URI",
        '"qemu+ssh://root@kvm01/system"',
        "▶kvm01.example",
        '"kvm01.example": not a libvirt URI; write one such as "qemu+ssh://root@kvm01.example/system", '
        "or lab for a simulated host",
    ),
    wrong(
        "a password in a URI",
        '"qemu+ssh://root@kvm01/system"',
        '▶"qemu+ssh://root:geheim@kvm01/system"',
        "the libvirt URI holds a password; a stack file never does, use an SSH key",
    ),
    wrong("infinite memory", KVM01, KVM01.replace("256", "▶.inf"), "expected a finite number, found .inf"),
    wrong("too many spare hosts", "spare_hosts: 1\n", "spare_hosts: ▶3\n", "expected a number of at most 2, found 3"),
)

REFERENCES = (
    wrong(
        "an id twice",
        "{id: kvm02, ",
        "{id: ▶kvm01, ",
        "id kvm01 is taken: one of the hosts before this one has it",
    ),
    wrong(
        "an office twice",
        "        zones:\n          mynumber: [10.2.0.0/18]\n",
        "        zones: {mynumber: [10.2.128.0/18]}\n"
        "      - id: ▶honcho\n        zones:\n          mynumber: [10.2.0.0/18]\n",
        "id honcho is taken: an office of tsuno before this one has it",
    ),
    wrong(
        "a line of nobody",
        "  - id: nishiki-backup\n    member: nishiki\n",
        "  - id: nishiki-backup\n    member: ▶nishikii\n",
        "no member nishikii; did you mean nishiki?",
    ),
    wrong(
        "a line to nowhere",
        "  - id: nishiki-backup\n    member: nishiki\n    site: dc1\n",
        "  - id: nishiki-backup\n    member: nishiki\n    site: ▶west\n",
        "no site west; declared are dc1",
    ),
    wrong(
        "a line over nothing",
        "    closed_network: vpn-a\n",
        "    closed_network: ▶vpn-b\n",
        "no closed network vpn-b; did you mean vpn-a?",
    ),
    wrong("a host nowhere", "{id: kvm02, site: dc1,", "{id: kvm02, site: ▶dc2,", "no site dc2; did you mean dc1?"),
    wrong(
        "a participant that is no member",
        "{member: tsuno, from: 2011-10-08}",
        "{member: ▶takanabe, from: 2011-10-08}",
        "no member takanabe; declared are nishiki, tsuno",
    ),
    wrong(
        "a participant by its short form",
        "participants: [nishiki, {member: tsuno, from: 2011-10-08}]",
        "participants: [nishiki, ▶tsunoo]",
        "no member tsunoo; did you mean tsuno?",
    ),
    wrong("running on nothing", "runs_on: zaimu", "runs_on: ▶zaimuu", "no service zaimuu; did you mean zaimu?"),
    wrong(
        "hosts that do not exist",
        "    required_mbps: 20\n",
        "    required_mbps: 20\n    hosts: [kvm01, ▶kvm09]\n",
        "no host kvm09; did you mean kvm03?",
    ),
    wrong(
        "a flow to a service that does not exist",
        '"service:zaimu"',
        '▶"service:zeimu"',
        "no service zeimu; did you mean zaimu?",
    ),
    wrong(
        "a translation on no network",
        "flows:\n",
        "translations:\n"
        "  - {closed_network: ▶lgwam, inside: 10.2.0.0/18, outside: 10.9.0.0/18, direction: source}\n"
        "flows:\n",
        "no closed network lgwam; did you mean lgwan?",
    ),
    wrong(
        "a flow whose end has no form",
        '"service:zaimu"',
        '▶"zaimu"',
        "zaimu: not an end of a flow; write office:MEMBER/ZONE, service:ID, service:ID@MEMBER, "
        "service:ID@each_member, network:ID or external:NAME",
    ),
    wrong(
        "a flow from a zone that does not exist",
        '"service:juki@each_member"',
        '▶"office:tsuno/kikan"',
        "office:tsuno/kikan: unknown zone kikan; the zones are mynumber, lgwan, internet",
    ),
)

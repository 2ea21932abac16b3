"""Foreign, broken and hostile rule files: each is a finding or an error with its reason; none shows another file."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from infra.audit import check, sandbox
from infra.audit.model import Audit, Listing
from infra.audit.nft import read
from infra.audit.nft.keys import Cards
from tests.audit import listings

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

NODE = "juki-db1"
SECRET = "kumiai-test-secret"


def audit(folder: pathlib.Path) -> Audit:
    """Audit the demo with the rules of one machine from ``folder``, and all others as rendered."""
    cards = {NODE: [card.name for card in listings.topology().machines[NODE].cards]}
    return check.audit_rules(listings.plan(), {**listings.listings(), **sandbox.load_files(folder, cards)})


def put(folder: pathlib.Path, content: bytes | str) -> pathlib.Path:
    path = folder / NODE / sandbox.RULES
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def not_examined(found: Audit) -> str:
    """Return why the machine's rules were not examined."""
    (violation,) = [v for v in found.violations if v.kind == "not_examined"]
    assert (violation.source, violation.severity, found.verdict) == (NODE, "critical", "fail")
    assert found.examined.machines == 6
    return violation.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00table", "no UTF-8 text"),
        ("table inet t {\x00}", "zero bytes"),
        ("this is not a rule file\n", "do not load: "),
        ("table inet t {\nchain f {\n", "do not load: "),
        ("table inet t { chain f { type filter hook forward priority 0; jump nowhere\n}\n}\n", "do not load: "),
        ('include "/etc/passwd"\n', "File not found: /etc/passwd"),
        ('include "../../../etc/shadow"\n', "File not found"),
        ('include "/proc/self/environ"\n', "File not found"),
        ("add rule inet nothing f accept\n", "do not load: "),
        (
            'table inet t { chain f { type filter hook forward priority 0;\niif "nosuchcard" accept\n}\n}\n',
            "do not load: ",
        ),
        (
            "table inet t { flags dormant\nchain f { type filter hook input priority 0; policy drop;\n}\n}\n",
            "is dormant",
        ),
        ("table inet t { chain a { jump b\n}\nchain b { jump a\n}\n}\n", "jump in a circle"),
        ("#" * (sandbox.MOST_BYTES + 1), "larger than 4 MiB"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_a_finding(tmp_path: pathlib.Path, content: bytes | str, reason: str) -> None:
    assert reason in not_examined(audit(put(tmp_path, content)))


def test_a_missing_file_is_a_finding(tmp_path: pathlib.Path) -> None:
    assert "there is no etc/nftables.conf" in not_examined(audit(tmp_path))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    place = tmp_path / "given" / NODE / "etc"
    place.mkdir(parents=True)
    (place / "nftables.conf").symlink_to(tmp_path / "secret")
    reason = not_examined(audit(tmp_path / "given"))
    assert "a link out of the folder" in reason
    assert SECRET not in reason


def test_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    place = tmp_path / NODE / "etc"
    place.mkdir(parents=True)
    os.mkfifo(place / "nftables.conf")
    assert "no regular file" in not_examined(audit(tmp_path))


def test_a_folder_in_place_of_the_file_is_a_finding(tmp_path: pathlib.Path) -> None:
    (tmp_path / NODE / sandbox.RULES).mkdir(parents=True)
    assert "directory" in not_examined(audit(tmp_path)).lower()


def test_an_include_shows_no_line_of_another_file(tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret.conf"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    found = audit(put(tmp_path / "given", f'include "{secret}"\n'))
    assert SECRET not in repr(found)
    assert "File not found" in not_examined(found)


BASE = "table inet t {{ chain f {{ type filter hook input priority 0; policy {};\n{}\n}}\n}}\n"
TIMED = "{ set s { type ipv4_addr; flags timeout; }\n"
HELPER = '{ ct helper ftp { type "ftp" protocol tcp; }\n'


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        ("", "ipv6", ""),
        (BASE.format("accept", ""), "not_declared", ""),
        (BASE.format("drop", "").replace("inet", "bridge"), "not_declared", ""),
        (BASE.format("drop", "").replace("inet", "arp"), "not_declared", ""),
        (BASE.format("drop", "meta mark 1 accept"), "cannot_judge", "meta mark"),
        (BASE.format("drop", "notrack"), "cannot_judge", "notrack"),
        (BASE.format("accept", "meta mark set 7"), "cannot_judge", "mangle"),
        ("table inet t { chain f { type route hook output priority 0;\n}\n}\n", "cannot_judge", "type route"),
        (BASE.format("drop", "ip saddr @s accept").replace("{ ", TIMED, 1), "cannot_judge", "come and go"),
        (BASE.format("drop", "").replace("{ ", HELPER, 1), "cannot_judge", "ct helper"),
    ],
)
def test_rules_of_somebody_else_are_judged_or_said_to_be_beyond(
    tmp_path: pathlib.Path, content: str, kind: str, reason: str
) -> None:
    found = audit(put(tmp_path, content))
    assert found.verdict == "fail"
    mine = [v for v in found.violations if v.kind == kind or kind != "cannot_judge"]
    assert [v for v in mine if reason in v.reason], found.violations
    assert all(v.source == NODE or NODE in " ".join(v.path) for v in found.violations)


def test_a_machine_that_nobody_planned_is_a_finding() -> None:
    given = {**listings.listings(), "stranger": Listing(text='{"nftables": []}', digest=None)}
    (violation,) = check.audit_rules(listings.plan(), given).violations
    assert (violation.kind, violation.source) == ("not_examined", "stranger")


def test_an_audit_of_nothing_fails() -> None:
    found = check.audit_rules(listings.plan(), {})
    assert (found.verdict, found.examined.pairs, found.examined.rules) == ("fail", 0, 0)
    assert len(found.violations) == 7
    assert {control.status for control in found.controls} == {"not_examined"}


CHAIN = {
    "chain": {
        "family": "inet",
        "table": "t",
        "name": "f",
        "type": "filter",
        "hook": "input",
        "prio": 0,
        "policy": "drop",
    }
}


def rule(*expressions: object) -> list[object]:
    return [CHAIN, {"rule": {"family": "inet", "table": "t", "chain": "f", "handle": 2, "expr": list(expressions)}}]


def matching(left: object, right: object, op: str = "==") -> list[object]:
    return rule({"match": {"op": op, "left": left, "right": right}}, {"accept": None})


PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ('{"nftables": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a list of nftables' objects"),
        ('{"nftables": 7}', "not a list of nftables' objects"),
        ('{"nftables": ["x"]}', "not an object of nftables"),
        ('{"nftables": [{"rule": 7}]}', "not an object of nftables"),
        ('{"nftables": [{"chain": {}}]}', "not an object of nftables"),
    ],
)
def test_text_that_is_no_listing_is_refused(text: str, reason: str) -> None:
    with pytest.raises(read.UnreadableError, match=reason):
        read.read(text, Cards(["a"]))


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([CHAIN, CHAIN], "listed twice"),
        (rule()[1:], "a chain that is not listed"),
        (rule({"jump": {"target": "nowhere"}}), "which is not listed"),
        (rule({"jump": {"target": "f"}}), "jump in a circle"),
        (matching(SOURCE, "@nowhere"), "@nowhere is not listed"),
        ([{"chain": {**CHAIN["chain"], "policy": "maybe"}}], "policy maybe"),
        ([{"chain": {**CHAIN["chain"], "prio": "soon"}}], "priority soon"),
        ([CHAIN, {"rule": {"family": "inet", "table": "t", "chain": "f", "expr": 7}}], "without its expressions"),
    ],
)
def test_a_listing_that_is_not_whole_is_refused(objects: list[object], reason: str) -> None:
    with pytest.raises(read.UnreadableError, match=reason):
        read.read(json.dumps({"nftables": objects}), Cards(["a"]))


@pytest.mark.parametrize(
    "objects",
    [
        [{"gizmo": {"family": "inet", "table": "t", "name": "x"}}],
        [{"flowtable": {"family": "inet", "table": "t", "name": "x", "hook": "ingress", "prio": 0, "dev": "a"}}],
        [{"chain": {**CHAIN["chain"], "hook": "ingress"}}],
        [{"chain": {**CHAIN["chain"], "family": "netdev", "hook": "ingress"}}],
        rule({"gizmo": None}),
        rule({"queue": {"num": 0}}),
        rule({"xt": {"type": "match", "name": "bpf"}}),
        rule("accept"),
        matching(PORT, "ssh"),
        matching(PORT, 65536),
        matching(PORT, True),
        matching(PORT, {"range": [9, 1]}),
        matching(PORT, {"gizmo": 1}),
        matching(PORT, 5, op="~"),
        matching(SOURCE, "fe80::1"),
        matching(SOURCE, "300.0.0.1"),
        matching(SOURCE, {"prefix": {"addr": "10.0.0.0", "len": 33}}),
        matching({"concat": [SOURCE, PORT]}, {"set": [{"concat": ["10.0.0.1"]}]}),
        matching({"ct": {"key": "state"}}, 128),
        matching({"meta": {"key": "iifname"}}, {"set": [f"card{n}" for n in range(300)]}),
        matching({"hash": {"mod": 2}}, 1),
    ],
)
def test_what_is_not_known_is_a_problem_and_decides_nothing(objects: list[object]) -> None:
    found = read.read(json.dumps({"nftables": objects}), Cards(["a"]))
    assert found.problems
    assert all(problem.place and problem.reason for problem in found.problems)

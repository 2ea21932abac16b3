from __future__ import annotations

import datetime
import os
import pathlib
import re

import pytest

from infra.declaration import DeclarationError, load, load_located, source
from infra.declaration.load import parse_located
from tests.declaration import big_stack
from tests.declaration.good_stack import GOOD

STACKS = pathlib.Path(__file__).parents[2] / "stacks"


def written(folder: pathlib.Path, data: bytes, name: str = "stack.yaml") -> pathlib.Path:
    path = folder / name
    path.write_bytes(data)
    return path


def error_of(path: pathlib.Path) -> str:
    with pytest.raises(DeclarationError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_all_errors_come_at_once_sorted_by_place() -> None:
    text = (
        GOOD.replace("{id: kvm03, site: dc1,", "{id: kvm03, site: dc1, memory_gb: 256,")  # shape of a host
        .replace("lgwan: [10.2.64.0/18]", "lgwan: [10.2.64.1/18]")  # shape of a member
        .replace("closed_network: vpn-a", "closed_network: vpn-b")  # a dangling reference of a sound line
        .replace("class: guaranteed\n    mbps: 100", "class: guaranteed\n    mbps: 10")  # a rule about sound objects
        .replace("runs_on: zaimu", "runs_on: kyuyo")
        .replace('to: "17:30"', 'to: "07:30"')
        + "flows: []\n"  # a key that stands twice
    )
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack")
    assert [(f.line, f.column, f.message.split(";")[0]) for f in caught.value.findings] == [
        (22, 19, "10.2.64.1/18: host bits are set"),
        (28, 28, "unknown key `memory_gb`"),
        (39, 11, "the services on nishiki-main require 20 Mbit/s (juki 20), but the line carries 10"),
        (50, 21, "no closed network vpn-b"),
        (99, 14, "kyuyo cannot run on itself"),
        (108, 102, "the calendar closes at 07:30, which is not after 08:30"),
        (110, 1, "key `flows` stands here a second time"),
    ]


def test_rules_about_absence_wait_until_the_shape_is_good() -> None:
    """A line with a wrong shape is not also called missing, and references to it are not dangling."""
    text = GOOD.replace("    role: main\n    class: reserved\n", "    role: primary\n    class: reserved\n").replace(
        '    lg_code: "454061"\n', '    lg_code: "454062"\n'
    )
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack")
    assert [finding.path for finding in caught.value.findings] == [("members", 1, "lg_code"), ("lines", 2, "role")]


def test_a_rule_names_the_place_in_the_file_when_objects_before_are_damaged() -> None:
    text = GOOD.replace("flows:\n", "flows:\n  - {from: 1}\n").replace('to: "service:zaimu"', 'to: "zaimu"')
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack")
    by_path = {finding.path: finding for finding in caught.value.findings}
    assert by_path["flows", 1, "to"].line == text[: text.index('to: "zaimu"')].count("\n") + 1
    assert ("flows", 0, "from") in by_path


@pytest.mark.parametrize("key", re.findall(r"^([a-z]+):", GOOD, flags=re.M)[1:])
def test_a_damaged_part_never_breaks_the_checks_of_the_rest(key: str) -> None:
    lines = GOOD.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
    end = next((i for i in range(start + 1, len(lines)) if lines[i][:1].isalpha()), len(lines))
    text = "\n".join([*lines[:start], f"{key}: 7", *lines[end:]])
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path("stack.yaml"), "stack")
    assert [finding.path for finding in caught.value.findings] == [(key,)]


@pytest.mark.parametrize(
    ("key", "index"),
    [
        (key, index)
        for key in ("members", "sites", "hosts", "closed_networks", "lines", "services", "flows")
        for index in source.parse(GOOD.encode(), "f").place((key,)).children or ()
    ],
)
def test_a_damaged_object_causes_no_second_error(key: str, index: int) -> None:
    """Every object of the good file in turn gets an unknown key: nothing that refers to it is blamed."""
    parsed = source.parse(GOOD.encode(), "f")
    place = parsed.place((key, index))
    lines = GOOD.split("\n")
    line = lines[place.line - 1]
    if line[place.column - 1] == "{":
        lines[place.line - 1] = f"{line[: place.column]}colour: red, {line[place.column :]}"
    else:
        lines[place.line - 1] = f"{line[: place.column - 1]}colour: red\n    {line[place.column - 1 :]}"
    with pytest.raises(DeclarationError) as caught:
        parse_located("\n".join(lines).encode(), pathlib.Path("stack.yaml"), "stack")
    assert [finding.path for finding in caught.value.findings] == [(key, index, "colour")]


def test_later_stages_find_the_place_of_a_value(tmp_path: pathlib.Path) -> None:
    loaded = load_located(written(tmp_path, GOOD.encode(), "nishiki.yaml"))
    assert loaded.name == "nishiki"
    lines = GOOD.split("\n")
    line, column = loaded.locate(("lines", 2, "handoff", "lgwan", "vip"))
    assert lines[line - 1][column - 1 :].startswith("198.51.100.36")
    line, column = loaded.locate(("services", 0, "participants", 1, "member"))
    assert lines[line - 1][column - 1 :].startswith("tsuno, from")
    assert loaded.locate(("services", 0, "nodes", "witness", "count")) == loaded.locate(("services", 0, "nodes"))
    error = loaded.error(("availability", "spare_hosts"), "one more host of 64 GiB is needed")
    assert str(error) == f"{loaded.path}:104:16: one more host of 64 GiB is needed"


def test_a_finding_is_plain_data_for_machines(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, GOOD.replace("vip: 198.51.100.36", "vip: 198.51.100.39").encode())
    with pytest.raises(DeclarationError) as caught:
        load(path)
    (finding,) = caught.value.findings
    assert finding.as_json() == {
        "file": str(path),
        "line": 72,
        "column": 20,
        "path": "lines[2].handoff.lgwan.vip",
        "message": "vip 198.51.100.39 is the broadcast address of 198.51.100.32/29; no host can have it",
    }


def test_what_is_no_stack_file_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    missing, folder = tmp_path / "none.yaml", tmp_path / "folder.yaml"
    folder.mkdir()
    assert error_of(missing) == f"{missing}:1:1: no such file"
    assert error_of(folder) == f"{folder}:1:1: this is a directory; name a stack file"
    lock = written(tmp_path, b"", "demo.lock.yaml")
    assert error_of(lock) == f"{lock}:1:1: this is a lock file; name the stack file beside it"
    capital = written(tmp_path, GOOD.encode(), "Nishiki.yaml")
    assert error_of(capital) == (
        f"{capital}:1:1: the file's name is the stack's name, and Nishiki is none; "
        "use lower-case letters, digits and hyphens, a letter first, at most 31 characters"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "1:1: the file is empty; a stack file begins with `kumiai: 1`"),
        (b"\n# only a comment\n", "1:1: the file is empty; a stack file begins with `kumiai: 1`"),
        (b"kumiai\n", '1:1: a stack file begins with `kumiai: 1`; found the text "kumiai"'),
        (b"\n- kumiai: 1\n", "2:1: a stack file begins with `kumiai: 1`; found a list"),
        (b"kumiai: 1\ngroup: \xff\n", "2:8: the file is not UTF-8 text (byte 0xFF here); save it as UTF-8"),
        (
            "a: 1\nb: 錦町".encode("shift_jis"),
            "2:4: the file is not UTF-8 text (byte 0x8B here); save it as UTF-8",
        ),
        (GOOD.encode("utf-16"), "1:1: the file is not UTF-8 text (byte 0xFF here); save it as UTF-8"),
        (b"[" * 5000, "1:41: nested too deeply for a stack file"),
    ],
)
def test_what_is_no_mapping_in_utf8_is_refused(tmp_path: pathlib.Path, data: bytes, message: str) -> None:
    path = written(tmp_path, data)
    assert error_of(path) == f"{path}:{message}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_says_so(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, GOOD.encode())
    path.chmod(0)
    assert error_of(path) == f"{path}:1:1: cannot read the file: Permission denied"


def test_a_byte_order_mark_changes_nothing(tmp_path: pathlib.Path) -> None:
    plain = written(tmp_path, GOOD.encode(), "plain.yaml")
    marked = written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), "marked.yaml")
    windows = written(tmp_path, GOOD.replace("\n", "\r\n").encode(), "windows.yaml")
    assert load(marked) == load(plain) == load(windows)


def test_values_mean_what_they_show(tmp_path: pathlib.Path) -> None:
    declaration = load(written(tmp_path, GOOD.encode()))
    nishiki, tsuno = declaration.members
    assert (nishiki.name, nishiki.lg_code, nishiki.joins) == ("錦町", "435015", datetime.date(2011, 10, 1))
    assert tsuno.model == "alpha_prime"
    assert declaration.sla is not None
    assert declaration.sla.calendar is not None
    assert declaration.sla.calendar.from_ == datetime.time(8, 30)
    assert [str(port) for port in declaration.flows[0].allow] == ["tcp/8443"]


@pytest.mark.parametrize("name", ["demo", "mixed", "multi-tenant", "nishiki", "per-municipality", "same-business"])
def test_every_stack_of_the_project_is_good(name: str) -> None:
    assert load(STACKS / f"{name}.yaml").services


def test_nishiki_before_the_third_lgwan_fails_and_says_why() -> None:
    """20 Mbit/s between the NOCs of two prefectures against the 100 that the maker recommends."""
    path = STACKS / "nishiki.yaml"
    text = path.read_text(encoding="utf-8")
    hop = "{hop: 熊本県NOC-宮崎県NOC, mbps: 100,"
    assert text.count(hop) == 1
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.replace(hop, hop.replace("100", "20")).encode(), path, "nishiki")
    assert len(caught.value.findings) == 4
    assert caught.value.findings[0].message == (
        "the services on kawaminami-main require 100 Mbit/s (juki 60, conveni 5, zaimu 20, jinji 15), "
        "but the hop 熊本県NOC-宮崎県NOC of lgwan carries 20 (R8)"
    )


def test_a_large_file_loads_whole() -> None:
    """How long it takes is measured by ``python -m tests.declaration.big_stack``."""
    declaration = parse_located(big_stack.text(200).encode(), pathlib.Path("big.yaml"), "big").declaration
    assert len(declaration.services) == 200
    assert len(declaration.lines) == 2 * big_stack.MEMBERS

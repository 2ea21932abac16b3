"""Links between members: closed unless a record opens them, closed again after their end, and the record is kept."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Callable

import pytest
import typer.testing
from hypothesis import given
from hypothesis import strategies as st

import infra.cli
import infra.plan
from infra.declaration import DeclarationError, links
from infra.declaration.load import parse_located
from infra.plan.document import document
from network import flows
from network.errors import InputError, KumiaiError, OperationError
from tests.declaration.good_stack import GOOD
from tests.declaration.wrong_stacks import FLOW

FROM, TO = "office:nishiki/lgwan", "service:zaimu@tsuno"
STACK = (
    GOOD.replace(
        FLOW,
        f'  - {{from: "{FROM}", to: "{TO}", allow: [tcp/443], kind: mutual_support,\n'
        "     reason: 災害時の証明書発行, approved_by: 情報政策課, expires: 2030-03-31}\n",
    )
    .replace('"qemu+ssh://root@kvm01/system"', "lab")
    .replace('"qemu+ssh://root@kvm02/system"', "lab")
    .replace('"qemu+ssh://root@kvm03/system"', "lab")
    .replace("spare_hosts: 1", "spare_hosts: 0")
)
DECLARATION = parse_located(STACK.encode(), pathlib.Path("stack.yaml"), "stack").declaration
GOOD_LINKS = f"""\
kumiai_links: 1
stack: stack
links:
  - from: "{FROM}"
    to: "{TO}"
    requested_by: nishiki
    event: 台風第10号
    scope: 証明書の発行
    opened_at: 2026-08-20T10:00+09:00
    until: 2026-08-22T18:00+09:00
"""
CLOSED = GOOD_LINKS + "    closed_at: 2026-08-21T09:00+09:00\n"
PATH = pathlib.Path("stack.links.yaml")


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"{text}+09:00")


def parsed(text: str) -> links.Links:
    return links.parse(text.encode(), PATH, "stack", DECLARATION)


# Wrong files: an edit of the good one (old, new), ▶ marks the place.
WRONG: dict[str, tuple[str, str, str]] = {
    "another stack's": ("stack: stack", "stack: ▶other", "these are the links of the stack other, not of stack"),
    "an unknown key": (
        "    event:",
        "    ▶events: x\n    event:",
        "unknown key `events`; did you mean `event`?",
    ),
    "a missing key": (
        f'from: "{FROM}"\n    to: "{TO}"\n    requested_by: nishiki\n',
        f'▶from: "{FROM}"\n    to: "{TO}"\n',
        "missing key `requested_by`",
    ),
    "no format": (
        "kumiai_links: 1",
        'kumiai_links: ▶"1"',
        'expected 1, found the text "1"',
    ),
    "a time without its offset": (
        "2026-08-22T18:00+09:00",
        "▶2026-08-22T18:00",
        "2026-08-22T18:00: not a moment; write date, time and offset, such as 2026-04-01T18:00+09:00",
    ),
    "a time that is none": (
        "2026-08-22T18:00",
        "▶2026-08-32T18:00",
        "2026-08-32T18:00+09:00: not a moment; write date, time and offset, such as 2026-04-01T18:00+09:00",
    ),
    "an end before the opening": (
        "2026-08-22T18:00",
        "▶2026-08-20T10:00",
        "the end 2026-08-20T10:00+09:00 is not after the opening (2026-08-20T10:00+09:00)",
    ),
    "closed before it was opened": (
        "18:00+09:00\n",
        "18:00+09:00\n    closed_at: ▶2026-08-20T09:59+09:00\n",
        "closed at 2026-08-20T09:59+09:00, before it was opened (2026-08-20T10:00+09:00)",
    ),
    "a flow that nobody declared": (
        f'- from: "{FROM}"\n    to: "{TO}"',
        f'- ▶from: "{TO}"\n    to: "{FROM}"',
        f"no flow of kind mutual_support is declared for {TO} → {FROM}; declared are {FROM} → {TO}",
    ),
    "longer than its flow": (
        "2026-08-22T18:00",
        "▶2030-04-01T18:00",
        f"the link {FROM} → {TO} is open until 2030-04-01T18:00+09:00, but its flow expires on 2030-03-31",
    ),
    "a stranger's request": (
        "requested_by: nishiki",
        "requested_by: ▶takaharu",
        "no member takaharu, who requested the link; declared are nishiki, tsuno",
    ),
    "opened twice": (
        "18:00+09:00\n",
        "18:00+09:00\n" + GOOD_LINKS.partition("links:\n")[2].replace("2026-08-20T10:00", "▶2026-08-21T10:00"),
        f"the link {FROM} → {TO} was open already at 2026-08-21T10:00+09:00, since 2026-08-20T10:00+09:00",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_says_what_is_wrong_and_where(name: str) -> None:
    old, new, message = WRONG[name]
    assert GOOD_LINKS.count(old) == 1
    marked = GOOD_LINKS.replace(old, new)
    line, text = next((n, t) for n, t in enumerate(marked.split("\n"), start=1) if "▶" in t)
    with pytest.raises(DeclarationError) as caught:
        parsed(marked.replace("▶", ""))
    assert [str(f) for f in caught.value.findings] == [f"stack.links.yaml:{line}:{text.index('▶') + 1}: {message}"]
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(DeclarationError, match="a links file begins with `kumiai_links: 1`; found a list"):
        parsed("- a\n")


def test_no_file_means_no_link(tmp_path: pathlib.Path) -> None:
    assert links.load(tmp_path / "stack.yaml", DECLARATION).links == ()


def test_closed_links_may_name_what_is_not_declared_any_more() -> None:
    parsed(CLOSED.replace(TO, "service:zaimu@takaharu"))
    with pytest.raises(DeclarationError, match="no flow of kind mutual_support"):
        parsed(GOOD_LINKS.replace(TO, "service:zaimu@takaharu"))


@pytest.mark.parametrize(
    ("as_of", "now", "open_", "overdue"),
    [
        ("2026-08-19", "2026-08-20T10:00", False, False),  # a day before it was opened
        ("2026-08-20", "2026-08-20T10:00", True, False),
        ("2026-08-22", "2026-08-20T10:00", True, False),  # a look ahead at the last day
        ("2026-08-23", "2026-08-20T10:00", False, False),
        ("2026-08-22", "2026-08-22T17:59", True, False),
        ("2026-08-22", "2026-08-22T18:00", False, True),  # the end is the first minute in which it is closed
        ("2026-08-20", "2026-08-22T18:00", False, True),  # a plan of an earlier day does not open it again
        ("2030-01-01", "2030-01-01T00:00", False, True),
    ],
)
def test_a_link_is_open_on_its_days_and_never_after_its_end(as_of: str, now: str, open_: bool, overdue: bool) -> None:
    for text, closed in ((GOOD_LINKS, False), (CLOSED, True)):
        found = parsed(text)
        assert bool(found.open(datetime.date.fromisoformat(as_of), at(now))) == (open_ and not closed)
        assert bool(found.overdue(at(now))) == (overdue and not closed)


@given(
    event=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30),
    closed=st.booleans(),
)
def test_what_is_written_reads_back_or_is_refused(event: str, closed: bool) -> None:
    (link,) = parsed(CLOSED if closed else GOOD_LINKS).links
    written = links.Links(path=PATH, stack="stack", links=(link.model_copy(update={"event": event}),))
    try:
        found = parsed(links.dump(written))
    except DeclarationError:
        assert not event.strip() or not event.isprintable()
        return
    assert found.links[0].event == event.strip()
    assert links.dump(parsed(links.dump(found))) == links.dump(found)


@pytest.fixture
def stack(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    path = tmp_path / "stacks" / "stack.yaml"
    path.parent.mkdir()
    path.write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def support(path: pathlib.Path, now: str, as_of: str = "2026-08-22") -> tuple[list[str], tuple[str, ...], str]:
    plan = infra.plan.compute(path, datetime.date.fromisoformat(as_of), at(now)).plan
    reasons = [flow.reason for flow in plan.network.flows if flow.kind == "mutual_support"]
    accepts = [a for a in flows.resolve(plan.network).accepts if a.flow == f"{FROM} -> {TO}"]
    assert bool(accepts) == bool(reasons), "a link in the plan is a rule on the gateway, and no other is"
    return reasons, plan.expired, document(plan)["digest"]


def test_the_plan_holds_a_link_only_while_it_is_open(stack: pathlib.Path) -> None:
    closed, expired, digest = support(stack, "2026-08-22T17:59")
    assert (closed, expired) == ([], ())
    links.path_of(stack).write_text(GOOD_LINKS, encoding="utf-8")
    opened, expired, open_digest = support(stack, "2026-08-22T17:59")
    assert opened == ["災害時の証明書発行; 台風第10号, nishiki, until 2026-08-22T18:00:00+09:00"]
    assert expired == ()
    assert open_digest != digest
    after, expired, after_digest = support(stack, "2026-08-22T18:00")
    assert (after, after_digest) == ([], digest)
    (said,) = expired
    assert said == (
        f"the link {FROM} → {TO} ended at 2026-08-22T18:00+09:00 and is not recorded as closed; run "
        f"`kumiai configure stack`, then `kumiai link close stack {FROM} {TO}`"
    )
    links.path_of(stack).write_text(CLOSED, encoding="utf-8")
    assert support(stack, "2026-08-22T17:59") == ([], (), digest)


def test_a_link_does_not_outlive_its_flow(stack: pathlib.Path) -> None:
    links.path_of(stack).write_text(GOOD_LINKS, encoding="utf-8")
    stack.write_text(STACK.replace("2030-03-31", "2026-08-21"), encoding="utf-8")
    with pytest.raises(DeclarationError, match="but its flow expires on 2026-08-21"):
        support(stack, "2026-08-21T12:00")


Run = Callable[..., typer.testing.Result]
OPTIONS = ("--requested-by", "nishiki", "--event", "台風第10号", "--scope", "証明書の発行")


@pytest.fixture
def run(stack: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`kumiai link …` at a given minute."""

    def at_minute(now: str, *arguments: str) -> typer.testing.Result:
        monkeypatch.setattr("infra.cli.link._now", lambda: at(now))
        return typer.testing.CliRunner().invoke(infra.cli.app, ["link", *arguments])

    return at_minute


def refused(result: typer.testing.Result) -> str:
    assert isinstance(result.exception, InputError)
    return str(result.exception)


def test_open_list_close_and_the_record_that_remains(run: Run, stack: pathlib.Path) -> None:
    def states(now: str) -> list[str]:
        return [entry["state"] for entry in json.loads(run(now, "list", "stack", "--json").stdout)["declared"]]

    assert states("2026-08-20T09:00") == ["closed"]
    assert run("2026-08-20T10:00", "open", "stack", FROM, TO, "--until", "2026-08-22T18:00", *OPTIONS).exit_code == 0
    assert links.path_of(stack).read_text(encoding="utf-8") == links.HEADER + GOOD_LINKS.replace(
        ": nishiki", ': "nishiki"'
    ).replace("台風第10号", '"台風第10号"').replace("証明書の発行", '"証明書の発行"')
    assert states("2026-08-22T17:59") == ["open until 2026-08-22 18:00"]
    assert states("2026-08-22T18:00") == ["overdue since 2026-08-22 18:00"]
    assert refused(run("2026-08-21T10:00", "open", "stack", FROM, TO, "--until", "2026-08-23T18:00", *OPTIONS)) == (
        f"the link {FROM} → {TO} is open until 2026-08-22T18:00+09:00; close it first: "
        f"`kumiai link close stack {FROM} {TO}`"
    )
    assert run("2026-08-22T19:00", "close", "stack", FROM, TO).exit_code == 0
    assert run("2026-09-01T10:00", "open", "stack", FROM, TO, "--until", "2026-09-01 12:00", *OPTIONS).exit_code == 0
    assert run("2026-09-01T11:00", "close", "stack", FROM, TO).exit_code == 0
    assert refused(run("2026-09-01T11:00", "close", "stack", FROM, TO)) == (
        f"{FROM} → {TO}: no such link is open; `kumiai link list stack` shows all"
    )
    record = json.loads(run("2026-09-02T00:00", "list", "stack", "--json").stdout)["links"]
    assert [(one["opened_at"], one["until"], one["closed_at"]) for one in record] == [
        ("2026-08-20T10:00+09:00", "2026-08-22T18:00+09:00", "2026-08-22T19:00+09:00"),
        ("2026-09-01T10:00+09:00", "2026-09-01T12:00+09:00", "2026-09-01T11:00+09:00"),
    ]
    assert "台風第10号" in run("2026-09-02T00:00", "list", "stack").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FROM, TO, "--until", "2026-08-20T10:00"), "--until 2026-08-20T10:00: this has passed"),
        ((FROM, TO, "--until", "2026-08-22"), "--until 2026-08-22: not a time; write one such as 2026-08-22T18:00"),
        ((FROM, TO, "--until", "tomorrow"), "--until tomorrow: not a time; write one such as 2026-08-22T18:00"),
        ((TO, FROM, "--until", "2026-08-22T18:00"), f"no flow of kind mutual_support is declared for {TO} → {FROM}"),
        ((FROM, TO, "--until", "2030-04-01T00:00"), "but its flow expires on 2030-03-31"),
    ],
)
def test_what_cannot_be_opened_leaves_no_record(
    run: Run, stack: pathlib.Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(run("2026-08-20T10:00", "open", "stack", *arguments, *OPTIONS))
    assert not links.path_of(stack).exists()


def test_a_link_that_no_gateway_could_hold_is_not_opened(run: Run, stack: pathlib.Path) -> None:
    """Each member has a pair of its own here, and no card joins the two."""
    stack.write_text(STACK.replace("gateway: shared", "gateway: dedicated"), encoding="utf-8")
    result = run("2026-08-20T10:00", "open", "stack", FROM, TO, "--until", "2026-08-22T18:00", *OPTIONS)
    assert isinstance(result.exception, OperationError)
    assert str(result.exception) == (
        f"flow {FROM} -> {TO}: no gateway has cards on both nishiki-backup-all and dc1-tsuno-lgwan; "
        "the link cannot be opened, and nothing is recorded"
    )
    assert not links.path_of(stack).exists()


def test_a_request_has_a_body_an_event_and_a_scope(run: Run, stack: pathlib.Path) -> None:
    wrong = ("--requested-by", "Nishiki", "--event", " ", "--scope", "証明書の発行")
    said = refused(run("2026-08-20T10:00", "open", "stack", FROM, TO, "--until", "2026-08-22T18:00", *wrong))
    assert said.startswith('--requested-by: "Nishiki": not an id')
    assert said.endswith("--event: the text is empty")
    assert run("2026-08-20T10:00", "open", "stack", FROM, TO, "--until", "2026-08-22T18:00").exit_code == 2
    assert not links.path_of(stack).exists()


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_an_overdue_link_is_reported_with_exit_status_1(stack: pathlib.Path, command: str) -> None:
    overdue = GOOD_LINKS.replace("2026-08", "2020-08")
    links.path_of(stack).write_text(overdue, encoding="utf-8")
    result = typer.testing.CliRunner().invoke(infra.cli.app, [command, "stack"])
    assert isinstance(result.exception, OperationError)
    assert result.exception.exit_code == 1
    assert "ended at 2020-08-22T18:00+09:00 and is not recorded as closed" in str(result.exception)
    if command == "validate":
        assert str(result.exception).startswith("stacks/stack.links.yaml:4:5: the link office:nishiki/lgwan → ")


def test_a_broken_links_file_stops_a_plan(stack: pathlib.Path) -> None:
    links.path_of(stack).write_text("kumiai_links: 1\n", encoding="utf-8")
    with pytest.raises(KumiaiError, match=r"stack\.links\.yaml:1:1: missing key `links`"):
        support(stack, "2026-08-22T17:59")


def test_a_links_file_is_no_stack(stack: pathlib.Path) -> None:
    links.path_of(stack).write_text(GOOD_LINKS, encoding="utf-8")
    invoke = typer.testing.CliRunner().invoke
    named = invoke(infra.cli.app, ["validate", "stacks/stack.links.yaml"])
    assert str(named.exception) == (
        "stacks/stack.links.yaml:1:1: this is a file of links; name the stack file beside it"
    )
    assert str(invoke(infra.cli.app, ["validate", "other"]).exception).endswith("known stacks: stack")

"""The report as text: what it says, that other people's text stays text, and that it asks nobody for anything."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import html
import re
from typing import Any

import lxml.html
import pytest

from infra.audit.model import Audit, Change, Missing, Packet, PacketRange
from infra.drills.model import Result
from infra.plan import impact
from infra.report import audit_html
from tests.report import audits

EVIL = "<script>alert(1)</script>\"'&</td>"
DRILL = Result(
    stack="demo",
    kind="gateway",
    subject="dc1-gw1a",
    fault="power cut",
    at=datetime.datetime(2026, 4, 1, 1, 2, tzinfo=datetime.UTC),
    client="nishiki/mynumber → juki",
    timers="emulated",
    accelerator="tcg",
    down_s=3.9,
    restored_s=0.1,
    returned_s=80,
    write_gap_s=4.0,
    computed_s=4.26,
    target_s=2,
    connections_broken=0,
    writes_acknowledged=310,
    writes_lost=0,
    took_over="dc1-gw1b",
    split_brain=0,
    samples=50,
    findings=(),
)


class Seen:
    """What a reader sees; where one cell ends and the next begins is no matter."""

    def __init__(self, text: str) -> None:
        self.text = _without_spaces(text)

    def __contains__(self, words: str) -> bool:
        return _without_spaces(words) in self.text

    def __repr__(self) -> str:
        return self.text

    def index(self, words: str) -> int:
        return self.text.index(_without_spaces(words))

    def count(self, words: str) -> int:
        return self.text.count(_without_spaces(words))


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def page(*found: Audit, language: str = "ja", **more: object) -> Seen:
    """Return what a reader of ``language`` sees."""
    return seen(audit_html.render(found or (audits.audit(),), audits.demo(), **more), language)  # type: ignore[arg-type]


def parsed(text: str) -> Any:
    return lxml.html.fromstring(text)


def seen(text: str, language: str = "ja") -> Seen:
    tree = parsed(text)
    other = "en" if language == "ja" else "ja"
    for hidden in tree.xpath(f"//script | //style | //*[contains(concat(' ', @class, ' '), ' {other} ')]"):
        hidden.drop_tree()
    return Seen(tree.text_content())


def test_the_verdict_stands_first_and_says_what_was_not_examined() -> None:
    text = page(audits.audit(), audits.audit(level="rendered"))
    assert text.index("✓ 適合") < text.index("検査した量と判定") < text.index("付録")
    assert "検査していない段階: 実機、実測。" in text
    assert "この報告では実機を検査していない" in text
    assert "✓ Pass" in page(language="en")


def test_an_audit_that_fails_names_packet_path_and_rule() -> None:
    text = page(audits.audit(), audits.audit(level="rendered", violations=(audits.VIOLATION,)))
    assert "✕ 不適合" in text
    assert "重大 宣言にない通信が通る" in text
    assert "tcp 10.1.0.1 -> 10.2.0.1:445" in text
    assert "dc1-gw1a: chain forward: tcp dport 445 accept" in text
    assert "✕ 届く: 錦町→都農町" in text


def test_the_questions_of_an_auditor_are_answered_for_members_and_zones() -> None:
    """錦町 and 都農町 are two ordered pairs; mynumber with two other zones four, one of which has the exception."""
    text = page()
    assert "団体Aは団体Bに届くか ✓ 届かない (2組の団体すべて)" in text
    assert "✓ 承認された例外だけが通る (4組のうち1組)" in text
    english = page(language="en")
    assert "Can member A reach member B? ✓ No (all 2 ordered pairs of members)" in english


def test_live_levels_answer_whether_what_runs_was_declared() -> None:
    assert "動いているものは宣言どおりか ✓ 違いはない (実機)" in page(audits.audit(level="live"))
    drifted = audits.audit(level="live", violations=(dataclasses.replace(audits.VIOLATION, level="live"),))
    assert "動いているものは宣言どおりか ✕ 違いが1件ある (実機)" in page(drifted)


def test_an_audit_of_nothing_does_not_pass() -> None:
    nothing = audits.audit(level="rendered")
    looked = dataclasses.replace(nothing.examined, pairs=0, rules=0)
    assert "✕ 不適合" in page(dataclasses.replace(nothing, examined=looked))
    with pytest.raises(ValueError, match="at least one audit"):
        audit_html.render((), audits.demo())


def test_an_exception_shows_reason_approver_and_how_long_it_still_lasts() -> None:
    assert "service:juki@each_member -> service:zaimu 特定通信 住民税の収納連携 情報政策課 2030-03-31" in page()
    soon = audits.audit(audits.large)
    text = seen(audit_html.render((soon,), audits.large()))
    # 2026-04-01 to 2026-05-31
    assert "あと60日" in text


def test_a_flow_past_its_date_is_shown_as_expired() -> None:
    plan = dataclasses.replace(audits.demo(), expired=("service:a -> service:b ended on 2026-03-31",))
    assert "期限切れ: ルールに出さない" in audit_html.render((audits.audit(),), plan)


def test_levels_that_differ_are_compared_packet_by_packet() -> None:
    first = audits.audit()
    pair = next(p for p in first.pairs if p.source == "office:nishiki/mynumber" and p.target == "service:juki")
    wide = PacketRange(protocol="tcp", sources="10.1.0.0/24", destinations="172.16.0.68", ports="443-444")
    passing = (dataclasses.replace(pair.passing[0], packets=(wide,)),)
    pairs = tuple(dataclasses.replace(p, passing=passing) if p is pair else p for p in first.pairs)
    text = page(first, audits.audit(level="rendered", pairs=pairs))
    assert "office:nishiki/mynumber → service:juki tcp 10.1.0.0/24 → 172.16.0.68 : 444" in text
    assert "どの組でも、通るパケットの集合は同じ" in page(first, audits.audit(level="rendered"))


def test_what_a_change_opens_and_closes_is_a_section_of_its_own() -> None:
    lost = PacketRange(protocol="tcp", sources="10.1.0.0/24", destinations="172.16.0.68", ports="443")
    change = Change(source="office:nishiki/mynumber", target="service:juki", gained=(), lost=(lost,))
    text = page(changes=(change,), against="HEAD~1")
    assert "比較の相手: HEAD~1" in text
    assert "office:nishiki/mynumber → service:juki tcp 10.1.0.0/24 → 172.16.0.68 : 443" in text
    assert "通信は一つも変わらない" in page(changes=(), against="HEAD~1")
    assert "比較の相手" not in page()


def test_what_is_missing_unused_or_takes_two_steps_is_listed() -> None:
    flow = next(p.passing[0].flow for p in audits.audit().pairs if p.passing[0].flow is not None)
    packet = Packet(protocol="tcp", source="10.1.0.1", destination="172.16.0.68", port=443)
    missing = Missing(level="rendered", flow=flow, packet=packet, path=("a", "b"), rule="drop", reason="no rule")
    text = page(
        audits.audit(level="rendered", missing=(missing,), unused_rules=(audits.UNUSED,), two_steps=(audits.TWO_STEP,))
    )
    assert "tcp 10.1.0.1 -> 172.16.0.68:443" in text
    assert "dc1-gw1b chain forward: element 7" in text
    assert "office:nishiki/mynumber juki-ap1 service:zaimu-tsuno 錦町都農町" in text
    assert "この報告ではルールを検査していない" in page(audits.audit())
    assert "どのルールも、通りうるパケットに必要である" in page(audits.audit(level="rendered"))


def test_blast_radius_and_drills_are_told() -> None:
    text = page(impacts=impact.every(audits.demo()), drills=(DRILL,))
    assert "停止 住民情報 (錦町, 都農町) データは juki-db1 だけにあり、これを失う" in text
    assert "2026-04-01 01:02 UTC ゲートウェイ dc1-gw1a power cut; nishiki/mynumber → juki 適合 3.90 4.26 2.00" in text
    assert "計算された復旧時間は、まだ実測されていない" in page()


def test_of_repeated_drills_the_newest_and_the_worst_are_shown() -> None:
    def after(days: int, **changed: Any) -> Result:
        return dataclasses.replace(DRILL, at=DRILL.at + datetime.timedelta(days=days), **changed)

    text = page(drills=(after(0, down_s=4.1, findings=("too long",)), after(1, down_s=3.1), after(2, down_s=3.3)))
    told = "(3 回、中央値 3.30 秒、不適合 1 回)"
    assert f"power cut; nishiki/mynumber → juki 最新 {told} 適合 3.30 4.26" in text
    assert f"最悪 {told} 不適合 4.10" in text
    assert "3.10 4.26" not in text


def test_digests_of_plan_and_inputs_are_there() -> None:
    audit = audits.audit(level="rendered")
    text = page(audit)
    assert text.count(audit.digest) >= 2
    assert audit.inputs["dc1-gw1a"] in text


def test_text_of_others_stays_text() -> None:
    """Names of members, reasons, rules, inputs and drills come from files that other people write."""
    plan = audits.demo()
    members = {member: EVIL + member for member in plan.members}
    services = {service: EVIL for service in plan.services}
    evil_plan = dataclasses.replace(plan, members=members, services=services, assumed=(EVIL,), expired=(EVIL,))
    violation = dataclasses.replace(audits.VIOLATION, reason=EVIL, rule=EVIL, path=(EVIL,), source=EVIL, target=EVIL)
    first = audits.audit()
    pairs = tuple(
        dataclasses.replace(
            pair,
            passing=tuple(
                dataclasses.replace(
                    passing, flow=dataclasses.replace(passing.flow, reason=EVIL, approved_by=EVIL, kind=EVIL)
                )
                for passing in pair.passing
                if passing.flow is not None
            ),
        )
        for pair in first.pairs
    )
    audit = audits.audit(
        level="rendered",
        title=EVIL,
        violations=(violation,),
        pairs=pairs,
        inputs={EVIL: EVIL},
        unused_rules=(dataclasses.replace(audits.UNUSED, rule=EVIL, machine=EVIL, reason=EVIL),),
        two_steps=(dataclasses.replace(audits.TWO_STEP, source=EVIL, through=EVIL),),
    )
    drill = dataclasses.replace(DRILL, subject=EVIL, fault=EVIL, findings=(EVIL,))
    change = Change(source=EVIL, target=EVIL, gained=(), lost=())
    text = audit_html.render((audit,), evil_plan, impact.every(evil_plan), (drill,), changes=(change,), against=EVIL)
    assert text.count("<script>") == 1, "the report's own"
    assert "alert(1)</script>" not in text
    assert text.count(html.escape("<script>alert(1)</script>")) > 20


def test_the_policy_allows_the_one_style_and_the_one_script_that_are_there() -> None:
    text = audit_html.render((audits.audit(),), audits.demo())
    tree = parsed(text)
    (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not tree.xpath("//*[@style or @onclick or @src] | //link | //iframe | //img")
    assert not re.search(r"https?:", text)


def test_every_link_leads_to_something_and_every_name_is_there_once() -> None:
    tree = parsed(
        audit_html.render(
            (audits.audit(), audits.audit(level="rendered", violations=(audits.VIOLATION,))), audits.demo()
        )
    )
    names = tree.xpath("//@id")
    assert len(names) == len(set(names))
    assert {link.removeprefix("#") for link in tree.xpath("//a/@href")} <= set(names)
    for attribute, prefix in (("data-connections", "c"), ("data-violations", "v")):
        referred = {prefix + one for text in tree.xpath(f"//@{attribute}") for one in text.split()}
        assert referred
        assert referred <= set(names)
    assert not [table for table in tree.xpath("//table") if not table.xpath(".//th")]


def test_the_same_audits_give_the_same_bytes() -> None:
    first, again = (
        audit_html.render((audits.audit(),), audits.demo(), impact.every(audits.demo()), (DRILL,)) for _ in range(2)
    )
    assert first == again

"""Rows of catalogues of controls, with what one audit can say about each.

Titles of ISO/IEC 27017:2015, NIST SP 800-53 Rev. 5, ISO/IEC 27001:2022 and CIS Controls v8 are the publishers'; TZ rows
are this project's wording of the three-zone rule (三層の対策). What the audit did not look at is never "met".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from infra.audit.model import Control, Endpoint, Examined, Level, Missing, Pair, Violation

_ISO27017, _NIST, _ISO27001, _CIS, _TZ = (
    "ISO/IEC 27017:2015",
    "NIST SP 800-53 Rev. 5",
    "ISO/IEC 27001:2022",
    "CIS Controls v8",
    "三層の対策",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an audit found, as far as controls ask for it."""

    level: Level
    examined: Examined
    endpoints: Mapping[str, Endpoint]
    pairs: Sequence[Pair]
    violations: Sequence[Violation]
    missing: Sequence[Missing]

    def undeclared(self) -> list[tuple[Endpoint, Endpoint]]:
        """Return the known endpoints of every violation."""
        return [
            (self.endpoints[v.source], self.endpoints[v.target])
            for v in self.violations
            if v.source in self.endpoints and v.target in self.endpoints and v.source != v.target
        ]


Status = Literal["met", "not_met", "not_examined"]
Judgement = tuple[Status, str, str]
"""Status, evidence in English, evidence in Japanese."""


def controls(facts: Facts) -> tuple[Control, ...]:
    """Return every row."""
    return tuple(
        Control(id=i, framework=f, title=t, title_ja=ja, status=status, evidence=words, evidence_ja=words_ja)
        for i, f, t, ja, judge in _ROWS
        for status, words, words_ja in (judge(facts),)
    )


def _members(facts: Facts) -> Judgement:
    wrong = [(a, b) for a, b in facts.undeclared() if a.members and b.members and not set(a.members) & set(b.members)]
    joined = sum(
        1
        for pair in facts.pairs
        if _apart(facts.endpoints.get(pair.source), facts.endpoints.get(pair.target))
        and any(passing.flow is not None for passing in pair.passing)
    )
    return _judged(
        facts,
        wrong,
        f"{facts.examined.pairs} ordered pairs examined; {joined} between two members by a declared link",
        f"{facts.examined.pairs}組の通信の向きを調べた。宣言された相互応援による団体間の通信は{joined}組",
    )


def _apart(one: Endpoint | None, other: Endpoint | None) -> bool:
    return bool(one and other and one.members and other.members and not set(one.members) & set(other.members))


def _zones(*zones: str) -> Callable[[Facts], Judgement]:
    def judge(facts: Facts) -> Judgement:
        wrong = [
            (a, b)
            for a, b in facts.undeclared()
            if a.zone and b.zone and a.zone != b.zone and {a.zone, b.zone} & set(zones)
        ]
        crossing = sorted(
            {
                str(passing.flow)
                for pair in facts.pairs
                for passing in pair.passing
                if passing.flow is not None
                and passing.flow.declared
                and {z.zone for n in (pair.source, pair.target) if (z := facts.endpoints.get(n))} & set(zones)
                and len({z.zone for n in (pair.source, pair.target) if (z := facts.endpoints.get(n))}) > 1
            }
        )
        listed = "; ".join(crossing) or "none"
        return _judged(
            facts,
            wrong,
            f"exceptions that cross the zone boundary: {listed}",
            f"系をまたぐ例外: {'; '.join(crossing) or 'なし'}",
        )

    return judge


def _declaration_equals_rules(facts: Facts) -> Judgement:
    if facts.level == "declared":
        return "not_examined", "rules are compared at the levels rendered and live", "規則との照合は別の段階で行う"
    found = len(facts.violations) + len(facts.missing)
    return _judged(
        facts,
        [None] * found,
        f"{facts.examined.rules} rules of {facts.examined.machines} machines compared; {found} differences",
        f"{facts.examined.machines}台の規則{facts.examined.rules}件を照合し、相違は{found}件",
    )


def _exceptions(facts: Facts) -> Judgement:
    flows = {passing.flow for pair in facts.pairs for passing in pair.passing if passing.flow and passing.flow.declared}
    wrong = [v for v in facts.violations if v.kind in {"not_declared", "spoofable", "ipv6", "flow_expired"}]
    incomplete = [flow for flow in flows if not flow.reason or flow.expires is None]
    return _judged(
        facts,
        [*wrong, *incomplete],
        f"{len(flows)} exceptions with reason and end date; all else is denied",
        f"理由と期限のある例外{len(flows)}件のほかは全て遮断",
    )


def _filters(facts: Facts) -> Judgement:
    if facts.level == "declared":
        return "not_examined", "filters are judged at the levels rendered and live", "遮断の規則は別の段階で調べる"
    wrong = [v for v in facts.violations if v.kind in {"not_examined", "cannot_judge"}]
    return _judged(
        facts,
        wrong,
        f"the rules of {facts.examined.machines} machines, each judged by itself",
        f"{facts.examined.machines}台それぞれの規則を調べた",
    )


def _judged(facts: Facts, wrong: Sequence[object], words: str, words_ja: str) -> Judgement:
    if facts.examined.pairs == 0 or any(v.kind == "not_examined" for v in facts.violations):
        return "not_examined", f"not everything could be examined; {words}", f"調べられないものがあった。{words_ja}"
    if wrong:
        return "not_met", f"{len(wrong)} findings; {words}", f"指摘{len(wrong)}件。{words_ja}"
    return "met", words, words_ja


_ROWS: Iterable[tuple[str, str, str, str, Callable[[Facts], Judgement]]] = (
    ("TZ-1", _TZ, "The mynumber zone denies every other zone", "マイナンバー利用事務系の分離", _zones("mynumber")),
    (
        "TZ-3",
        _TZ,
        "LGWAN and Internet zones on separate paths",
        "LGWAN接続系とインターネット接続系の分割",
        _zones("lgwan", "internet"),
    ),
    ("TZ-6", _TZ, "No member reaches another member", "団体間の通信の遮断", _members),
    (
        "CLD.9.5.1",
        _ISO27017,
        "Segregation in virtual computing environments",
        "仮想コンピューティング環境における分離",
        _members,
    ),
    (
        "CLD.13.1.4",
        _ISO27017,
        "Alignment of security management for virtual and physical networks",
        "仮想・物理ネットワークのセキュリティ管理の整合",
        _declaration_equals_rules,
    ),
    ("AC-4", _NIST, "Information Flow Enforcement", "情報フローの制御", _exceptions),
    (
        "AC-4(21)",
        _NIST,
        "Physical or Logical Separation of Information Flows",
        "情報フローの物理的または論理的な分離",
        _zones("mynumber", "lgwan", "internet"),
    ),
    ("SC-7", _NIST, "Boundary Protection", "境界の保護", _filters),
    ("SC-7(5)", _NIST, "Deny by Default — Allow by Exception", "既定拒否・例外許可", _exceptions),
    ("SC-7(21)", _NIST, "Isolation of System Components", "システム構成要素の隔離", _members),
    ("A.8.22", _ISO27001, "Segregation of networks", "ネットワークの分離", _members),
    ("4.4", _CIS, "Implement and Manage a Firewall on Servers", "サーバのファイアウォール", _filters),
    (
        "13.4",
        _CIS,
        "Perform Traffic Filtering Between Network Segments",
        "セグメント間の通信制御",
        _declaration_equals_rules,
    ),
)

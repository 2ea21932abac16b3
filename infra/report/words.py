"""What the audit report says in both languages; Japanese wording after the glossary of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from network import zones


class Text(NamedTuple):
    """One thing in two languages."""

    ja: str
    en: str


def same(text: str) -> Text:
    """Return what reads the same in both: a name, an address."""
    return Text(text, text)


ZONES: Mapping[str, Text] = {
    "mynumber": Text("マイナンバー利用事務系", "My Number"),
    "lgwan": Text("LGWAN接続系", "LGWAN"),
    "internet": Text("インターネット接続系", "Internet"),
}
PLATFORM = Text("基盤 (ゲートウェイ・管理)", "Platform (gateways, management)")
SHARED = Text("共用業務 (複数団体)", "Shared services (several members)")
CARRIERS = Text("回線網 (通信事業者)", "Carriers (line networks)")
OUTSIDE = Text("外部", "Outside")
NO_ZONE = Text("領域なし (管理・基盤)", "No zone (management, platform)")

LEVELS: Mapping[str, tuple[Text, Text]] = {
    "declared": (
        Text("宣言", "Declared"),
        Text("宣言を三層の対策と団体間分離の規則に照らす", "the declaration against the rules of zones and members"),
    ),
    "rendered": (
        Text("生成", "Rendered"),
        Text("生成したルールファイルを宣言に照らす", "the generated rule files against the declaration"),
    ),
    "live": (
        Text("実機", "Live"),
        Text(
            "動いているホスト・ゲートウェイ・機械を計画に照らす",
            "running hosts, gateways and machines against the plan",
        ),
    ),
    "probe": (
        Text("実測", "Probe"),
        Text("実際に送ったパケットを証明に照らす", "packets really sent against the proof"),
    ),
}
VERDICTS: Mapping[str, Text] = {"pass": Text("適合", "Pass"), "fail": Text("不適合", "Fail")}
SEVERITIES: Mapping[str, Text] = {
    "critical": Text("重大", "Critical"),
    "major": Text("重要", "Major"),
    "minor": Text("軽微", "Minor"),
}
VIOLATIONS: Mapping[str, Text] = {
    "zone_rule": Text("領域の規則に反する", "Against the rules of zones"),
    "member_rule": Text("団体間分離に反する", "Against the separation of members"),
    "flow_expired": Text("期限切れの例外", "Exception past its date"),
    "ambiguous_address": Text("アドレスの重なり", "Ambiguous address"),
    "misplaced_card": Text("NICの接続先が違う", "Card on a wrong segment"),
    "isolation": Text("管理網の分離が破れている", "The management network is not isolated"),
    "not_declared": Text("宣言にない通信が通る", "Passes and is not declared"),
    "ipv6": Text("IPv6が通る", "IPv6 passes"),
    "spoofable": Text("送信元を偽れる", "Source can be forged"),
    "translation": Text("アドレス変換", "Address translation"),
    "cannot_judge": Text("判定できない", "Cannot be judged"),
    "not_examined": Text("検査できなかった", "Could not be examined"),
    "drift": Text("計画と異なる", "Not as planned"),
    "probe": Text("実測が証明と異なる", "Probe differs from the proof"),
}
CONTROL_STATES: Mapping[str, Text] = {
    "met": Text("充足", "Met"),
    "not_met": Text("未充足", "Not met"),
    "not_examined": Text("未検査", "Not examined"),
}
KINDS: Mapping[str, Text] = {
    **{kind: Text(condition.title, kind.replace("_", " ")) for kind, condition in zones.CONDITIONS.items()},
    "office_access": Text("庁舎から同じ領域の業務へ", "office to services of its own zone"),
    "database": Text("業務からそのデータベースへ", "application to its own database"),
    "load_balancing": Text("負荷分散", "load balancing"),
    "management": Text("管理", "management"),
    "routing": Text("経路制御", "routing with the carrier"),
    "tunnel": Text("暗号化トンネル", "encrypted tunnel"),
    "pair": Text("冗長な対の中", "within a redundant pair"),
}
UNDECLARED = Text("宣言なし", "not declared")
STATES: Mapping[str, Text] = {
    "stops": Text("停止", "Stops"),
    "degrades": Text("縮退", "Degrades"),
    "goes_on": Text("継続", "Goes on"),
}
LOSSES: Mapping[str, Text] = {
    "site": Text("拠点", "Site"),
    "host": Text("ホスト", "Host"),
    "gateway": Text("ゲートウェイ", "Gateway"),
    "line": Text("回線", "Line"),
    "node": Text("機械", "Machine"),
}
DRILLS: Mapping[str, Text] = {
    "gateway": Text("ゲートウェイ", "Gateway"),
    "line": Text("回線", "Line"),
    "sync": Text("同期セグメント", "Sync segment"),
    "node": Text("機器", "Machine"),
    "database": Text("データベース", "Database"),
    "host": Text("ホスト", "Host"),
    "site": Text("拠点", "Site"),
}
LINE_ROLES: Mapping[str, Text] = {"main": Text("主", "main"), "backup": Text("副", "backup")}


def lookup(table: Mapping[str, Text], key: str) -> Text:
    """Return the words for ``key``, or ``key`` itself where the table does not know it."""
    return table.get(key) or same(key)

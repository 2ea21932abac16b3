"""The three zones (三層の対策), the models of a body, and the matrix of flows between zones.

Everything is denied unless a condition of :data:`CONDITIONS` allows it; this table is the only place that says so, and
:func:`check_flow` and :func:`allowed_kinds` derive the matrix from it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

Zone = Literal["mynumber", "lgwan", "internet"]
"""マイナンバー利用事務系, LGWAN接続系, インターネット接続系."""
SecurityModel = Literal["alpha", "alpha_prime", "beta", "beta_prime"]
"""αモデル, α′モデル, βモデル, β′モデル; each body declares its own."""
FlowKind = Literal[
    "specific",
    "sanitized",
    "via_security_cloud",
    "lgwan_ce",
    "national_backend",
    "trusted_external",
    "local_breakout",
    "mutual_support",
    "member_link",
    "direct_link",
]
"""Condition ids of the matrix, in lower case."""
Place = Literal[
    "mynumber", "lgwan", "internet", "lgwan_network", "closed_network", "external_system", "public_internet"
]
"""Where a flow begins or ends: a zone of the stack, or something outside it."""

ZONES: tuple[Zone, ...] = get_args(Zone)
SECURITY_MODELS: tuple[SecurityModel, ...] = get_args(SecurityModel)
FLOW_KINDS: tuple[FlowKind, ...] = get_args(FlowKind)

MODEL_EDITIONS: dict[SecurityModel, str] = {
    "alpha": "H27-03",
    "alpha_prime": "R6-10",
    "beta": "R2-12",
    "beta_prime": "R2-12",
}
"""The edition of the 総務省 guideline (soumu-guideline) from which on a model may be chosen."""

_WORDS: dict[Place, str] = {
    "mynumber": "the mynumber zone",
    "lgwan": "the lgwan zone",
    "internet": "the internet zone",
    "lgwan_network": "the LGWAN",
    "closed_network": "a closed network",
    "external_system": "an external system",
    "public_internet": "the public Internet",
}
_OUTSIDE: tuple[Place, ...] = ("lgwan_network", "closed_network", "external_system")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One reason for which traffic may cross what is otherwise closed."""

    kind: FlowKind
    title: str
    pairs: frozenset[tuple[Place, Place]]
    """(from, to): only these directions; replies of an open connection are not flows of their own."""
    models: frozenset[SecurityModel] = frozenset(SECURITY_MODELS)
    """The members concerned must all follow one of these models."""
    between_members: bool = False
    """True: joins two members, and is closed until it is opened with an end time."""
    requires: Mapping[Literal["method", "via", "system"], str] = dataclasses.field(default_factory=dict)
    """Keys that a flow of this kind must carry beside reason, approver and expiry, each with what it says."""
    basis: str
    """Where the rule comes from."""


def _both_ways(pairs: Iterable[tuple[Place, Place]]) -> frozenset[tuple[Place, Place]]:
    return frozenset(itertools.chain.from_iterable(((a, b), (b, a)) for a, b in pairs))


_SAME_ZONE: frozenset[tuple[Place, Place]] = frozenset((zone, zone) for zone in ZONES)

CONDITIONS: dict[FlowKind, Condition] = {
    condition.kind: condition
    for condition in (
        Condition(
            kind="specific",
            title="特定通信",
            pairs=_SAME_ZONE | _both_ways([("mynumber", "lgwan")]),
            basis="TZ-1: the mynumber zone denies every other zone; exceptions name both ends and their ports",
        ),
        Condition(
            kind="sanitized",
            title="無害化通信",
            pairs=_both_ways([("lgwan", "internet")]),
            requires={"method": "how the traffic is made harmless", "via": "the device in the path that does it"},
            basis="TZ-4: between the lgwan and the internet zone only sanitised communication passes (R30)",
        ),
        Condition(
            kind="via_security_cloud",
            title="自治体情報セキュリティクラウド経由",
            pairs=_both_ways([("internet", "public_internet"), ("internet", "external_system")]),
            requires={"via": "the gateway of the security cloud"},
            basis="TZ-5: the Internet is reached through the aggregated gateway only (R31)",
        ),
        Condition(
            kind="lgwan_ce",
            title="LGWAN接続ルータ経由",
            pairs=_both_ways([("lgwan", "lgwan_network")]),
            basis="TZ-3: the lgwan zone reaches the LGWAN through the body's router and firewall",
        ),
        Condition(
            kind="national_backend",
            title="国の基盤システム",
            pairs=frozenset(("mynumber", outside) for outside in _OUTSIDE),
            requires={"system": "the national system it is for"},
            basis="TZ-1: the mynumber zone reaches named national systems only",
        ),
        Condition(
            kind="trusted_external",
            title="外部からの受付データ",
            pairs=frozenset((outside, "mynumber") for outside in _OUTSIDE),
            basis="TZ-1: data received by マイナポータル or eLTAX comes in, nothing goes out",
        ),
        Condition(
            kind="local_breakout",
            title="ローカルブレイクアウト",
            pairs=frozenset({("lgwan", "external_system")}),
            models=frozenset({"alpha_prime"}),
            basis="TZ-5: only model alpha_prime goes straight to named cloud services",
        ),
        Condition(
            kind="mutual_support",
            title="相互応援",
            pairs=_SAME_ZONE,
            between_members=True,
            basis="TZ-7: links between members stay closed until a recorded request opens them (R15)",
        ),
        Condition(
            kind="member_link",
            title="団体の連携サーバ経由",
            pairs=_both_ways(itertools.product(("mynumber", "lgwan"), _OUTSIDE)),
            basis="R16: other bodies and outside systems are reached through one link server of each member",
        ),
        Condition(
            kind="direct_link",
            title="直接連携",
            pairs=_both_ways(itertools.product(("mynumber", "lgwan"), _OUTSIDE)),
            requires={"system": "the system that is reached past the link server"},
            basis="R17: declared exceptions to the link server, such as 住基ネット and 後期高齢 servers",
        ),
    )
}


def allowed_kinds(source: Place, target: Place, *, between_members: bool = False) -> tuple[FlowKind, ...]:
    """Return the kinds that allow traffic from ``source`` to ``target``, in the order of the table."""
    return tuple(
        condition.kind
        for condition in CONDITIONS.values()
        if (source, target) in condition.pairs and condition.between_members == between_members
    )


def check_flow(
    source: Place, target: Place, kind: FlowKind, *, models: Iterable[SecurityModel], between_members: bool = False
) -> str | None:
    """Return why a flow of ``kind`` from ``source`` to ``target`` is forbidden, with the rule's name, or None.

    ``models`` are those of the members concerned; ``between_members`` says that the ends belong to different members.
    """
    condition = CONDITIONS[kind]
    if "mynumber" in (source, target) and {source, target} & {"internet", "public_internet"}:
        return f"{_arrow(source, target)} is never allowed, whatever its kind (TZ-1)"
    if between_members and not condition.between_members:
        return "one member never reaches another (TZ-6); only kind mutual_support may join two members"
    if condition.between_members and not between_members:
        return f"kind {kind} joins two different members; both ends here belong to the same one"
    if (source, target) not in condition.pairs:
        allowed = allowed_kinds(source, target, between_members=between_members)
        instead = f"the kinds for it are {', '.join(allowed)}" if allowed else "no kind allows it"
        rule = condition.basis.partition(":")[0]
        return f"kind {kind} ({rule}) does not cover {_arrow(source, target)}; {instead}"
    wrong = sorted(set(models) - condition.models)
    if wrong:
        allowed_models = " or ".join(model for model in SECURITY_MODELS if model in condition.models)
        return f"kind {kind} needs model {allowed_models}; a member here follows {', '.join(wrong)} (TZ-5)"
    return None


def _arrow(source: Place, target: Place) -> str:
    return f"from {_WORDS[source]} to {_WORDS[target]}"

"""The plan as tables for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable

import rich.box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.plan.model import Plan

ZONE_TITLES = {"mynumber": "マイナンバー利用事務系", "lgwan": "LGWAN接続系", "internet": "インターネット接続系"}


_FOLDED = frozenset(("title", "members", "listen", "nodes"))
"""Columns that may take several lines; the words of the others are copied and searched for."""


def tables(plan: Plan, digest: str) -> Group:
    """Return everything that ``kumiai plan`` shows."""
    parts: list[RenderableType] = [
        Text(f"{plan.title}", style="bold"),
        Text(f"stack {plan.stack} on {plan.as_of} · {len(plan.nodes)} machines · {digest[:19]}…\n"),
        _services(plan),
        _nodes(plan),
        _hosts(plan),
        _segments(plan),
        *_statements(plan),
    ]
    return Group(*parts)


def _table(title: str, *columns: str, numeric: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    right = set(numeric)
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column not in _FOLDED
        )
    return table


def _services(plan: Plan) -> Table:
    table = _table("業務 (services)", "service", "title", "zone", "members", "address", "listen", "nodes")
    for endpoint in plan.network.endpoints:
        table.add_row(
            endpoint.name,
            plan.services[endpoint.service],
            endpoint.zone,
            _names(plan, endpoint.participants),
            str(plan.network.vip_by_name[endpoint.vip].address.ip),
            ", ".join(str(port) for port in endpoint.listen),
            str(len({*endpoint.application, *endpoint.database, *endpoint.load_balancer, *endpoint.witness})),
        )
    return table


def _nodes(plan: Plan) -> Table:
    table = _table(
        "ノード (nodes)", "node", "role", "host", "zone", "address", "cards", "vCPU", "MiB", "GiB",
        numeric=("cards", "vCPU", "MiB", "GiB"),
    )  # fmt: skip
    for node in plan.nodes:
        cards = plan.network.node_by_name[node.name].interfaces
        table.add_row(
            node.name,
            node.role,
            node.host,
            node.zone or "–",
            # A gateway has an address on every segment that it serves; the management address names it best.
            str(cards[0 if node.role == "gateway" else 1].address.ip),
            str(len(cards)),
            str(node.vcpus),
            str(node.memory_mib),
            str(node.disk_gib),
        )
    return table


def _hosts(plan: Plan) -> Table:
    table = _table(
        "ホスト (hosts)", "host", "site", "reserved for", "vCPU", "MiB", "GiB", "nodes",
        numeric=("vCPU", "MiB", "GiB"),
    )  # fmt: skip
    for host in plan.hosts:
        nodes = plan.nodes_on(host.id)
        table.add_row(
            host.id,
            host.site,
            host.key or "–",
            f"{host.vcpus_used}/{host.vcpus}",
            f"{host.memory_mib_used}/{host.memory_mib}",
            f"{host.storage_gib_used}/{host.storage_gib}",
            ", ".join(node.name for node in nodes) or "spare",
        )
    return table


def _segments(plan: Plan) -> Table:
    table = _table("セグメント (segments)", "segment", "kind", "zone", "members", "prefix", "bridge")
    for segment in plan.network.segments:
        table.add_row(
            segment.name,
            segment.kind,
            segment.zone or "–",
            _names(plan, segment.members) or "–",
            ", ".join(str(prefix) for prefix in segment.prefixes),
            segment.bridge,
        )
    return table


def _statements(plan: Plan) -> list[Text]:
    placement = plan.placement
    minimum = ", ".join(f"{m.key or 'no key'} at {m.site}: {m.hosts} ({m.reason})" for m in placement.minimum_hosts)
    proof = "proved the fewest" if placement.optimal else "not proved the fewest: the search reached its limit"
    lines = [
        Text(f"Fewest hosts per key: {minimum}"),
        Text(f"Placement: {placement.hosts_used} hosts used, lower bound {placement.lower_bound}, {proof}"),
    ]
    for survival in plan.survives:
        lost = " + ".join(survival.lost)
        if not survival.possible:
            lines.append(Text(f"Loss of {lost}: not survived: {survival.reason}", style="bold red"))
        else:
            moves = ", ".join(f"{node} → {host}" for node, host in sorted(survival.moves.items()))
            lines.append(Text(f"Loss of {lost}: {moves or 'nothing runs there'}"))
    for recovery in plan.recovery:
        target = f", target {_duration(recovery.target_seconds)}" if recovery.target_seconds is not None else ""
        lines.append(Text(f"Recovery, {recovery.layer}: {recovery.fault}: {_duration(recovery.seconds)}{target}"))
    if plan.assumed:
        lines.append(Text(f"Assumed, stated by no source: {', '.join(plan.assumed)}", style="yellow"))
    lines += [Text(f"Expired: {flow}", style="bold red") for flow in plan.expired]
    lines += [Text(f"Nothing is opened: {flow}", style="yellow") for flow in plan.unopened]
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 3600 else f"{seconds / 3600:g} h"


def _names(plan: Plan, members: Iterable[str]) -> str:
    return ", ".join(plan.members[member] for member in members)

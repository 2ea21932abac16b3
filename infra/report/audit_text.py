"""The audit for a terminal of 100 columns: verdict first, then what is wrong, then what was examined."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.audit.model import Audit, Change, Missing, PacketRange, Violation

MOST = 20
"""Findings of one kind that are printed in full; --json has all of them."""
_STYLES = {"critical": "bold red", "major": "red", "minor": "yellow"}


def print_audit(out: Console, audit: Audit) -> None:
    """Print one level."""
    passed = audit.verdict == "pass"
    out.print(Text(f"{audit.stack} · {audit.level}: {audit.verdict}", style="bold green" if passed else "bold red"))
    looked = audit.examined
    out.print(
        f"  examined: {looked.pairs} ordered pairs of {len(audit.endpoints)} endpoints in {looked.classes} classes,"
        f" {looked.machines} machines,\n  {looked.rules} rules and set elements,"
        f" {looked.packet_classes} packet classes; {len(audit.pairs)} pairs can open a connection",
        markup=False,
    )
    out.print(f"  plan {audit.digest[:26]}… on {audit.as_of.isoformat()}", markup=False)
    _violations(out, audit.violations)
    _missing(out, audit.missing)
    _few(out, "rules never needed", [f"{rule.machine}: {rule.rule} ({rule.reason})" for rule in audit.unused_rules])
    _few(
        out,
        "ways in two steps through what serves several members",
        [f"{step.source} -> {step.through} -> {step.target}" for step in audit.two_steps],
    )
    _few(
        out,
        "exceptions that end within 90 days",
        [f"{flow.expires}: {flow} ({flow.reason}, {flow.approved_by})" for flow in audit.expiring],
    )
    _controls(out, audit)


def print_changes(out: Console, changes: Sequence[Change], stack: str, since: str) -> None:
    """Print what pairs gained and lost."""
    if not changes:
        out.print(f"{stack}: no pair gained or lost packets since {since}", markup=False)
        return
    out.print(f"{stack}: {len(changes)} ordered pairs changed since {since}", style="bold", markup=False)
    for change in changes:
        out.print(f"{change.source} -> {change.target}", markup=False)
        for sign, style, ranges in (("+", "green", change.gained), ("-", "red", change.lost)):
            for one in ranges:
                out.print(Text(f"  {sign} {_range(one)}", style=style), soft_wrap=True)


def _range(one: PacketRange) -> str:
    return f"{one.protocol} {one.sources} -> {one.destinations} {one.ports}"


def _violations(out: Console, violations: Sequence[Violation]) -> None:
    if not violations:
        return
    counts = collections.Counter(violation.severity for violation in violations)
    out.print(
        f"\n{len(violations)} violations ({', '.join(f'{count} {name}' for name, count in counts.items())})",
        style="bold",
        markup=False,
    )
    for violation in violations[:MOST]:
        out.print(
            Text(f"  {violation.severity} {violation.kind}", style=_STYLES[violation.severity])
            + Text(f"  {violation.source} -> {violation.target}", style="default"),
            soft_wrap=True,
        )
        _lines(
            out,
            packet=str(violation.packet) if violation.packet else None,
            path=" > ".join(violation.path) if len(violation.path) > 2 else None,
            rule=violation.rule,
            why=violation.reason,
        )
    _rest(out, len(violations))


def _missing(out: Console, missing: Sequence[Missing]) -> None:
    if not missing:
        return
    out.print(f"\n{len(missing)} declared flows that do not pass", style="bold", markup=False)
    for found in missing[:MOST]:
        out.print(Text(f"  missing  {found.flow}", style="red"), soft_wrap=True)
        _lines(out, packet=str(found.packet), path=" > ".join(found.path), rule=found.rule, why=found.reason)
    _rest(out, len(missing))


def _lines(out: Console, **parts: str | None) -> None:
    for name, text in parts.items():
        if text:
            out.print(Text(f"    {name:<7}{text}"), overflow="fold")


def _few(out: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        out.print(f"\n{len(lines)} {title}", style="bold", markup=False)
        for line in lines[:MOST]:
            out.print(Text(f"  {line}"), overflow="fold")
        _rest(out, len(lines))


def _rest(out: Console, count: int) -> None:
    if count > MOST:
        out.print(f"  … and {count - MOST} more; --json has all of them", markup=False)


def _controls(out: Console, audit: Audit) -> None:
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in ("control", "", "title"):
        table.add_column(column, overflow="fold", no_wrap=column != "title")
    styles = {"met": "green", "not_met": "red", "not_examined": "yellow"}
    for control in audit.controls:
        table.add_row(
            control.id,
            Text(control.status.replace("_", " "), style=styles[control.status]),
            f"{control.title_ja} ({control.title})",
        )
    out.print(table)

"""``kumiai audit``."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infra.cli import common

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from infra.audit.model import Audit, Change, Listing
    from infra.plan.model import Plan

LevelName = Literal["declared", "rendered", "live", "probe", "all"]
LEVELS: tuple[LevelName, ...] = ("declared", "rendered", "live", "probe")
_EARLIER_S = 30.0


def command(
    stack: common.StackArgument,
    *,
    level: Annotated[
        LevelName | None,
        typer.Option(
            "--level",
            help="The declaration with the domain's rules; rule files, running machines, real packets with it; or all. "
            "Default: the first two, which need no machines.",
        ),
    ] = None,
    rendered: Annotated[
        pathlib.Path | None,
        typer.Option("--rendered", metavar="DIR", help="Rule files DIR/NODE/etc/nftables.conf from anywhere."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="FILE|REV", help="Which pairs gained or lost packets since then."),
    ] = None,
    report: Annotated[
        pathlib.Path | None,
        typer.Option("--report", metavar="DIR", help="Write audit.html, audit.json and oscal.json into DIR."),
    ] = None,
    as_json: common.JsonFlag = False,
    as_of: common.AsOfOption = None,
) -> None:
    """Say exactly which packets can pass between whom, and whether that is what was declared.

    --against alone prints what changed; with --report the change is a section of the report.

    Example: kumiai audit demo --level rendered --rendered taken-from-the-gateways
    """
    import infra.plan
    from infra.audit import document
    from infra.report import audit_text
    from network.errors import InputError, OperationError

    stack_file, day = common.stack_file(stack), common.as_of_date(as_of)
    if against is not None and report is None:
        _compare(stack_file, day, against, as_json=as_json)
        return
    if rendered is not None and level == "declared":
        raise InputError("--rendered DIR is for --level rendered")
    if rendered is not None and not rendered.is_dir():
        raise InputError(f"--rendered {rendered}: no such folder")
    plan = infra.plan.compute(stack_file, day).plan
    levels = LEVELS if level == "all" else LEVELS[:2] if level is None else (level,)
    audits = [_audit(plan, stack_file, name, rendered) for name in levels]
    if as_json:
        common.print_json(document.document(audits[0]) if len(audits) == 1 else document.together(audits))
    else:
        for audit in audits:
            audit_text.print_audit(common.out, audit)
    if report is not None:
        _report(report, audits, plan, None if against is None else (_changes(stack_file, day, against), against))
    failed = [audit for audit in audits if audit.verdict == "fail"]
    if failed:
        count = sum(len(audit.violations) + len(audit.missing) for audit in failed)
        found = f"{count} findings" if count else "nothing was examined"
        raise OperationError(f"{plan.stack}: {found} ({', '.join(audit.level for audit in failed)})")


def _report(
    folder: pathlib.Path, audits: Sequence[Audit], plan: Plan, since: tuple[Sequence[Change], str] | None
) -> None:
    from infra.configure.private import ROOT
    from infra.drills import records
    from infra.report import audit_files, oscal

    changes, against = since or (None, "")
    drills = records.read(ROOT, plan.stack)
    for path in audit_files.write(folder, audits, plan, drills=drills, changes=changes, against=against):
        common.err.print(f"written: {path}", markup=False, soft_wrap=True)
    if not oscal.available():
        common.err.print(f"oscal.json is not written: {oscal.MISSING}", markup=False, soft_wrap=True)


def _changes(stack_file: pathlib.Path, day: datetime.date, since: str) -> Sequence[Change]:
    import tempfile

    import infra.plan
    from infra.audit import against

    with tempfile.TemporaryDirectory() as folder:
        before = infra.plan.compute(_earlier(stack_file, since, pathlib.Path(folder)), day).plan
    return against.changes(before, infra.plan.compute(stack_file, day).plan)


def _compare(stack_file: pathlib.Path, day: datetime.date, since: str, *, as_json: bool) -> None:
    from infra.audit import document
    from infra.report import audit_text

    found = _changes(stack_file, day, since)
    if as_json:
        common.print_json(document.changes(found, stack_file.stem, since))
    else:
        audit_text.print_changes(common.out, found, stack_file.stem, since)


def _earlier(stack_file: pathlib.Path, since: str, folder: pathlib.Path) -> pathlib.Path:
    """Return the stack file to compare with: a file, or that of a revision, written to ``folder`` with its lock."""
    from infra.process import probe
    from network.errors import InputError

    if pathlib.Path(since).is_file():
        return pathlib.Path(since)
    if since.startswith("-"):
        raise InputError(f"--against {since}: neither a file nor a revision")
    where = stack_file.resolve().parent
    for name in (stack_file.name, f"{stack_file.stem}.lock.yaml", f"{stack_file.stem}.links.yaml"):
        done = probe("git", "-C", str(where), "show", f"{since}:./{name}", timeout_s=_EARLIER_S)
        if done.ok:
            (folder / name).write_text(done.stdout, encoding="utf-8")
        elif name == stack_file.name:
            said = next(iter(done.stderr.strip().splitlines()), "git is missing or this is no repository")
            raise InputError(f"--against {since}: neither a file nor a revision that holds {name} ({said})")
    return folder / stack_file.name


def _audit(plan: Plan, stack_file: pathlib.Path, level: str, folder: pathlib.Path | None) -> Audit:
    import datetime

    from infra.audit import check, management
    from infra.declaration.load import load
    from infra.hosts import isolation

    if level == "declared":
        models = {member.id: member.model for member in load(stack_file).members}
        return check.audit_declared(plan, models)
    if level == "live":
        return _live(plan, stack_file)
    if level == "probe":
        return _probe(plan, stack_file)
    now, apart = datetime.datetime.now(tz=datetime.UTC), management.bridged(plan.network, isolation.bridges(plan))
    return check.audit_rules(plan, _listings(plan, folder), now=now, drift=apart)


def _live(plan: Plan, stack_file: pathlib.Path) -> Audit:
    import datetime

    from infra.live import fetch, level
    from infra.operations import shell, verify
    from infra.operations.run import Request
    from infra.secrets import store

    request = Request(stack_file=stack_file, as_of=plan.as_of)
    found = [finding for site in plan.sites for finding in verify.verify_site(plan, site, request).findings]
    with shell.open_shell(plan, store.load_all(stack_file, plan)) as opened:
        machines = fetch.fetch(plan, opened)
    return level.audit(plan, machines, found, datetime.datetime.now(tz=datetime.UTC))


def _probe(plan: Plan, stack_file: pathlib.Path) -> Audit:
    from infra.operations import shell
    from infra.probes import level, run
    from infra.secrets import store

    with shell.open_shell(plan, store.load_all(stack_file, plan)) as opened:
        return level.audit(plan, run.run(plan, opened))


def _listings(plan: Plan, folder: pathlib.Path | None) -> dict[str, Listing]:
    """Return the rules that were given, or else those that would be written."""
    from infra.audit import sandbox
    from infra.audit.model import Listing

    cards = {node.name: [card.name for card in node.interfaces] for node in plan.network.nodes}
    if folder is not None:
        unknown = {
            path.name: Listing(text=None, digest=None)
            for path in folder.iterdir()
            if path.name not in cards and (path / sandbox.RULES).exists()
        }
        return {**sandbox.load_files(folder, cards), **unknown}
    from network.render import nftables, render_all

    texts = {name: files[nftables.RULES] for name, files in render_all(plan.network).items()}
    return dict(sandbox.load_texts(texts, cards))

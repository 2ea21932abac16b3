"""The files of ``kumiai audit --report DIR``."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Sequence

from infra.audit import document
from infra.audit.model import Audit, Change
from infra.drills.model import Result
from infra.plan import impact
from infra.plan.model import Plan
from infra.report import audit_html, oscal


def write(
    folder: pathlib.Path,
    audits: Sequence[Audit],
    plan: Plan,
    *,
    drills: Iterable[Result] = (),
    changes: Sequence[Change] | None = None,
    against: str = "",
) -> tuple[pathlib.Path, ...]:
    """Write audit.html, audit.json and oscal.json into ``folder``, which is made; return the paths that were written.

    ``audits`` are the levels that were examined, at least one, in their order. ``changes`` are those since the
    declaration that ``against`` names. Without OSCAL's library, which is optional, there is no oscal.json: the caller
    says why (:data:`infra.report.oscal.MISSING`).
    """
    texts = {
        "audit.html": audit_html.render(
            audits, plan, impact.every(plan), drills=drills, changes=changes, against=against
        ),
        "audit.json": _json(document.document(audits[0]) if len(audits) == 1 else document.together(audits)),
    }
    if oscal.available():
        texts["oscal.json"] = oscal.assessment_results(audits)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return tuple(folder / name for name in texts)


def _json(found: object) -> str:
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"

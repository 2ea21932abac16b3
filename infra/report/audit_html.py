"""The audit report: one HTML file that needs nothing else, in Japanese and English, for the screen and for paper.

Nothing in it comes from anywhere else: a policy in the file itself forbids every request, and allows only the one style
sheet and the one script that it carries (by their digests). The same audits give the same bytes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import pathlib
from collections.abc import Iterable, Sequence

import jinja2
import markupsafe

from infra.audit import changes as changes_of_levels
from infra.audit.model import Audit, Change
from infra.drills import repeats
from infra.drills.model import Result
from infra.plan.impact import Impact
from infra.plan.model import Plan
from infra.report import impact_view, network_drawing, words
from infra.report.audit_view import EXPIRES_SOON_DAYS, View

_HERE = pathlib.Path(__file__).parent


def render(
    audits: Sequence[Audit],
    plan: Plan,
    impacts: Iterable[Impact] = (),
    drills: Iterable[Result] = (),
    *,
    changes: Sequence[Change] | None = None,
    against: str = "",
) -> str:
    """Return the report of ``audits``, one a level. ``changes`` are those since the declaration named ``against``.

    ValueError when there is no audit to report.
    """
    view = View(audits, plan)
    style, script = (_HERE / "audit.css").read_text("utf-8"), (_HERE / "audit.js").read_text("utf-8")
    return (
        _environment()
        .get_template("audit.html.j2")
        .render(
            view=view,
            plan=plan,
            words=words,
            soon=EXPIRES_SOON_DAYS,
            drawings=network_drawing.draw(plan),
            losses=impact_view.losses(plan, impacts),
            drills=repeats.series(drills),
            changes=changes,
            against=against,
            levels=tuple(
                (first, second, changes_of_levels.between(first, second))
                for first, second in itertools.pairwise(view.audits)
                if first.pairs and second.pairs
            ),
            style=markupsafe.Markup(style),  # noqa: S704 - our own file
            script=markupsafe.Markup(script),  # noqa: S704 - our own file
            style_digest=_digest(style),
            script_digest=_digest(script),
        )
    )


def _digest(text: str) -> str:
    """Return the source expression of a Content-Security-Policy for an inline ``text``."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        undefined=jinja2.StrictUndefined,
        autoescape=True,  # names of members, reasons and rule files are other people's text
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["lookup"] = words.lookup
    return environment

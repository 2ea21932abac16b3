"""Asks all machines at once."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from concurrent import futures

from infra.configure.services import services
from infra.operations.shell import Shell, python
from infra.plan.model import Plan
from infra.status import model, on_node
from infra.status.model import Answer, Asked, Status

PROGRAM = pathlib.Path(on_node.__file__)
LIMIT_S = 45.0
AT_ONCE = 16


def questions(plan: Plan, only: Collection[str] | None = None) -> tuple[Asked, ...]:
    """Return what the machines of ``plan``, or ``only`` some of them, are asked; renders the plan, so ask it once."""
    return tuple(q for q in model.asked(plan.network, services(plan)) if only is None or q.node in only)


def look(plan: Plan, shell: Shell, questions: Sequence[Asked]) -> Status:
    """Return what the machines answer now; silence is a finding."""
    with futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = list(pool.map(lambda question: _ask(shell, question), questions))
    found: Mapping[str, Answer | None] = dict(zip((q.node for q in questions), answers, strict=True))
    return model.judge(plan.network, questions, found)


def _ask(shell: Shell, question: Asked) -> Answer | None:
    orders = {"units": question.units, "addresses": question.addresses, "sessions": bool(question.peers)}
    program = python(PROGRAM.read_text(encoding="utf-8"))
    done = shell.probe(question.node, *program, stdin=json.dumps(orders), timeout_s=LIMIT_S)
    if not done.ok:
        return None
    said = json.loads(done.stdout)
    return Answer(node=question.node, units=said["units"], held=tuple(said["held"]), sessions=said["sessions"])

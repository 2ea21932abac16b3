"""Starts the probes in all terminals and machines."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence
from concurrent import futures

from infra import process
from infra.lab import reach
from infra.operations.shell import Shell, python
from infra.plan.model import Plan
from infra.probes import frames, wanted
from infra.probes.model import Probe, Source, Tried
from network.errors import OperationError

AT_ONCE = 6
MOST = 20000
"""Probes of one card at a time: each has a source port of its own."""
PROGRAM = pathlib.Path(frames.__file__)
LIMIT_S = 180.0


def run(plan: Plan, shell: Shell) -> tuple[Tried, ...]:
    """Try every probe of ``plan`` and return what came of each; OperationError when a source could not try."""
    by_source: dict[Source, list[Probe]] = {}
    for probe in wanted.probes(plan.network):
        by_source.setdefault(probe.source, []).append(probe)
    with futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        done = pool.map(lambda item: _from(plan, shell, *item), by_source.items())
        return tuple(tried for one in done for tried in one)


def _from(plan: Plan, shell: Shell, source: Source, probes: Sequence[Probe]) -> list[Tried]:
    asked = [(number, p.protocol, str(p.target), p.port, p.via) for number, p in enumerate(probes)]
    orders = json.dumps({"card": source.card, "source": str(source.address), "probes": asked[:MOST]})
    if source.terminal:
        member, office, zone = source.name.split("/")
        argv = (*reach.office_exec(plan.stack, member, office, zone), sys.executable, "-I", "-S", str(PROGRAM))
    else:
        argv = shell.argv(source.name, *python(PROGRAM.read_text(encoding="utf-8")))
    done = process.probe(*argv, stdin=orders, timeout_s=LIMIT_S)
    if not done.ok:
        cause = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise OperationError(f"{source.name}, card {source.card}: {cause}")
    answers = {int(number): got for number, got in json.loads(done.stdout)["answers"].items()}
    return [
        Tried(probe=probe, outcome=answers[number][0], answered_by=answers[number][1])
        if number in answers
        else Tried(probe=probe, outcome="silent", answered_by="")
        for number, probe in enumerate(probes)
    ]

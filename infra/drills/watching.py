"""Runs the client on a terminal while the caller breaks something."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
import uuid
from collections.abc import Iterator

from infra import process
from infra.drills import client
from infra.drills.model import Knock, Seen, Talk, Write
from infra.lab import reach, visits
from infra.plan.model import Plan
from network import gateways
from network.errors import OperationError
from network.model import OfficeLan, ServiceEndpoint

KNOCK_S = 0.1
WRITE_S = 0.5
LIMIT_S = 900.0
"""A client whose caller is gone stops by itself after this."""
STEADY_S = 3.0
"""How long everything must answer before something is broken."""
READY_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Where a client works: from which terminal, with which business system."""

    office: OfficeLan
    endpoint: ServiceEndpoint

    def __str__(self) -> str:
        return f"{self.office.member}/{self.office.zone} → {self.endpoint.name}"


class Watch:
    """A client at work."""

    def __init__(self, child: process.Child) -> None:
        self._child = child

    def end(self) -> Seen:
        """Let the client finish, and return what it saw."""
        done = self._child.finish(client.READ_BACK_S + client.TALK_PATIENCE_S + 60)
        if not done.ok:
            cause = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise OperationError(f"the client of the drill failed: {cause}")
        return _seen(done.stdout)


@contextlib.contextmanager
def watch(plan: Plan, post: Post, authority: str, limit_s: float = LIMIT_S) -> Iterator[Watch]:
    """Yield a client that works at ``post``, for ``limit_s`` at most.

    ``authority`` is the PEM certificate that signs the services' own.

    The business system has answered there before; OperationError when it does not within two minutes.
    """
    visit = visits.visit(plan, post.office, post.endpoint, authority)
    if "answered" not in visit.answer:
        raise OperationError(f"{post}: does not answer before anything was broken: {visit.answer}; nothing was broken")
    orders = {
        "address": str(gateways.reached_at(plan.network, post.endpoint, post.office.member)),
        "port": post.endpoint.listen[0].first,
        "path": visits.PATH,
        "run": f"drill-{uuid.uuid4()}",
        "authority": authority,
        "knock_s": KNOCK_S,
        "write_s": WRITE_S,
        "limit_s": limit_s,
    }
    terminal = reach.office_exec(plan.stack, post.office.member, post.office.office, post.office.zone)
    with process.started(*terminal, sys.executable, "-I", "-S", client.__file__) as child:
        child.tell(json.dumps(orders))
        time.sleep(STEADY_S)  # the client's own beginning, so that what follows has something to be compared with
        yield Watch(child)


def _seen(text: str) -> Seen:
    found = json.loads(text)
    return Seen(
        knocks=tuple(Knock(at=at, opened=opened) for at, opened in found["knocks"]),
        writes=tuple(
            Write(number=number, begun=begun, ended=ended, acknowledged=kept, why=why)
            for number, begun, ended, kept, why in found["writes"]
        ),
        talks=tuple(
            Talk(begun=begun, ended=ended, alive=alive, why=why) for begun, ended, alive, why in found["talks"]
        ),
        kept=frozenset(found["kept"]),
    )

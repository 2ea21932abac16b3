"""Who holds what only one may hold (a virtual address, a database), asked of the machines all the time."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from infra import process
from infra.operations.shell import Shell, python
from infra.status import look, on_node
from network.errors import OperationError

PROGRAM = f"""\
import socket, sys
{inspect.getsource(on_node.own)}
for _ in sys.stdin:
    print(int(own(sys.argv[1])), flush=True)
"""
"""On a machine: for each line of stdin, 1 when the address is one of its own, as `kumiai status` finds out."""
PAUSE_S = 0.1
AGAIN_S = 1.0
"""How long until a machine that did not answer is asked again."""
FIRST_ANSWER_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer of a machine; seconds of the monotonic clock."""

    asked: float
    answered: float
    held: bool


class Samples:
    """The answers of all machines."""

    def __init__(self, nodes: Collection[str]) -> None:
        self.by_node: Mapping[str, list[Sample]] = {node: [] for node in nodes}

    @property
    def count(self) -> int:
        """How often the machines answered."""
        return sum(len(samples) for samples in self.by_node.values())

    def holder(self) -> str | None:
        """Return who held the address by the last answers; None when nobody did, or several."""
        found = [node for node, samples in self.by_node.items() if samples and samples[-1].held]
        return found[0] if len(found) == 1 else None

    def holds(self, node: str) -> bool:
        """Say whether ``node`` held it by its last answer."""
        return bool(self.by_node[node]) and self.by_node[node][-1].held

    def together(self, *, longer_than_s: float = 0.0, without: Mapping[str, tuple[float, float]] | None = None) -> int:
        """Return how many times two machines held it at once, for certain.

        ``without``: node → from when until when nobody could reach it, so that what it held served nobody.
        """
        spans = {node: list(self._spans(node, (without or {}).get(node))) for node in self.by_node}
        return sum(
            min(a[1], b[1]) - max(a[0], b[0]) > longer_than_s
            for one, other in itertools.combinations(spans.values(), 2)
            for a, b in itertools.product(one, other)
        )

    def _spans(self, node: str, away: tuple[float, float] | None) -> Iterator[tuple[float, float]]:
        for start, end in held_spans(self.by_node[node]):
            if away is None or end <= away[0] or start >= away[1]:
                yield start, end
            else:
                yield from ((a, b) for a, b in ((start, away[0]), (away[1], end)) if a < b)


def held_spans(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return the spans of time in which a machine held the address for certain: between two answers that say so."""
    spans: list[tuple[float, float]] = []
    for earlier, later in itertools.pairwise(samples):
        if earlier.held and later.held:
            if spans and spans[-1][1] == earlier.asked:
                spans[-1] = (spans[-1][0], later.asked)
            else:
                spans.append((earlier.answered, later.asked))
    return spans


class Asking:
    """Asks machines until it is closed. What a machine answers grows; one that is lost is asked again."""

    def __init__(self, commands: Mapping[str, Sequence[str]], pause_s: float) -> None:
        self.samples = Samples(commands)
        self._pause_s = pause_s
        self._commands = commands
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._ways: dict[str, contextlib.ExitStack] = {}
        for node in commands:
            threading.Thread(target=self._ask, args=(node,), daemon=True).start()

    def renew(self, node: str) -> None:
        """Open a new way to ``node``, which has started again: the old one would only notice by and by."""
        with self._lock:
            way = self._ways.pop(node, None)
        if way is not None:
            way.close()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()
        for node in self._commands:
            self.renew(node)

    def _ask(self, node: str) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(BrokenPipeError, ValueError):  # the machine is gone, or the way was closed
                child = self._way(node)
                begun = time.monotonic()
                while child is not None and self._one(child, self.samples.by_node[node]):
                    self._stop.wait(max(self._pause_s, look.REST * (time.monotonic() - begun)))
                    begun = time.monotonic()
            if (known := self.samples.by_node[node]) and not self._stop.is_set():
                now = time.monotonic()  # no answer is one too: what it held before says nothing about later
                known.append(Sample(asked=now, answered=now, held=False))
            self.renew(node)
            self._stop.wait(AGAIN_S)

    def _way(self, node: str) -> process.Child | None:
        with self._lock, contextlib.ExitStack() as stack:
            if self._stop.is_set():
                return None
            child = stack.enter_context(process.started(*self._commands[node]))
            self._ways[node] = stack.pop_all()
            return child

    def _one(self, child: process.Child, found: list[Sample]) -> bool:
        asked = time.monotonic()
        child.tell("")
        answer = child.hear()
        if answer and not self._stop.is_set():
            found.append(Sample(asked=asked, answered=time.monotonic(), held=answer == "1"))
        return bool(answer) and not self._stop.is_set()


@contextlib.contextmanager
def asking(commands: Mapping[str, Sequence[str]], pause_s: float = PAUSE_S) -> Iterator[Asking]:
    """Yield the answers of machines (node → arguments of a process), of which each has answered once before.

    The process prints a line for each line that it reads: 1 when the machine holds it. OperationError when one does not
    answer in `FIRST_ANSWER_S`.
    """
    found = Asking(commands, pause_s)
    try:
        end = time.monotonic() + FIRST_ANSWER_S
        while silent := [node for node, answers in found.samples.by_node.items() if not answers]:
            if time.monotonic() > end:
                raise OperationError(f"{', '.join(silent)}: no answer within {FIRST_ANSWER_S:g} s; nothing was broken")
            time.sleep(PAUSE_S)  # there is no event for the first answer of all
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def sampling(shell: Shell, nodes: Sequence[str], address: str) -> Iterator[Asking]:
    """Yield which of ``nodes`` hold ``address``; as `asking`."""
    commands = {node: shell.argv(node, *python(PROGRAM, address)) for node in nodes}
    with asking(commands) as found:
        yield found

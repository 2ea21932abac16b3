"""Who holds a virtual address, asked of the machines all the time while something is broken."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from infra import process
from infra.operations.shell import Shell
from infra.status import on_node

PROGRAM = f"""\
import socket, sys
{inspect.getsource(on_node.own)}
for _ in sys.stdin:
    print(int(own(sys.argv[1])), flush=True)
"""
"""On a machine: for each line of stdin, 1 when the address is one of its own, as `kumiai status` finds out."""
PAUSE_S = 0.1
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

    def together(self) -> int:
        """Return how many times two machines held the address at once, for certain."""
        spans = {node: held_spans(samples) for node, samples in self.by_node.items()}
        return sum(
            a[0] < b[1] and b[0] < a[1]
            for one, other in itertools.combinations(spans.values(), 2)
            for a, b in itertools.product(one, other)
        )


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


@contextlib.contextmanager
def sampling(shell: Shell, nodes: Sequence[str], address: str) -> Iterator[Samples]:
    """Yield the answers of ``nodes``, which grow until the block ends; each has answered once before it begins.

    A machine that is lost no longer answers, which is an answer too.
    """
    samples, stop = Samples(nodes), threading.Event()

    def ask(child: process.Child, found: list[Sample]) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the machine is gone, or the block has ended
            while not stop.is_set():
                asked = time.monotonic()
                child.tell("")
                answer = child.hear()
                if not answer:
                    return
                found.append(Sample(asked=asked, answered=time.monotonic(), held=answer == "1"))
                stop.wait(PAUSE_S)

    with contextlib.ExitStack() as stack:
        threads = []
        for node in nodes:
            argv = shell.argv(node, "python3", "-I", "-S", "-c", PROGRAM, address)
            child = stack.enter_context(process.started(*argv))
            threads.append(threading.Thread(target=ask, args=(child, samples.by_node[node]), daemon=True))
            threads[-1].start()
        end = time.monotonic() + FIRST_ANSWER_S
        while not all(samples.by_node.values()) and time.monotonic() < end:
            time.sleep(PAUSE_S)  # there is no event for the first answer of all
        try:
            yield samples
        finally:
            stop.set()

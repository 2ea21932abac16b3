"""What is wrong, and whose absence explains it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is not as it should be."""

    text: str
    nodes: tuple[str, ...] = ()
    """Machines each of which explains it while it is taken out on purpose; empty: nothing explains it."""

    def __str__(self) -> str:
        return self.text


def unexplained(faults: Iterable[Fault], out: Collection[str]) -> tuple[Fault, ...]:
    """Return the faults that remain when the machines ``out`` are taken out on purpose."""
    return tuple(fault for fault in faults if not set(fault.nodes) & set(out))

"""Drills that were repeated: what they found together. Pure."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping

from infra.drills import records
from infra.drills.model import Result

BY_CHANCE = ("gateway", "node", "database")
"""Kinds of which whoever has the address or the lock breaks: the next one of a series breaks its partner."""
FIGURES = ("down_s", "restored_s", "returned_s", "write_gap_s")
"""Fields of a result that are summed up, in seconds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Drills that broke the same in the same way, the oldest first; at least one."""

    results: tuple[Result, ...]

    @property
    def newest(self) -> Result:
        """The last one."""
        return self.results[-1]

    @property
    def worst(self) -> Result:
        """The one that lost the most, or else had two holders, or else was not as promised, or else took longest."""
        latest_first = reversed(self.results)
        return max(latest_first, key=lambda one: (one.writes_lost, one.split_brain, not one.passed, one.down_s))

    @property
    def failed(self) -> int:
        """How many were not as promised."""
        return sum(not one.passed for one in self.results)

    @property
    def shown(self) -> tuple[Result, ...]:
        """The newest one, and the worst one if it is another."""
        return tuple(dict.fromkeys((self.newest, self.worst)))

    def median_s(self, figure: str) -> float:
        """Return the median of one of `FIGURES`."""
        return round(float(statistics.median(getattr(one, figure) for one in self.results)), 2)

    def worst_s(self, figure: str) -> float:
        """Return the longest of one of `FIGURES`."""
        return float(max(getattr(one, figure) for one in self.results))


def series(results: Iterable[Result]) -> tuple[Series, ...]:
    """Return ``results`` by what broke, how, with which timers on which machines, and seen from where."""
    found: dict[tuple[object, ...], list[Result]] = {}
    for result in sorted(results, key=lambda one: (one.at, one.kind, one.subject)):
        broken = "" if result.kind in BY_CHANCE and "+" not in result.subject else result.subject
        key = (result.kind, broken, result.fault, result.client, result.timers, result.accelerator)
        found.setdefault(key, []).append(result)
    return tuple(Series(results=tuple(each)) for each in found.values())


def must_end(result: Result) -> bool:
    """Say whether nothing more may be broken: data is lost, or two machines did what only one may."""
    return bool(result.writes_lost or result.split_brain)


def document(found: Series) -> Mapping[str, object]:
    """Return a series as a document for machines."""
    return {
        "format": records.FORMAT,
        "median": {figure: found.median_s(figure) for figure in FIGURES},
        "worst": {figure: found.worst_s(figure) for figure in FIGURES},
        "passed": not found.failed,
        "runs": [records.document(one) for one in found.results],
    }

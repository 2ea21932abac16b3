"""How a figure grows with what causes it: the exponent, a table and a picture."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Sequence

import jinja2

WIDTH, HEIGHT = 260.0, 190.0
"""Of one panel, in units of the picture."""
_TEMPLATE = pathlib.Path(__file__).with_name("growth.svg.j2")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One level of the audit along one cause."""

    title: str
    """What grows; curves of one title share a panel."""
    level: str
    points: tuple[tuple[float, float], ...]
    """(how much there is, seconds), both greater than zero; two or more, with different causes."""

    @property
    def exponent(self) -> float:
        """The slope of the straight line that fits best where both axes are logarithmic: 1 is linear growth."""
        xs, ys = zip(*((math.log(x), math.log(y)) for x, y in self.points), strict=True)
        return statistics.linear_regression(xs, ys).slope


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Numbers on a logarithmic axis of ``length`` units."""

    low: float
    high: float
    length: float

    def at(self, value: float) -> float:
        return self.length * math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def ticks(self) -> list[float]:
        """Ones, twos and fives in reach; the powers of ten alone where that is many."""
        steps = (1, 2, 5) if self.high / self.low < 200 else (1,)
        tens = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [step * 10.0**ten for ten in tens for step in steps if self.low <= step * 10.0**ten <= self.high]


def table(curves: Sequence[Curve]) -> None:
    """Print each curve's points and its exponent."""
    for curve in curves:
        points = "  ".join(f"{x:,.0f}: {y:.2f} s" for x, y in curve.points)
        print(f"growth of {curve.level} with {curve.title:<17} {points}  exponent {curve.exponent:.2f}", flush=True)


def drawing(curves: Sequence[Curve]) -> str:
    """Return a self-contained SVG: a panel for each title, all with the same seconds upward."""
    titles = list(dict.fromkeys(curve.title for curve in curves))
    seconds = [y for curve in curves for _, y in curve.points]
    upward = _Axis(low=min(seconds) / 1.5, high=max(seconds) * 1.5, length=HEIGHT)
    panels = []
    for title in titles:
        mine = [curve for curve in curves if curve.title == title]
        causes = [x for curve in mine for x, _ in curve.points]
        across = _Axis(low=min(causes) / 1.15, high=max(causes) * 1.15, length=WIDTH)
        lines = [{"curve": c, "points": [(across.at(x), HEIGHT - upward.at(y)) for x, y in c.points]} for c in mine]
        panels.append({"title": title, "across": across, "lines": lines, "ticks": sorted({x for x in causes})})
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return template.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        panels=panels, upward=upward, width=WIDTH, height=HEIGHT
    )

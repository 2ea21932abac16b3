"""What a drill is and what it found."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """A connection that a terminal tried to open; seconds of the monotonic clock."""

    at: float
    opened: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A numbered record, tried once."""

    number: int
    begun: float
    ended: float
    acknowledged: bool
    why: str
    """Why not; empty when it was acknowledged."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A question over the connection that is kept open."""

    begun: float
    ended: float
    alive: bool
    """Whether it was answered and the connection stayed open."""
    why: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that a client saw."""

    knocks: tuple[Knock, ...]
    writes: tuple[Write, ...]
    talks: tuple[Talk, ...]
    kept: frozenset[int]
    """Numbers that the business system had at the end."""

    @property
    def acknowledged(self) -> frozenset[int]:
        """Numbers of the writes that the business system said it keeps."""
        return frozenset(write.number for write in self.writes if write.acknowledged)

    @property
    def lost(self) -> frozenset[int]:
        """Acknowledged and missing afterwards."""
        return self.acknowledged - self.kept

    @property
    def broken(self) -> int:
        """How often the kept connection broke."""
        return sum(not talk.alive for talk in self.talks)

    def silence_s(self, start: float, end: float) -> float:
        """Return the longest time between two opened knocks between two moments.

        A knock counts at the moment at which it was begun: it is one packet.
        """
        return longest_gap((knock.at for knock in self.knocks if knock.opened), start, end)

    def write_gap_s(self, start: float, end: float) -> float:
        """Return the longest time between two acknowledged writes between two moments."""
        return longest_gap((write.ended for write in self.writes if write.acknowledged), start, end)

    def slowest_write_s(self, before: float) -> float:
        """Return how long the slowest write took that was acknowledged ``before`` a moment; 0 when there was none."""
        return max((w.ended - w.begun for w in self.writes if w.acknowledged and w.ended < before), default=0.0)

    def answers_at(self, start: float, end: float, last: int = 5) -> bool:
        """Say whether the last knocks between two moments were all opened; False when there were fewer."""
        found = [knock.opened for knock in self.knocks if start <= knock.at < end][-last:]
        return len(found) == last and all(found)


def longest_gap(moments: Iterable[float], start: float, end: float) -> float:
    """Return the longest time without one of ``moments`` between ``start`` and ``end``, in seconds."""
    marks: Sequence[float] = [start, *sorted(at for at in moments if start <= at < end), end]
    return round(max(later - earlier for earlier, later in itertools.pairwise(marks)), 2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a drill found; kept as JSON beside those of other days."""

    stack: str
    kind: str
    """``gateway``, ``node``, ``line``, ``sync``, ``database``, ``host``, ``site``."""
    subject: str
    """What was broken: a node, a line."""
    fault: str
    """How it was broken, in words."""
    at: datetime.datetime
    """When it was broken (with its time zone)."""
    client: str
    """From where to where, such as ``nishiki/mynumber → juki``."""
    timers: str
    """Profile of the timers that were in force."""
    accelerator: str
    """``kvm``, or ``tcg`` for emulated machines, whose own slowness is in every figure."""
    down_s: float
    """Longest time without an answer after the fault."""
    restored_s: float
    """Longest time without an answer after the repair."""
    returned_s: float
    """From the repair until everything was as before: the line carries again, the pair is whole."""
    write_gap_s: float
    """Longest time between two acknowledged writes after the fault."""
    computed_s: float | None
    """Worst case from the timers; None where the service stops and nothing but the data is promised."""
    target_s: float | None
    """What it had to meet; None where no target is set."""
    connections_broken: int
    """How often the connection that was open all the time broke."""
    writes_acknowledged: int
    writes_lost: int
    """Acknowledged and missing afterwards."""
    took_over: str
    """Who served after the fault."""
    split_brain: int
    """Moments at which more than one machine held the address."""
    samples: int
    """Moments at which the machines were asked."""
    findings: tuple[str, ...]
    """Everything that was not as promised, in words; empty: the drill is passed."""
    told: tuple[str, ...] = ()
    """What else was found, in words."""

    @property
    def passed(self) -> bool:
        """Whether everything was as promised."""
        return not self.findings

"""Protocols and port ranges, written ``tcp/443``, ``udp/5000-5010`` or ``icmp``."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

Protocol = Literal["tcp", "udp", "icmp"]

_FORM = re.compile(r"^(?P<protocol>tcp|udp)/(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?$")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports ``first`` to ``last`` of a protocol; ICMP has no ports and keeps 0–0."""

    protocol: Protocol
    first: int
    last: int

    def __str__(self) -> str:
        if self.protocol == "icmp":
            return "icmp"
        return f"{self.protocol}/{self.first}" + (f"-{self.last}" if self.last != self.first else "")

    def overlaps(self, other: PortRange) -> bool:
        """Say whether some packet belongs to both ranges."""
        return self.protocol == other.protocol and self.first <= other.last and other.first <= self.last


def parse(text: str) -> PortRange:
    """Return the range that ``text`` writes; raise ValueError for anything else."""
    if text == "icmp":
        return PortRange("icmp", 0, 0)
    match = _FORM.match(text)
    if match is None:
        raise ValueError(f"{text}: not a port; write tcp/443, udp/5000-5010 or icmp")
    first = int(match["first"])
    last = int(match["last"] or first)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"{text}: ports go from 1 to 65535, the smaller first")
    return PortRange("tcp" if match["protocol"] == "tcp" else "udp", first, last)

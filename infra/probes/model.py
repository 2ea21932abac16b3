"""What is tried, and what came of it."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address
from typing import Literal

from network.ports import Protocol

Outcome = Literal["open", "refused", "silent"]
"""``open``: something answered; ``refused``: the target's machine said that nothing listens; ``silent``: no answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Source:
    """Where packets begin: a card of a machine, or the terminal on an office LAN."""

    name: str
    """The machine, or ``MEMBER/OFFICE/ZONE`` of a terminal."""
    segment: str
    """The segment of the card; ``office`` for a terminal."""
    card: str
    address: IPv4Address
    terminal: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Probe:
    """One packet that asks: a SYN, an echo request, a datagram."""

    source: Source
    target_name: str
    """What the target is: a machine, or the name of a virtual address."""
    target_segment: str
    target: IPv4Address
    protocol: Protocol
    port: int
    """0 for ICMP."""
    via: str
    """The next hop: an address to be resolved on the card, or a MAC address."""
    passes: str
    """The flow that lets it pass; empty when nothing does."""

    def __str__(self) -> str:
        port = "" if self.protocol == "icmp" else f"/{self.port}"
        where = f"{self.source.name} ({self.source.address} on {self.source.segment})"
        there = f"{self.target_name} ({self.target} on {self.target_segment})"
        return f"{where} → {there} {self.protocol}{port} via {self.via}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A probe and what came of it."""

    probe: Probe
    outcome: Outcome
    answered_by: str
    """The address that answered; empty when nothing did."""

    @property
    def wrong(self) -> str:
        """What is not as the plan says, in words; empty when it is.

        A datagram that may pass says nothing by its silence: nobody has to answer it.
        """
        if self.outcome != "silent" and not self.probe.passes:
            return f"{self.probe}: {self.outcome}, answered by {self.answered_by}, and no flow lets it pass"
        if self.outcome == "silent" and self.probe.passes and self.probe.protocol != "udp":
            return f"{self.probe}: no answer, although “{self.probe.passes}” lets it pass"
        return ""

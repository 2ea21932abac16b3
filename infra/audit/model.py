"""What an audit examined and what it found; frozen, and the same for every level.

:func:`infra.audit.document.document` turns it into ``kumiai audit --json``; the report shows the rest.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping
from typing import Literal

Level = Literal["declared", "rendered", "live", "probe"]
Severity = Literal["critical", "major", "minor"]
"""``critical``: packets pass end to end, or nobody can say. ``major``: one filter alone lets them through, and another
still holds them back. ``minor``: nothing passes that should not, and something is not as declared all the same."""
Verdict = Literal["pass", "fail"]
State = Literal["new", "established", "related", "invalid", "untracked"]
"""Connection tracking's word for a packet: ``new`` opens a connection, ``established`` belongs to an open one."""
EndpointKind = Literal["office", "node", "service", "gateway", "station", "line", "network"]

ViolationKind = Literal[
    # declared: the model against the rules of the domain
    "zone_rule",
    "member_rule",
    "flow_expired",
    "ambiguous_address",
    "misplaced_card",
    "isolation",
    # rendered and live: rules against the model
    "not_declared",
    "ipv6",
    "spoofable",
    "translation",
    "cannot_judge",
    "not_examined",
    # live
    "drift",
    # probe
    "probe",
]


_PROTOCOL_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


def protocol_name(number: int) -> str:
    """Return what findings call a protocol: its name, or its number where it has none here."""
    return _PROTOCOL_NAMES.get(number, str(number))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One concrete packet."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, ``icmpv6`` or the number of the protocol."""
    source: str
    destination: str
    port: int | None
    """Destination port; None where the protocol has none."""
    source_port: int | None = None
    icmp_type: int | None = None
    state: State = "new"
    translated: Packet | None = None
    """The same packet as it leaves the gateway, where it is rewritten."""

    def __str__(self) -> str:
        """``tcp 10.1.0.1 -> 172.16.0.68:443`` and, behind a comma, what is unusual about it."""
        port = "" if self.port is None else f":{self.port}"
        target = f"[{self.destination}]{port}" if ":" in self.destination and port else f"{self.destination}{port}"
        text = f"{self.protocol} {self.source} -> {target}"
        text += f", type {self.icmp_type}" if self.icmp_type is not None else ""
        text += f", {self.state}" if self.state != "new" else ""
        return text if self.translated is None else f"{text}, translated to {self.translated}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PacketRange:
    """Packets that pass, as people write them: every combination of the fields."""

    protocol: str
    sources: str
    """A prefix, an address or a range of addresses."""
    destinations: str
    ports: str
    """``443``, ``5000-5010``, or ``any``; for ICMP the type."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowReference:
    """The declared flow that packets belong to."""

    source: str
    target: str
    kind: str
    """A condition of the zone matrix, or an implied kind such as ``office_access`` or ``management``."""
    reason: str
    approved_by: str | None = None
    expires: datetime.date | None = None
    declared: bool = False
    """Whether it is an exception of the stack file, and not implied by the services."""

    def __str__(self) -> str:
        """``office:nishiki/mynumber -> service:juki``."""
        return f"{self.source} -> {self.target}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Somebody who sends or receives."""

    name: str
    """``office:nishiki/mynumber``, a machine's name, ``service:juki``, ``station:dc1``, ``line:nishiki-main/lgwan``."""
    kind: EndpointKind
    members: tuple[str, ...]
    """Members that it belongs to or serves, sorted; empty for what belongs to the platform."""
    zone: str | None
    site: str
    segments: tuple[str, ...]
    """Where its packets come in."""
    addresses: tuple[str, ...]
    """Its prefixes and addresses, sorted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointClass:
    """Endpoints that every filter treats alike, up to their own addresses."""

    endpoints: tuple[str, ...]
    """Names, sorted; never empty."""

    @property
    def name(self) -> str:
        """The first of them."""
        return self.endpoints[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """Connections that can be opened between two endpoints, and why."""

    packets: tuple[PacketRange, ...]
    """Exactly these; sorted, never empty."""
    flow: FlowReference | None
    """None: nothing declares them."""
    path: tuple[str, ...]
    """Sender, the machines that pass it on, receiver."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An ordered pair of endpoints between which something passes; pairs that are not listed pass nothing."""

    source: str
    target: str
    passing: tuple[Passing, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that is not as it must be."""

    kind: ViolationKind
    severity: Severity
    level: Level
    source: str
    """Name of an endpoint, or of a machine where no packet is concerned."""
    target: str
    packet: Packet | None
    path: tuple[str, ...]
    """Endpoints, machines with the hook of each filter, and cards, in the order of the packet."""
    rule: str | None
    """Machine, chain and rule or element, as a person finds it in the file."""
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A declared flow of which packets do not pass."""

    level: Level
    flow: FlowReference
    packet: Packet
    path: tuple[str, ...]
    rule: str | None
    """What stops it."""
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnusedRule:
    """A rule or element that no possible packet ever needs."""

    machine: str
    rule: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TwoStep:
    """A way from one endpoint to another through a machine that serves both: no single connection, yet a way."""

    source: str
    through: str
    target: str
    members: tuple[str, ...]
    """Members on the two sides, sorted."""
    zones: tuple[str, ...]
    """Zones of the two sides and of the machine, sorted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A row of a catalogue of controls with what the audit can say about it."""

    id: str
    framework: str
    title: str
    title_ja: str
    status: Literal["met", "not_met", "not_examined"]
    evidence: str
    evidence_ja: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How much was looked at; an audit of nothing fails."""

    pairs: int
    """Ordered pairs of endpoints: the sum over pairs of classes of the product of their sizes."""
    classes: int
    rules: int
    """Rules and set elements."""
    packet_classes: int
    """Sets of packets that some filter treats as one, over all filters."""
    probes: int = 0
    machines: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The rules of one machine as ``nft -n -j list ruleset`` prints them, or why there are none."""

    text: str | None
    digest: str | None
    """``sha256:…`` of the rule file; None where none could be read."""
    reason: str = ""
    """Why there is no text."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an ordered pair of endpoints gained and lost between two declarations."""

    source: str
    target: str
    gained: tuple[PacketRange, ...]
    lost: tuple[PacketRange, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """The outcome of one level."""

    stack: str
    title: str
    level: Level
    as_of: datetime.date
    digest: str
    """Of the plan that was compared with."""
    inputs: Mapping[str, str]
    """Digest of every file that was judged: name → ``sha256:…``; empty for the declared level."""
    examined: Examined
    endpoints: tuple[Endpoint, ...]
    classes: tuple[EndpointClass, ...]
    pairs: tuple[Pair, ...]
    """Only those between which something passes, sorted."""
    violations: tuple[Violation, ...]
    missing: tuple[Missing, ...]
    unused_rules: tuple[UnusedRule, ...]
    two_steps: tuple[TwoStep, ...]
    expiring: tuple[FlowReference, ...]
    """Exceptions that end within 90 days, the first first."""
    controls: tuple[Control, ...]

    @property
    def verdict(self) -> Verdict:
        """``pass`` when something was examined, nothing forbidden passes and everything declared does."""
        by_level = {"declared": self.examined.pairs, "probe": self.examined.probes}
        looked = self.examined.pairs > 0 and by_level.get(self.level, self.examined.rules) > 0
        return "pass" if looked and not self.violations and not self.missing else "fail"

    @functools.cached_property
    def endpoint_by_name(self) -> Mapping[str, Endpoint]:
        """Endpoints by name."""
        return {endpoint.name: endpoint for endpoint in self.endpoints}

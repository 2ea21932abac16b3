"""The ends of a flow, as a stack file writes them.

``office:MEMBER/ZONE``, ``service:ID``, ``service:ID@MEMBER``, ``service:ID@each_member``, ``network:ID``,
``external:NAME``. ``external:internet`` is the public Internet.
"""

from __future__ import annotations

import dataclasses
import re

from network import zones

FORMS = "office:MEMBER/ZONE, service:ID, service:ID@MEMBER, service:ID@each_member, network:ID or external:NAME"
EACH_MEMBER = "each_member"
INTERNET = "internet"
"""NAME of the public Internet."""

_ID = r"[a-z][a-z0-9-]{0,30}"
_OFFICE = re.compile(rf"(?P<member>{_ID})/(?P<zone>[a-z_]+)")
_SERVICE = re.compile(rf"(?P<service>{_ID})(?:@(?P<member>{_ID}|{EACH_MEMBER}))?")
_NETWORK = re.compile(_ID)
_EXTERNAL = re.compile(r"[^\s/@:][^/@:]{0,79}")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class OfficeEnd:
    """The LANs of one zone in all offices of a member."""

    member: str
    zone: zones.Zone

    def __str__(self) -> str:
        return f"office:{self.member}/{self.zone}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ServiceEnd:
    """The nodes of a service; for one member, for each member by itself, or as a whole when both are unset."""

    service: str
    member: str | None = None
    each_member: bool = False

    def __str__(self) -> str:
        suffix = f"@{EACH_MEMBER}" if self.each_member else f"@{self.member}" if self.member else ""
        return f"service:{self.service}{suffix}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class NetworkEnd:
    """Whatever lies behind a closed network."""

    network: str

    def __str__(self) -> str:
        return f"network:{self.network}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ExternalEnd:
    """A named system or body outside the stack; ``internet`` is the public Internet."""

    name: str

    @property
    def public_internet(self) -> bool:
        """Say whether this is the public Internet and not one named system."""
        return self.name.lower() == INTERNET

    def __str__(self) -> str:
        return f"external:{self.name}"


Endpoint = OfficeEnd | ServiceEnd | NetworkEnd | ExternalEnd


def parse(text: str) -> Endpoint:
    """Return the end that ``text`` writes; raise ValueError for anything else."""
    scheme, _, rest = text.partition(":")
    if scheme == "office" and (match := _OFFICE.fullmatch(rest)):
        return OfficeEnd(match["member"], _zone(match["zone"], text))
    if scheme == "service" and (match := _SERVICE.fullmatch(rest)):
        each = match["member"] == EACH_MEMBER
        return ServiceEnd(match["service"], None if each else match["member"], each)
    if scheme == "network" and _NETWORK.fullmatch(rest):
        return NetworkEnd(rest)
    if scheme == "external" and _EXTERNAL.fullmatch(rest):
        return ExternalEnd(rest)
    raise ValueError(f"{text}: not an end of a flow; write {FORMS}")


def _zone(text: str, whole: str) -> zones.Zone:
    for zone in zones.ZONES:
        if zone == text:
            return zone
    raise ValueError(f"{whole}: unknown zone {text}; the zones are {', '.join(zones.ZONES)}")

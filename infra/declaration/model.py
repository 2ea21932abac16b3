"""The declaration, format 1: one frozen record per object of a stack file.

The shape of every object stands here; rules that join several objects stand in :mod:`infra.declaration.checks`.
Identifiers are strict strings, quantities carry their unit in the name.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import unicodedata
from typing import Annotated, Literal

import pydantic

from infra.declaration import lg_code as lg_code_module
from network import ports, zones

Zone = zones.Zone
SecurityModel = zones.SecurityModel
FlowKind = zones.FlowKind
Pattern = Literal["same_business", "per_municipality", "mixed", "multi_tenant"]
"""The four tenancy patterns ①–④."""
NodeRole = Literal["application", "database", "load_balancer", "witness"]
_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")
_LIBVIRT = re.compile(r"qemu(?:\+[a-z0-9]+)?://(?:(?P<user>[^@/\s]+)@)?[^@\s]*/[^@\s]+")
_BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _string(value: object, expected: str) -> str:
    """Return ``value`` when it is a string; the loader adds what it found instead."""
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    return value


def _network_from(value: object) -> object:
    """Return the network of ``value`` ("10.1.0.0/18"); host bits and a missing length are refused."""
    text = _string(value, 'a prefix such as "10.1.0.0/18"')
    if "/" not in text:
        raise ValueError(f'{text}: a prefix needs its length, such as "{text}/24"')
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text}: not an IP prefix") from None
    if interface.ip != interface.network.network_address:
        raise ValueError(f"{text}: host bits are set; the network is {interface.network}")
    return interface.network


def _address_from(value: object) -> object:
    text = _string(value, 'an address such as "198.51.100.1"')
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text}: not an IP address") from None


def _date_from(value: object) -> object:
    """Return the date of ``value`` (ISO 8601, such as 2011-10-01); a time of day is refused."""
    text = _string(value, "a date (year-month-day, such as 2026-04-01)")
    try:
        if _DATE.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{text}: not a date; write year-month-day, such as 2026-04-01")


def _clock_from(value: object) -> object:
    text = _string(value, 'a time of day in quotes, such as "08:30"')
    try:
        if _CLOCK.fullmatch(text):
            return datetime.time.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f'{text}: not a time of day; write it in quotes, such as "08:30"')


def _port_from(value: object) -> object:
    return ports.parse(_string(value, "a port such as tcp/443"))


def _id_from(value: str) -> str:
    if _ID.fullmatch(value) is None:
        raise ValueError(
            f'"{value}": not an id; use lower-case letters, digits and hyphens, a letter first, at most 31 characters'
        )
    return value


def _text_from(value: str) -> str:
    """Return ``value`` without outer blanks; what could forge a line or its direction in a report is refused."""
    text = value.strip()
    if not text:
        raise ValueError("the text is empty")
    if len(text) > 400:
        raise ValueError(f"the text has {len(text)} characters; at most 400 are allowed")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _BIDI_CONTROLS:
            raise ValueError(f"the text holds the control character U+{ord(character):04X}; write one plain line")
    return text


def _format_from(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f'"{value}": in quotes it is text; write `kumiai: 1`')
    if type(value) is not int or value != 1:
        raise ValueError("expected 1, the format that this program reads (`kumiai: 1`)")
    return value


def _country_from(value: str) -> str:
    if len(value) != 2 or not value.isascii() or not value.isalpha() or not value.isupper():
        raise ValueError(f'"{value}": not a country; write the two capital letters of ISO 3166, such as JP')
    return value


def _libvirt_from(value: str) -> str:
    """Return a connection URI; a password in it is refused without being shown."""
    if value == "lab":
        return value
    match = _LIBVIRT.fullmatch(value)
    if match is None:
        raise ValueError(
            f'"{value}": not a libvirt URI; write one such as "qemu+ssh://root@kvm01.example/system", '
            "or lab for a simulated host"
        )
    if ":" in (match["user"] or ""):
        raise ValueError("the libvirt URI holds a password; a stack file never does, use an SSH key")
    return value


def _string_schema(pattern: str, example: str) -> pydantic.WithJsonSchema:
    return pydantic.WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Id = Annotated[
    str,
    pydantic.Field(strict=True),
    pydantic.AfterValidator(_id_from),
    _string_schema(rf"^{_ID.pattern}$", "nishiki-main"),
]
"""Lower-case identifier, at most 31 characters, such as "nishiki" or "nishiki-main"."""
Text = Annotated[
    str,
    pydantic.Field(strict=True),
    pydantic.AfterValidator(_text_from),
    pydantic.WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 400}),
]
"""One line of text for people, in any language."""
Prefix = Annotated[
    Network, pydantic.PlainValidator(_network_from), _string_schema(r"^[0-9a-fA-F.:]+/\d+$", "10.1.0.0/18")
]
HostAddress = Annotated[
    Address, pydantic.PlainValidator(_address_from), _string_schema(r"^[0-9a-fA-F.:]+$", "198.51.100.1")
]
Date = Annotated[
    datetime.date, pydantic.PlainValidator(_date_from), _string_schema(r"^\d{4}-\d{2}-\d{2}$", "2026-04-01")
]
Clock = Annotated[datetime.time, pydantic.PlainValidator(_clock_from), _string_schema(r"^\d{2}:\d{2}$", "08:30")]
Port = Annotated[
    ports.PortRange,
    pydantic.PlainValidator(_port_from),
    _string_schema(r"^(tcp|udp)/\d+(-\d+)?$|^icmp$", "tcp/443"),
]
Count = Annotated[int, pydantic.Field(strict=True, gt=0)]
Gibibytes = Annotated[float, pydantic.Field(strict=True, gt=0, allow_inf_nan=False)]
"""Memory in GiB; fractions such as 0.5 are allowed as long as they are whole MiB."""


class Record(pydantic.BaseModel):
    """Base of all declared objects: frozen, unknown keys refused."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", populate_by_name=False, allow_inf_nan=False, use_attribute_docstrings=True
    )

    assumed: Annotated[bool, pydantic.Field(strict=True)] = False
    """True when no source states the values of this object; ``plan`` lists them."""


class PolicyBasis(Record):
    """The policy edition that the zone rules are taken from, such as soumu-guideline R7-03."""

    doc: Text
    edition: Text


class Group(Record):
    """The group of bodies that shares the cloud (構成団体のグループ)."""

    name: Id
    title: Text
    policy_basis: PolicyBasis | None = None


class Office(Record):
    """An office (庁舎) with its separate LANs per zone."""

    id: Id
    zones: Annotated[
        dict[Zone, Annotated[tuple[Prefix, ...], pydantic.Field(min_length=1)]], pydantic.Field(min_length=1)
    ]


def _lg_code_from(value: object) -> object:
    return lg_code_module.checked(_string(value, 'six digits in quotes, such as "435015"'))


LgCode = Annotated[str, pydantic.PlainValidator(_lg_code_from), _string_schema(r"^\d{6}$", "435015")]


class Member(Record):
    """One constituent body of the group (構成団体)."""

    id: Id
    name: Text
    kind: Literal["municipality", "prefecture", "union"] = "municipality"
    lg_code: LgCode | None = None
    """全国地方公共団体コード with its check digit, for example "435015"."""
    population: Annotated[int, pydantic.Field(strict=True, gt=0)] | None = None
    joins: Date | None = None
    leaves: Date | None = None
    """First day on which the member takes no part any more."""
    model: SecurityModel
    offices: tuple[Office, ...] = ()


class Site(Record):
    """A place with machines: a data center, a second one, or an office that holds servers."""

    id: Id
    kind: Literal["data_center", "secondary", "backup", "office"] = "data_center"
    country: Annotated[
        str,
        pydantic.Field(strict=True),
        pydantic.AfterValidator(_country_from),
        _string_schema("^[A-Z]{2}$", "JP"),
    ]
    """Residents' data stays in Japan (R48), so JP is the only country that passes."""
    prefecture: Text | None = None
    title: Text | None = None


class Slice(Record):
    """The part of a shared host that this stack may use."""

    vcpus: Count
    memory_gib: Gibibytes
    storage_gib: Count


class Host(Record):
    """A libvirt host (hypervisor)."""

    id: Id
    site: Id
    libvirt: Annotated[
        str,
        pydantic.Field(strict=True),
        pydantic.AfterValidator(_libvirt_from),
        _string_schema(r"^(lab|qemu(\+[a-z0-9]+)?://.+)$", "qemu+ssh://root@kvm01.example/system"),
    ]
    """Connection URI such as qemu+ssh://root@kvm01.example/system, or ``lab`` for a simulated host."""
    vcpus: Count
    memory_gib: Gibibytes
    storage_gib: Count
    chassis: Text | None = None
    vcpu_overcommit: Annotated[float, pydantic.Field(strict=True, ge=1, le=16)] = 1.0
    """Virtual CPUs per thread of the host that the operator accepts."""
    underlay: HostAddress | None = None
    """Address that carries the segments between hosts; default: the host part of the libvirt URI."""
    slice: Slice | None = None


class Hop(Record):
    """One section of a closed network's path with its narrowest bandwidth."""

    hop: Text
    mbps: Count


class ClosedNetwork(Record):
    """A logical closed network (閉域網)."""

    id: Id
    kind: Literal["lgwan", "ip_vpn", "wide_ethernet", "prefectural", "internet_vpn"]
    assigned_prefix: Prefix | None = None
    """Given by the operator of the network (for LGWAN by J-LIS); never generated."""
    path: tuple[Hop, ...] = ()


class Handoff(Record):
    """The carrier's values of one hand-off: input, never generated outside the lab."""

    prefix: Prefix
    peer: HostAddress
    local: Annotated[tuple[HostAddress, ...], pydantic.Field(min_length=2, max_length=2)]
    """Addresses of the two gateways."""
    vip: HostAddress
    routing: Literal["bgp", "static", "tunnel"]
    peer_as: Annotated[int, pydantic.Field(strict=True, ge=1, le=4294967295)] | None = None
    local_as: Annotated[int, pydantic.Field(strict=True, ge=1, le=4294967295)] | None = None
    hold_s: Annotated[int, pydantic.Field(strict=True, ge=3, le=65535)] | None = None
    bfd: Annotated[bool, pydantic.Field(strict=True)] = False
    md5: Id | None = None
    """Name of the secret that holds the session password; never the password itself."""
    tunnel_peer: HostAddress | None = None
    """Outer address of the far end when ``routing`` is ``tunnel``; default: ``peer``."""


class Line(Record):
    """A physical line (回線): one path of one member into one site."""

    id: Id
    member: Id
    site: Id
    closed_network: Id
    role: Literal["main", "backup"]
    class_: Annotated[Literal["guaranteed", "reserved", "best_effort"], pydantic.Field(alias="class")]
    """帯域保証, 帯域確保 or ベストエフォート."""
    mbps: Count
    zones: Annotated[tuple[Zone, ...], pydantic.Field(min_length=1)]
    separation: Literal["segment", "prefix"] = "segment"
    separation_reason: Text | None = None
    handoff: dict[Literal["mynumber", "lgwan", "internet", "all"], Handoff] | None = None


class Participation(Record):
    """One member's use of a service, from the first day to the day it ends."""

    member: Id
    from_: Annotated[Date | None, pydantic.Field(alias="from")] = None
    until: Date | None = None
    """First day on which the member does not use the service any more."""


class NodeSpec(Record):
    """How many machines of one role, and how large each is."""

    count: Annotated[int, pydantic.Field(strict=True, gt=0, le=64)]
    vcpus: Count
    memory_gib: Gibibytes
    disk_gib: Annotated[int, pydantic.Field(strict=True, ge=0)] = 0
    """The data volume; the root disk comes with the image."""


def _participation_from(value: object) -> object:
    return {"member": value} if isinstance(value, str) else value


class Service(Record):
    """A business system (業務) that the group runs."""

    id: Id
    title: Text
    zone: Zone
    pattern: Pattern
    pattern_reason: Text
    """Why this pattern: the choice among the four is declared with its reason (R33)."""
    site: Id | None = None
    """Where it runs; default: the only site of kind data_center."""
    participants: (
        Annotated[
            tuple[
                Annotated[
                    Participation,
                    pydantic.BeforeValidator(_participation_from, json_schema_input_type=Id | Participation),
                ],
                ...,
            ],
            pydantic.Field(min_length=1),
        ]
        | None
    ) = None
    """Default: every member of the group."""
    listen: Annotated[tuple[Port, ...], pydantic.Field(min_length=1)]
    required_mbps: Annotated[float, pydantic.Field(strict=True, gt=0)] | None = None
    """Mbit/s that each member's users need; summed per line and compared with the line and every hop of its path."""
    data: Literal["per_member", "common"] = "per_member"
    """Pattern ④ only: ``common`` is one data area in which the package tells members apart."""
    hosts: Annotated[tuple[Id, ...], pydantic.Field(min_length=1)] | None = None
    """Pattern ④ only: the hosts that its nodes may use; default: any host without a key."""
    runs_on: Id | None = None
    """Another service whose nodes also run this one."""
    nodes: dict[NodeRole, NodeSpec] = {}


class Flow(Record):
    """A declared exception to default deny."""

    from_: Annotated[Text, pydantic.Field(alias="from")]
    to: Text
    allow: Annotated[tuple[Port, ...], pydantic.Field(min_length=1)]
    kind: FlowKind
    reason: Text
    approved_by: Text
    expires: Date
    method: Literal["mail_to_text", "attachment_removal", "screen_transfer", "file_sanitising"] | None = None
    """How ``sanitized`` traffic is made harmless (無害化の方式)."""
    via: Text | None = None
    """The device in the path that does it."""
    system: Text | None = None
    """The national system of ``national_backend``, such as 住基ネット."""


class Translation(Record):
    """Address translation at the edge of a closed network."""

    closed_network: Id
    inside: Prefix
    outside: Prefix
    direction: Literal["source", "destination"]
    member: Id | None = None


class ZoneSeparation(Record):
    """Whether the internet zone has hosts and gateways of its own."""

    hosts: Literal["separate", "shared"] = "separate"
    gateways: Literal["separate", "shared"] = "separate"
    reason: Text | None = None
    approved_by: Text | None = None


class GatewaySize(Record):
    """The size of one gateway machine."""

    vcpus: Count = 1
    memory_gib: Gibibytes = 1.0


class Availability(Record):
    """What the stack survives."""

    spare_hosts: Annotated[int, pydantic.Field(strict=True, ge=0, le=2)] = 1
    gateway: Literal["shared", "dedicated"] = "shared"
    gateway_size: GatewaySize = GatewaySize()
    after_loss: Literal["strict", "relaxed"] = "strict"
    zone_separation: ZoneSeparation = ZoneSeparation()


class Addressing(Record):
    """The address space that the stack may use inside."""

    supernet: Prefix


class Calendar(Record):
    """The hours of service."""

    days: Literal["weekdays", "every_day"] = "weekdays"
    from_: Annotated[Clock, pydantic.Field(alias="from")]
    to: Clock


class LogRetention(Record):
    """How long logs are kept (C22: 3 months and 5 years; requirements R109, R110)."""

    activity_months: Count = 3
    security_years: Count = 5


class Sla(Record):
    """The service level agreement of the stack (サービスレベル合意書)."""

    availability_percent: Annotated[float, pydantic.Field(strict=True, gt=0, lt=100)]
    base: Literal["service_hours", "always"]
    calendar: Calendar | None = None
    recovery_hours: Annotated[float, pydantic.Field(strict=True, gt=0)]
    logs: LogRetention = LogRetention()


class Declaration(Record):
    """A whole stack file."""

    kumiai: Annotated[int, pydantic.PlainValidator(_format_from), pydantic.WithJsonSchema({"const": 1})]
    """The format of the file."""
    group: Group
    members: Annotated[tuple[Member, ...], pydantic.Field(min_length=1)]
    sites: Annotated[tuple[Site, ...], pydantic.Field(min_length=1)]
    hosts: tuple[Host, ...]
    closed_networks: tuple[ClosedNetwork, ...] = ()
    lines: tuple[Line, ...] = ()
    services: Annotated[tuple[Service, ...], pydantic.Field(min_length=1)]
    flows: tuple[Flow, ...] = ()
    translations: tuple[Translation, ...] = ()
    availability: Availability = Availability()
    addressing: Addressing
    sla: Sla | None = None

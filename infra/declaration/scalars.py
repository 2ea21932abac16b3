"""The single values of a stack file: identifiers, texts, prefixes, dates, quantities.

Identifiers are strict strings, quantities carry their unit in the name of their key. A ValueError says what is wrong in
words for the person who wrote the file; where the value is not even text, the loader adds what it found.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import unicodedata
from typing import Annotated

import pydantic

from infra.declaration import lg_code as lg_code_module
from network import ports

_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")
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


def _moment_from(value: object) -> object:
    """Return the moment of ``value`` (ISO 8601 to the minute); without an offset it would be another one elsewhere."""
    text = _string(value, "a date and time with its offset, such as 2026-04-01T18:00+09:00")
    try:
        if _MOMENT.fullmatch(text):
            return datetime.datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{text}: not a moment; write date, time and offset, such as 2026-04-01T18:00+09:00")


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
Moment = Annotated[
    datetime.datetime,
    pydantic.PlainValidator(_moment_from),
    _string_schema(rf"^{_MOMENT.pattern}$", "2026-04-01T18:00+09:00"),
]
"""A minute of a day with its offset from UTC."""
Port = Annotated[
    ports.PortRange,
    pydantic.PlainValidator(_port_from),
    _string_schema(r"^(tcp|udp)/\d+(-\d+)?$|^icmp$", "tcp/443"),
]
Count = Annotated[int, pydantic.Field(strict=True, gt=0)]
Gibibytes = Annotated[float, pydantic.Field(strict=True, gt=0, allow_inf_nan=False)]
"""Memory in GiB; fractions such as 0.5 are allowed as long as they are whole MiB."""


def _lg_code_from(value: object) -> object:
    return lg_code_module.checked(_string(value, 'six digits in quotes, such as "435015"'))


LgCode = Annotated[str, pydantic.PlainValidator(_lg_code_from), _string_schema(r"^\d{6}$", "435015")]
"""全国地方公共団体コード, a string of six digits."""
Country = Annotated[
    str,
    pydantic.Field(strict=True),
    pydantic.AfterValidator(_country_from),
    _string_schema("^[A-Z]{2}$", "JP"),
]
"""ISO 3166, two letters."""
LibvirtUri = Annotated[
    str,
    pydantic.Field(strict=True),
    pydantic.AfterValidator(_libvirt_from),
    _string_schema(r"^(lab|qemu(\+[a-z0-9]+)?://.+)$", "qemu+ssh://root@kvm01.example/system"),
]
Format = Annotated[int, pydantic.PlainValidator(_format_from), pydantic.WithJsonSchema({"const": 1})]
"""The number of the format, 1."""

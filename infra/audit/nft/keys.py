"""What a rule looks at (``ip saddr``, ``tcp dport``, ``ct state``) and the values it compares with, as intervals."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from infra.audit.nft import wording
from infra.audit.packets import (
    DESTINATION,
    ESTABLISHED,
    FAMILY,
    FLAGS,
    ICMP_CODE,
    ICMP_TYPE,
    INCOMING,
    INVALID,
    IPV4,
    IPV6,
    NEW,
    OUTGOING,
    PORT,
    PROTOCOL,
    RELATED,
    SOURCE,
    SOURCE_PORT,
    STATE,
    TTL,
    UNTRACKED,
    Box,
    Interval,
    last_of,
)

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
_TRANSPORT = {"tcp": 6, "udp": 17, "udplite": 136, "sctp": 132, "dccp": 33}
STATE_BITS = {1: INVALID, 2: ESTABLISHED, 4: RELATED, 8: NEW, 64: UNTRACKED}
"""Bits of ``ct state`` (linux/netfilter/nf_tables.h, NF_CT_STATE_BIT)."""
_FAMILIES = {2: IPV4, 10: IPV6}
_ETHERTYPES = {0x0800: IPV4, 0x86DD: IPV6, "ip": IPV4, "ip6": IPV6}
_EXTENSIONS = frozenset({0, 43, 44, 51, 60, 135, 139, 140})
"""IPv6 headers behind which the transport header stands: ``ip6 nexthdr`` then says nothing about it."""
_LO, _NO_CARD = 1, 0


class CannotJudgeError(Exception):
    """The expression is none that can be judged; the text says what it is."""


class Cards:
    """Numbers for the names of a machine's cards; 0 is no card and 1 the loopback."""

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers: dict[str, int] = {"": _NO_CARD, "lo": _LO}
        self.own: tuple[str, ...] = tuple(dict.fromkeys(names))
        """Cards that the machine has beside its loopback."""
        for name in self.own:
            self.number(name)
        self.real = frozenset(self._numbers.values())

    def number(self, name: str) -> int:
        """Return the number of ``name``, a new one for a name that was not known. CannotJudgeError beyond 255."""
        found = self._numbers.setdefault(name, len(self._numbers))
        if found > last_of(INCOMING, None):
            raise CannotJudgeError("names more than 250 cards")
        return found

    def matching(self, text: str) -> list[Interval]:
        """Return the cards that ``text`` names; ``seg*`` means all known ones that begin so."""
        if text.endswith("*") and not text.endswith("\\*"):
            begin = text[:-1]
            return [(n, n) for name, n in self._numbers.items() if name.startswith(begin) and name]
        number = self.number(text.replace("\\*", "*"))
        return [(number, number)]

    def name(self, number: int) -> str:
        """Return the name that ``number`` stands for."""
        return next(name for name, found in self._numbers.items() if found == number)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One thing that is read from a packet."""

    text: str
    field: int
    implied: Box
    """What a packet must be to have it at all: ``tcp dport`` is read from TCP only."""
    codes: Mapping[Any, int] | None = None
    """Value in the rule → value of the field, where they differ."""
    unsure_values: frozenset[int] = frozenset()
    """Values whose presence makes the outcome of a comparison unknown."""
    any_transport: bool = False
    """Read from whatever stands behind the IP header: known only for protocols with ports."""

    @property
    def last(self) -> int:
        """Highest value."""
        family = self.implied.get(FAMILY)
        return last_of(self.field, family[0] if family else None)

    @property
    def whole(self) -> Interval:
        """All values."""
        return (0, self.last)


def key(expression: Any) -> Key:  # noqa: ANN401, PLR0911 - JSON of nftables
    """Return what ``expression`` reads; raise CannotJudgeError for what is not judged."""
    match expression:
        case {"meta": {"key": "iifname" | "iif" as name}}:
            return Key(text=name, field=INCOMING, implied={})
        case {"meta": {"key": "oifname" | "oif" as name}}:
            return Key(text=name, field=OUTGOING, implied={})
        case {"meta": {"key": "nfproto"}}:
            return Key(text="meta nfproto", field=FAMILY, implied={}, codes=_FAMILIES)
        case {"meta": {"key": "protocol"}}:
            return Key(text="meta protocol", field=FAMILY, implied={}, codes=_ETHERTYPES)
        case {"meta": {"key": "l4proto"}}:
            return Key(text="meta l4proto", field=PROTOCOL, implied={})
        case {"ct": {"key": "state", **rest}} if not rest:
            bits = {bit: state for bit, state in STATE_BITS.items()}
            return Key(text="ct state", field=STATE, implied={}, codes=bits)
        case {"payload": {"protocol": str(protocol), "field": str(field), **rest}} if not rest:
            return _payload(protocol, field)
    raise CannotJudgeError(f"{wording.value(expression)[:100]}: not among what can be judged")


def _payload(protocol: str, field: str) -> Key:  # noqa: PLR0911 - one line a field
    text = f"{protocol} {field}"
    v4, v6 = {FAMILY: (IPV4, IPV4)}, {FAMILY: (IPV6, IPV6)}
    match protocol, field:
        case (("ip" | "ip6"), ("saddr" | "daddr")):
            side = SOURCE if field == "saddr" else DESTINATION
            return Key(text=text, field=side, implied=v4 if protocol == "ip" else v6)
        case "ip", "protocol":
            return Key(text=text, field=PROTOCOL, implied=v4)
        case "ip6", "nexthdr":
            return Key(text=text, field=PROTOCOL, implied=v6, unsure_values=_EXTENSIONS)
        case ("ip", "ttl") | ("ip6", "hoplimit"):
            return Key(text=text, field=TTL, implied=v4 if protocol == "ip" else v6)
        case "tcp", "flags":
            return Key(text=text, field=FLAGS, implied={PROTOCOL: (TCP, TCP)})
        case (("icmp" | "icmpv6"), ("type" | "code")):
            number = ICMP if protocol == "icmp" else ICMPV6
            family = v4 if protocol == "icmp" else v6
            side = ICMP_TYPE if field == "type" else ICMP_CODE
            return Key(text=text, field=side, implied={**family, PROTOCOL: (number, number)})
        case _, ("sport" | "dport"):
            side = SOURCE_PORT if field == "sport" else PORT
            if protocol == "th":
                return Key(text=text, field=side, implied={}, any_transport=True)
            if protocol in _TRANSPORT:
                number = _TRANSPORT[protocol]
                return Key(text=text, field=side, implied={PROTOCOL: (number, number)})
    raise CannotJudgeError(f"{text}: not among what can be judged")


PORT_PROTOCOLS = tuple(sorted(_TRANSPORT.values()))


def values(of: Key, value: Any, cards: Cards) -> list[Interval]:  # noqa: ANN401 - JSON of nftables
    """Return the intervals that ``value`` means for ``of``; raise CannotJudgeError for what is not understood."""
    match value:
        case {"elem": {"val": inner}}:
            return values(of, inner, cards)
        case {"range": [low, high]}:
            first, last = _one(of, low, cards), _one(of, high, cards)
            if first > last:
                raise CannotJudgeError(f"{short(value)}: the range ends before it begins")
            return [(first, last)]
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return [prefix(address, length, of)]
        case "*":
            return [of.whole]
        case str() if of.field in {INCOMING, OUTGOING}:
            return cards.matching(value)
        case _:
            one = _one(of, value, cards)
            return [(one, one)]


def prefix(address: str, length: int, of: Key) -> Interval:
    """Return first and last address of a prefix in the family of ``of``."""
    try:
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError as e:
        raise CannotJudgeError(str(e)) from None
    _same_family(of, network.version)
    return (int(network.network_address), int(network.broadcast_address))


def _one(of: Key, value: Any, cards: Cards) -> int:  # noqa: ANN401 - JSON of nftables
    if of.codes is not None:
        if isinstance(value, int | str) and value in of.codes:
            return of.codes[value]
    elif of.field in {SOURCE, DESTINATION} and isinstance(value, str):
        try:
            address = ipaddress.ip_address(value)
        except ValueError as e:
            raise CannotJudgeError(str(e)) from None
        _same_family(of, address.version)
        return int(address)
    elif of.field in {INCOMING, OUTGOING} and isinstance(value, str):
        return cards.number(value)
    elif of.field in {INCOMING, OUTGOING, SOURCE, DESTINATION}:
        pass
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= of.last:
        return value
    raise CannotJudgeError(f"{short(value)}: no value of {of.text}")


def _same_family(of: Key, version: int) -> None:
    expected = 4 if of.implied.get(FAMILY) == (IPV4, IPV4) else 6
    if version != expected:
        raise CannotJudgeError(f"{of.text}: compared with an address of IPv{version}")


def bits(value: Any) -> int:  # noqa: ANN401 - JSON of nftables
    """Return a number, a list of flags or a chain of ``|`` as bits."""
    match value:
        case bool():
            pass
        case int():
            return value
        case {"|": parts} | list(parts):
            found = 0
            for part in parts:
                found |= bits(part)
            return found
    raise CannotJudgeError(f"{short(value)}: not bits")


def packed(of: Key) -> Iterable[tuple[int, int]]:
    """Return (value in the rule, value of the field) for keys with few values."""
    if of.codes is not None:
        return [(code, field) for code, field in of.codes.items() if isinstance(code, int)]
    if of.last > 255:
        raise CannotJudgeError(f"{of.text}: single bits of it are not judged")
    return [(value, value) for value in range(of.last + 1)]


def joined(numbers: Iterable[int]) -> list[Interval]:
    """Return single numbers as intervals."""
    found: list[Interval] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def outside(intervals: Iterable[Interval], last: int) -> list[Interval]:
    """Return what of 0–``last`` is in none of ``intervals``."""
    found: list[Interval] = []
    begin = 0
    for low, high in sorted(intervals):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    if begin <= last:
        found.append((begin, last))
    return found


def short(value: Any) -> str:  # noqa: ANN401 - JSON of nftables
    """Return JSON short enough for a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."

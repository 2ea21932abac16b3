"""Deterministic, stable addressing.

An :class:`AddressBook` holds every prefix, address, MAC, VRRP id and interface name that was ever given out and is
still in use or in quarantine. Planning takes the book of the last run and returns the next one: what was given stays,
what is new gets the lowest free value, what is no longer wanted is quarantined for some generations of the lock.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from network.errors import InputError

QUARANTINE_GENERATIONS = 8
"""Lock generations for which a freed value is not given out again."""
DOCUMENTATION = tuple(IPv4Network(p) for p in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
"""RFC 5737: hand-off prefixes of simulated lines come from here."""
TUNNELS = IPv4Network("169.254.0.0/16")
"""RFC 3927: what stands inside tunnels comes from here."""
VRID_MAX = 255


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmentWish:
    """A segment that the plan needs."""

    name: str
    hosts: int
    """Addresses that it should have room for, growth included."""
    prefix: IPv4Network | None = None
    """A prefix that is input (a carrier's hand-off)."""
    documentation: bool = False
    """Take the prefix from the documentation ranges (simulated hand-offs)."""
    fixed: Mapping[str, IPv4Address] = dataclasses.field(default_factory=dict)
    """Owner → address that is input."""
    owners: tuple[str, ...] = ()
    """Who needs an address, in the order in which new ones are given."""
    vrids: tuple[str, ...] = ()
    """Virtual addresses of the segment that need a VRRP router id."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """What the lock holds of one segment."""

    ordinal: int
    """1–4095; gives the bridge's name and the VXLAN identifier."""
    prefix: IPv4Network
    addresses: Mapping[str, IPv4Address]
    vrids: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Quarantined:
    """A freed value that is not given out before ``until`` (a lock generation)."""

    segment: str
    """Empty for a prefix with its ordinal, which belong to the stack."""
    value: str
    until: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AddressBook:
    """Everything that was given out."""

    segments: Mapping[str, SegmentEntry] = dataclasses.field(default_factory=dict)
    quarantine: tuple[Quarantined, ...] = ()


def bridge_name(stack: str, ordinal: int) -> str:
    """Return the bridge of a segment, at most 15 characters and unique among stacks that share a host."""
    return f"k{_digest(stack)[:5]}-{ordinal}"


def vni(stack: str, ordinal: int) -> int:
    """Return the VXLAN identifier: 12 bits of the stack's digest and 12 bits of the segment's ordinal."""
    return ((int(_digest(stack)[:3], 16) or 1) << 12) | ordinal


def tunnel_networks(ordinal: int) -> tuple[IPv4Network, IPv4Network]:
    """Return the networks inside the tunnels of a hand-off, one for each gateway of the pair.

    Link-local addresses (RFC 3927; its first and last 256 stay free) mean something between the two ends only, so they
    meet neither a member's addresses nor a carrier's.
    """
    first = TUNNELS[256 + 8 * ordinal]
    return IPv4Network((first, 30)), IPv4Network((first + 4, 30))


def mac(stack: str, node: str, segment: str) -> str:
    """Return the MAC address of a card: locally administered, unicast, with 32 bits of digest."""
    raw = _digest(f"{stack}/{node}/{segment}")
    return f"52:54:{raw[0:2]}:{raw[2:4]}:{raw[4:6]}:{raw[6:8]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def plan_book(
    book: AddressBook,
    wishes: Iterable[SegmentWish],
    *,
    supernet: IPv4Network,
    taken: Iterable[IPv4Network],
    generation: int,
) -> AddressBook:
    """Return the book that serves ``wishes``.

    ``taken`` are prefixes that must not be used (office LANs, assigned prefixes); ``generation`` is the number that
    the lock gets if anything changes. Values in ``book`` stay; raises :class:`InputError` when the space is used up.
    """
    wanted = {wish.name: wish for wish in wishes}
    quarantine = [entry for entry in book.quarantine if entry.until > generation]
    until = generation + QUARANTINE_GENERATIONS
    for name, entry in book.segments.items():
        if name not in wanted:
            quarantine.append(Quarantined(segment="", value=f"{entry.prefix} {entry.ordinal}", until=until))
    kept = {name: entry for name, entry in book.segments.items() if name in wanted}
    held = [entry.value.split() for entry in quarantine if not entry.segment]
    space = _Space(
        used=[*(entry.prefix for entry in kept.values()), *taken, *(IPv4Network(prefix) for prefix, _ in held)],
        ordinals={*(entry.ordinal for entry in kept.values()), *(int(ordinal) for _, ordinal in held)},
    )
    given = {name: entry.prefix for name, entry in kept.items() if wanted[name].prefix is None}
    in_use = _Space(given.values(), set())
    for wish in sorted(wanted.values(), key=lambda w: w.name):
        if wish.prefix is not None:
            if not in_use.is_free(wish.prefix):
                _require_free(wish.name, wish.prefix, given)
            space.take(wish.prefix)
    segments: dict[str, SegmentEntry] = {}
    for name in sorted(wanted):
        wish, old = wanted[name], kept.get(name)
        if old is None or (wish.prefix is not None and wish.prefix != old.prefix):
            prefix = wish.prefix or space.prefix(wish, DOCUMENTATION if wish.documentation else (supernet,))
            old = SegmentEntry(ordinal=old.ordinal if old else space.ordinal(), prefix=prefix, addresses={}, vrids={})
        entry, freed = _plan_segment(wish, old, [q.value for q in quarantine if q.segment == name])
        segments[name] = entry
        quarantine += [Quarantined(segment=name, value=value, until=until) for value in freed]
    return AddressBook(segments=segments, quarantine=tuple(sorted(set(quarantine))))


def _require_free(name: str, prefix: IPv4Network, given: Mapping[str, IPv4Network]) -> None:
    """A prefix that is input may lie where the book gave one out: what is in use does not move for it."""
    for other, its in given.items():
        if prefix.overlaps(its):
            raise InputError(
                f"segment {name}: {prefix} overlaps {its}, which the lock holds for {other}; "
                f"declare the hand-off of that line too, or take it out of the stack file for one plan"
            )


class _Space:
    """Free prefixes and ordinals.

    What is used is kept as sorted intervals without overlap. Nothing is freed meanwhile, so that a search for a length
    goes on where the last one for it ended.
    """

    def __init__(self, used: Iterable[IPv4Network], ordinals: set[int]) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for prefix in sorted(set(used)):
            self.take(prefix)
        self._ordinals = ordinals
        self._from: dict[tuple[IPv4Network, int], int] = {}

    def take(self, prefix: IPv4Network) -> None:
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        here = bisect.bisect_left(self._last, first)  # the first interval that does not end before
        beyond = bisect.bisect_right(self._first, last)
        if here < beyond:
            first, last = min(first, self._first[here]), max(last, self._last[beyond - 1])
        self._first[here:beyond], self._last[here:beyond] = [first], [last]

    def is_free(self, prefix: IPv4Network) -> bool:
        index = bisect.bisect_left(self._last, int(prefix.network_address))
        return index == len(self._first) or self._first[index] > int(prefix.broadcast_address)

    def prefix(self, wish: SegmentWish, pools: tuple[IPv4Network, ...]) -> IPv4Network:
        """Return the lowest free prefix that has room, and take it."""
        length = 32 - max(wish.hosts + 1, 3).bit_length()
        for pool in pools:
            found = self._lowest(pool, length)
            if found is not None:
                self.take(found)
                return found
        where = "the documentation ranges" if wish.documentation else f"the supernet {pools[0]}"
        cure = "declare the hand-offs of some lines" if wish.documentation else "declare a larger supernet"
        raise InputError(f"segment {wish.name}: no free /{length} is left in {where}; {cure}")

    def _lowest(self, pool: IPv4Network, length: int) -> IPv4Network | None:
        size, end = 1 << (32 - length), int(pool.broadcast_address)
        first = self._from.get((pool, length), -(-int(pool.network_address) // size) * size)
        while first + size - 1 <= end:
            index = bisect.bisect_left(self._last, first)
            if index == len(self._first) or self._first[index] > first + size - 1:
                self._from[pool, length] = first
                return IPv4Network((first, length))
            first = -(-(self._last[index] + 1) // size) * size
        self._from[pool, length] = first
        return None

    def ordinal(self) -> int:
        found = next((n for n in range(1, 4096) if n not in self._ordinals), None)
        if found is None:
            raise InputError("more than 4,095 segments in one stack; split the group into several stacks")
        self._ordinals.add(found)
        return found


def _plan_segment(wish: SegmentWish, old: SegmentEntry, quarantined: list[str]) -> tuple[SegmentEntry, list[str]]:
    """Return the segment's new entry and the values that it frees."""
    owners = {*wish.owners, *wish.fixed}
    addresses = {owner: address for owner, address in old.addresses.items() if owner in owners}
    addresses.update(wish.fixed)
    freed = [str(a) for owner, a in old.addresses.items() if owner not in owners and a not in addresses.values()]
    blocked = {*addresses.values(), *(IPv4Address(v) for v in (*quarantined, *freed) if "." in v)}
    free = (address for address in old.prefix.hosts() if address not in blocked)
    for owner in wish.owners:
        if owner not in addresses:
            address = next(free, None)
            if address is None:
                raise InputError(f"segment {wish.name}: {old.prefix} has no free address for {owner}")
            addresses[owner] = address
    vrids = {name: vrid for name, vrid in old.vrids.items() if name in wish.vrids}
    gone = [str(vrid) for name, vrid in old.vrids.items() if name not in wish.vrids]
    blocked_ids = {*vrids.values(), *(int(v) for v in (*quarantined, *gone) if "." not in v)}
    free_ids = (number for number in range(1, VRID_MAX + 1) if number not in blocked_ids)
    for name in wish.vrids:
        if name not in vrids:
            vrid = next(free_ids, None)
            if vrid is None:
                raise InputError(f"segment {wish.name}: more than {VRID_MAX} virtual addresses on one network")
            vrids[name] = vrid
    entry = SegmentEntry(
        ordinal=old.ordinal,
        prefix=old.prefix,
        addresses=dict(sorted(addresses.items())),
        vrids=dict(sorted(vrids.items())),
    )
    return entry, [*freed, *gone]

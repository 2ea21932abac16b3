"""Rules about prefixes: what may not overlap, and which prefixes cannot be used at all.

Prefixes nest or are disjoint, so all overlaps are found in one pass over the sorted prefixes.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Iterable, Iterator

from infra.declaration import queries
from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration, Line, Member, Translation
from infra.declaration.scalars import Network
from network.zones import Zone

_UNUSABLE = tuple(
    (ipaddress.ip_network(prefix), why)
    for prefix, why in (
        ("0.0.0.0/8", "this network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/3", "multicast and reserved"),
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class Owned:
    """A prefix with its place in the file, and how to call it in a message."""

    prefix: Network
    path: Path
    what: str
    owner: str = ""


def check_families(declaration: Declaration) -> Iterator[Problem]:
    """Everything is IPv4, and nothing lies where no host can be: an IPv6 prefix would be ignored without a word."""
    for owned in (*_offices(declaration), *_networks(declaration), *_handoffs(declaration), *_supernet(declaration)):
        yield from _usable(owned)
    for index, translation in enumerate(declaration.translations):
        yield from _usable(Owned(translation.inside, ("translations", index, "inside"), "the inside"))
        yield from _usable(Owned(translation.outside, ("translations", index, "outside"), "the outside"))
    for index, host in enumerate(declaration.hosts):
        if host.underlay is not None and host.underlay.version == 6:
            yield Problem(("hosts", index, "underlay"), _no_ipv6(str(host.underlay)))


def _usable(owned: Owned) -> Iterator[Problem]:
    why = _why_unusable(owned.prefix)
    if why is not None:
        yield Problem(owned.path, why)


def _why_unusable(prefix: Network) -> str | None:
    if isinstance(prefix, ipaddress.IPv6Network):
        return _no_ipv6(str(prefix))
    for unusable, what in _UNUSABLE:
        if prefix.overlaps(unusable):
            return f"{prefix} holds addresses that no host can have ({unusable} is {what})"
    return None


def _no_ipv6(text: str) -> str:
    return f"{text}: IPv6 is not carried yet; declare the IPv4 prefix or address"


def check_offices(declaration: Declaration) -> Iterator[Problem]:
    """Inside a member, no two LANs overlap."""
    for index, member in enumerate(declaration.members):
        for later, earlier in _overlaps(_offices_of(index, member)):
            message = f"{later.prefix} overlaps {earlier.prefix}, {earlier.what}"
            yield Problem(later.path, f"{message}; every LAN of a member needs its own addresses")


def check_members(declaration: Declaration) -> Iterator[Problem]:
    """Members that share a gateway or a segment have different office prefixes, or one of them is translated."""
    if declaration.availability.gateway == "shared":
        groups: list[tuple[str, frozenset[str], Zone | None]] = [
            ("both use the shared gateway", frozenset(member.id for member in declaration.members), None)
        ]
    else:
        groups = [
            (
                f"both take part in {service.id}, which all its members share",
                frozenset(queries.participation_periods(declaration, service)),
                service.zone,
            )
            for service in declaration.services
            if service.pattern == "multi_tenant"
        ]
    told: set[tuple[Path, Path]] = set()
    for why, ids, zone in groups:
        owned = [office for office in _offices(declaration) if office.owner in ids and zone in (None, office.path[5])]
        for later, earlier in _overlaps(owned):
            if later.owner == earlier.owner or (later.path, earlier.path) in told:
                continue
            told.add((later.path, earlier.path))
            if _translated(declaration, later) or _translated(declaration, earlier):
                continue
            message = f"{later.prefix} overlaps {earlier.prefix}, {earlier.what}; {why}, so one of them needs "
            yield Problem(later.path, f"{message}other addresses or a source translation on each of its lines")


def _translated(declaration: Declaration, office: Owned) -> bool:
    """Say whether every closed network that carries the office's zone translates its prefix for this member alone."""
    networks = {
        line.closed_network
        for line in declaration.lines
        if line.member == office.owner and office.path[5] in line.zones
    }
    covered = {
        translation.closed_network
        for translation in declaration.translations
        if translation.direction == "source"
        and translation.member == office.owner
        and _inside(office.prefix, translation.inside)
    }
    return bool(networks) and networks <= covered


def check_supernet(declaration: Declaration) -> Iterator[Problem]:
    """The addresses inside the cloud are nobody else's."""
    supernet = declaration.addressing.supernet
    others = [*_offices(declaration), *_networks(declaration), *_handoffs(declaration), *_outsides(declaration)]
    for other in others:
        if _overlap(other.prefix, supernet) and _why_unusable(other.prefix) is None:
            message = f"{other.prefix} overlaps addressing.supernet {supernet}, from which all inner addresses come"
            yield Problem(other.path, message)
    for index, host in enumerate(declaration.hosts):
        if host.underlay is not None and host.underlay in supernet:
            message = f"{host.underlay} lies in addressing.supernet {supernet}; hosts are reached outside of it"
            yield Problem(("hosts", index, "underlay"), message)


def check_networks(declaration: Declaration) -> Iterator[Problem]:
    """Assigned and reached prefixes differ from one another and from the offices; two networks may reach one system."""
    networks = list(_networks(declaration))
    for later, earlier in _overlaps(networks):
        if later.prefix == earlier.prefix and later.path[2:4] == earlier.path[2:4] and later.path[2] == "reaches":
            continue
        yield Problem(later.path, f"{later.prefix} overlaps {earlier.prefix}, {earlier.what}")
    for assigned, office in _crossings(networks, list(_offices(declaration))):
        yield Problem(assigned.path, f"{assigned.prefix} overlaps {office.prefix}, {office.what}")


def check_handoffs(declaration: Declaration) -> Iterator[Problem]:
    """On one gateway, a hand-off prefix is no other hand-off, office or foreign assigned prefix."""
    handoffs = list(_handoffs(declaration))
    dedicated = declaration.availability.gateway == "dedicated"
    members = {line.id: line.member for line in declaration.lines}
    for later, earlier in _overlaps(handoffs):
        if dedicated and members[later.owner] != members[earlier.owner]:
            continue  # different gateways: the carrier may use the same prefix twice
        yield Problem(later.path, f"{later.prefix} overlaps {earlier.prefix}, {earlier.what}")
    networks = {line.id: line.closed_network for line in declaration.lines}
    for handoff, office in _crossings(handoffs, list(_offices(declaration))):
        if not (dedicated and office.owner != members[handoff.owner]):
            yield Problem(handoff.path, f"{handoff.prefix} overlaps {office.prefix}, {office.what}")
    for handoff, assigned in _crossings(handoffs, list(_networks(declaration))):
        if assigned.owner != networks[handoff.owner]:  # an operator may hand over inside what it assigned itself
            yield Problem(handoff.path, f"{handoff.prefix} overlaps {assigned.prefix}, {assigned.what}")


def check_translations(declaration: Declaration) -> Iterator[Problem]:
    """A translation is unambiguous, maps what there is, and what it shows is nobody else's."""
    joined = {(line.closed_network, line.member) for line in declaration.lines}
    known = {network.id for network in declaration.closed_networks}
    for index, translation in enumerate(declaration.translations):
        at: Path = ("translations", index)
        if translation.inside.prefixlen != translation.outside.prefixlen:
            message = f"a {translation.direction} translation maps address by address; `inside` and `outside` need the "
            yield Problem((*at, "outside"), f"{message}same length")
        pairs = (_check_pair(at, translation, earlier) for earlier in declaration.translations[:index])
        yield from dict.fromkeys(itertools.chain.from_iterable(pairs))
        if translation.member is not None and (translation.closed_network, translation.member) not in joined:
            message = (
                f"{translation.member} has no line of {translation.closed_network}, on which nothing is translated"
            )
            yield Problem((*at, "member"), message)
        elif translation.closed_network not in known:
            continue  # said by the check of references
        elif translation.direction == "source":
            yield from _check_source(at, translation, declaration)
        elif not _inside(translation.inside, declaration.addressing.supernet):
            message = f"services have addresses of addressing.supernet {declaration.addressing.supernet}; "
            yield Problem(
                (*at, "inside"), f"{message}{translation.inside} is not inside, and nothing would be translated"
            )
    outsides = list(_outsides(declaration))
    for outside, other in _crossings(outsides, [*_offices(declaration), *_handoffs(declaration)]):
        yield Problem(outside.path, f"{outside.prefix} overlaps {other.prefix}, {other.what}")
    sources = [outside for outside in outsides if outside.owner == "source"]
    for outside, network in _crossings(sources, list(_networks(declaration))):
        yield Problem(outside.path, f"{outside.prefix} overlaps {network.prefix}, {network.what}")


def _check_pair(at: Path, later: Translation, earlier: Translation) -> Iterator[Problem]:
    same_network = later.closed_network == earlier.closed_network
    same_member = None in (later.member, earlier.member) or later.member == earlier.member
    same_direction = later.direction == earlier.direction
    if same_network and same_direction and same_member and _overlap(earlier.inside, later.inside):
        message = f"{later.inside} overlaps {earlier.inside}, which is translated on the same network"
        yield Problem((*at, "inside"), message)
    if not _overlap(earlier.outside, later.outside):
        return
    shows = f"{later.outside} overlaps {earlier.outside}"
    if not same_direction:
        yield Problem((*at, "outside"), f"{shows}, which is what a {earlier.direction} translation shows")
    elif earlier.member != later.member and (same_network or later.direction == "source"):
        sees = "services see" if later.direction == "source" else f"{later.closed_network} sees"
        yield Problem((*at, "outside"), f"{shows}, which {sees} for {earlier.member or 'every member'} already")
    elif (earlier.inside, earlier.outside) != (later.inside, later.outside) and not _overlap(
        earlier.inside, later.inside
    ):
        yield Problem((*at, "outside"), f"{shows}, which stands for {earlier.inside} already")


def _check_source(at: Path, translation: Translation, declaration: Declaration) -> Iterator[Problem]:
    """A source translation holds whole LANs, and shows each of them alike on every line that carries its zone."""
    lines: dict[tuple[str, str], list[Line]] = {}
    for line in declaration.lines:
        for zone in dict.fromkeys(line.zones):
            lines.setdefault((line.member, zone), []).append(line)
    translates = False
    for lan in _offices(declaration):
        here = lines.get((lan.owner, str(lan.path[5])), [])
        on_it = [line for line in here if translation in queries.translations_of(declaration, line)]
        if not on_it or not _overlap(lan.prefix, translation.inside):
            continue
        translates = True
        if not _inside(lan.prefix, translation.inside):
            message = f"{translation.inside} is a part of {lan.prefix}, {lan.what}; a LAN is translated as a whole"
            yield Problem((*at, "inside"), message)
            continue
        for line in here:
            if line not in on_it and not any(
                _shows_alike(other, translation, lan.prefix) for other in queries.translations_of(declaration, line)
            ):
                message = (
                    f"{lan.prefix}, {lan.what}, is translated on {on_it[0].id} and not in the same way on {line.id}; a "
                    f"terminal has one address for our services, whichever line carries it"
                )
                yield Problem((*at, "closed_network"), message)
    if not translates:
        whose = translation.member or "any member"
        message = (
            f"no LAN of {whose} with a line of {translation.closed_network} for its zone lies in {translation.inside}"
        )
        yield Problem((*at, "inside"), f"{message}; nothing would be translated")


def _shows_alike(one: Translation, other: Translation, prefix: Network) -> bool:
    """Say whether two source translations make the same of ``prefix``, which lies inside ``other``."""
    offsets = {int(t.outside.network_address) - int(t.inside.network_address) for t in (one, other)}
    return one.direction == "source" and _inside(prefix, one.inside) and len(offsets) == 1


def _offices(declaration: Declaration) -> Iterator[Owned]:
    for index, member in enumerate(declaration.members):
        yield from _offices_of(index, member)


def _offices_of(index: int, member: Member) -> Iterator[Owned]:
    for position, office in enumerate(member.offices):
        for zone, prefixes in office.zones.items():
            for number, prefix in enumerate(prefixes):
                path: Path = ("members", index, "offices", position, "zones", zone, number)
                yield Owned(prefix, path, f"the {zone} LAN of {member.id}/{office.id}", member.id)


def _networks(declaration: Declaration) -> Iterator[Owned]:
    for index, network in enumerate(declaration.closed_networks):
        if network.assigned_prefix is not None:
            path: Path = ("closed_networks", index, "assigned_prefix")
            yield Owned(network.assigned_prefix, path, f"the assigned prefix of {network.id}", network.id)
        for name, prefixes in network.reaches.items():
            for number, prefix in enumerate(prefixes):
                at: Path = ("closed_networks", index, "reaches", name, number)
                yield Owned(prefix, at, f"what {network.id} reaches of external:{name}", network.id)


def _handoffs(declaration: Declaration) -> Iterator[Owned]:
    for index, line in enumerate(declaration.lines):
        for key, handoff in (line.handoff or {}).items():
            path: Path = ("lines", index, "handoff", key, "prefix")
            yield Owned(handoff.prefix, path, f"the hand-off {key} of {line.id}", line.id)


def _outsides(declaration: Declaration) -> Iterator[Owned]:
    for index, translation in enumerate(declaration.translations):
        path: Path = ("translations", index, "outside")
        yield Owned(translation.outside, path, f"what {translation.closed_network} shows", translation.direction)


def _supernet(declaration: Declaration) -> Iterator[Owned]:
    yield Owned(declaration.addressing.supernet, ("addressing", "supernet"), "the supernet")


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)


def _inside(part: Network, whole: Network) -> bool:
    return _overlap(part, whole) and part.prefixlen >= whole.prefixlen


def _crossings(some: list[Owned], others: list[Owned]) -> Iterator[tuple[Owned, Owned]]:
    """Yield each overlap between one of ``some`` and one of ``others``."""
    first = len(others)
    both = [*others, *some]
    for later, earlier in _overlapping(both):
        if earlier < first <= later:
            yield both[later], both[earlier]


def _overlaps(prefixes: Iterable[Owned]) -> Iterator[tuple[Owned, Owned]]:
    """Yield overlapping pairs as (the one given later, the one given earlier), in the order given."""
    given = list(prefixes)
    for later, earlier in _overlapping(given):
        yield given[later], given[earlier]


def _overlapping(given: list[Owned]) -> list[tuple[int, int]]:
    """Return the index pairs (later, earlier) of prefixes that overlap; one that is unusable by itself is left out."""

    def position(index: int) -> tuple[int, int, int, int]:
        prefix = given[index].prefix
        return prefix.version, int(prefix.network_address), prefix.prefixlen, index

    pairs: list[tuple[int, int]] = []
    open_: list[int] = []
    usable = [index for index in range(len(given)) if _why_unusable(given[index].prefix) is None]
    for index in sorted(usable, key=position):
        # Prefixes nest or are disjoint, so those that contain this one are exactly the ones still open.
        while open_ and not _overlap(given[open_[-1]].prefix, given[index].prefix):
            open_.pop()
        pairs += [(max(index, other), min(index, other)) for other in open_]
        open_.append(index)
    return sorted(pairs)

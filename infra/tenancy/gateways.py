"""Gateway groups: which pair of gateways serves which members, in shards that fit the card limit of a guest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from infra.declaration.model import Declaration
from infra.tenancy.groups import Instance
from network.errors import InputError

CARD_LIMIT = 24
"""Network cards of one guest; with many more the boot disk is no longer found on q35."""
NODES_PER_SHARD = 2
_ALWAYS = 2
"""Management and sync."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The gateways that serve some members at one site."""

    name: str
    site: str
    zones: tuple[str, ...]
    members: tuple[str, ...]
    """In declared order."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of its machines, such as dc1-gw1a."""
        return tuple(f"{self.name}{letter}" for letter in "ab"[:NODES_PER_SHARD])


def plan_shards(
    declaration: Declaration, instances: Iterable[Instance], held: Mapping[str, tuple[str, ...]]
) -> tuple[Shard, ...]:
    """Return the shards; a member stays in the one that ``held`` (shard name → members, from the lock) names."""
    separate = declaration.availability.zone_separation.gateways == "separate"
    classes = (
        (("gw", ("mynumber", "lgwan")), ("igw", ("internet",)))
        if separate
        else (("gw", ("mynumber", "lgwan", "internet")),)
    )
    per_shard = 1 if declaration.availability.gateway == "dedicated" else None
    everything = tuple(instances)
    shards: list[Shard] = []
    for site in dict.fromkeys(instance.site for instance in everything):
        for prefix, zones in classes:
            here = [i for i in everything if i.site == site and i.zone in zones]
            users = {member for instance in here for member in instance.participants}
            members = [member.id for member in declaration.members if member.id in users]
            demands = {member: _demand(declaration, here, member, site, zones) for member in members}
            apart = _overlapping(declaration, members)
            assigned = _assign(f"{site}-{prefix}", demands, apart, held=held, per_shard=per_shard)
            shards += [
                Shard(name=name, site=site, zones=zones, members=tuple(m for m in members if m in chosen))
                for name, chosen in assigned.items()
            ]
    return tuple(shards)


def _demand(
    declaration: Declaration, instances: Iterable[Instance], member: str, site: str, zones: tuple[str, ...]
) -> frozenset[str]:
    """Return what needs a card when a gateway serves ``member``: its hand-offs and the segments it may reach."""
    cards: set[str] = set()
    for line in declaration.lines:
        if line.member == member and line.site == site:
            used = [zone for zone in line.zones if zone in zones]
            cards |= (
                {f"line/{line.id}"}
                if line.separation == "prefix" and used
                else {f"line/{line.id}/{zone}" for zone in used}
            )
    for instance in instances:
        if member in instance.participants:
            cards.add(f"{instance.member}/{instance.zone}" if instance.member else f"service/{instance.name}")
    return frozenset(cards)


def _overlapping(declaration: Declaration, members: Iterable[str]) -> frozenset[frozenset[str]]:
    """Return the pairs of members with the same office addresses: one machine has one route to them."""
    wanted = set(members)
    lans = sorted(
        (int(lan.network_address), int(lan.broadcast_address), member.id)
        for member in declaration.members
        if member.id in wanted
        for office in member.offices
        for prefixes in office.zones.values()
        for lan in prefixes
    )
    found: set[frozenset[str]] = set()
    open_: list[tuple[int, int, str]] = []
    for lan in lans:
        open_ = [other for other in open_ if other[1] >= lan[0]]
        found |= {frozenset((lan[2], other[2])) for other in open_ if other[2] != lan[2]}
        open_.append(lan)
    return frozenset(found)


def _assign(
    prefix: str,
    demands: Mapping[str, frozenset[str]],
    apart: frozenset[frozenset[str]],
    *,
    held: Mapping[str, tuple[str, ...]],
    per_shard: int | None,
) -> dict[str, set[str]]:
    """Put every member into a shard: the one of the lock, else the first with room and without its addresses.

    A member of the lock whose offices now overlap an earlier one's leaves the shard: the two cannot stay together.
    """
    waiting = list(demands)
    shards: dict[str, set[str]] = {}
    for name, chosen in held.items():
        if name.startswith(prefix) and name[len(prefix) :].isdigit():
            keep: set[str] = set()
            for member in chosen:
                if member in demands and not _meets(member, keep, apart):
                    keep.add(member)
            if keep:
                _require_room(name, keep, demands)
                shards[name] = keep
                waiting = [member for member in waiting if member not in keep]
    for member in waiting:
        _require_room(f"member {member}", {member}, demands)
        for together in shards.values():
            fits = _cards({*together, member}, demands) <= CARD_LIMIT and not _meets(member, together, apart)
            if fits and (per_shard is None or len(together) < per_shard):
                together.add(member)
                break
        else:
            number = next(n for n in range(1, 10_000) if f"{prefix}{n}" not in shards)
            shards[f"{prefix}{number}"] = {member}
    return dict(sorted(shards.items(), key=lambda item: int(item[0][len(prefix) :])))


def _meets(member: str, others: Iterable[str], apart: frozenset[frozenset[str]]) -> bool:
    return any(frozenset((member, other)) in apart for other in others)


def _require_room(what: str, members: set[str], demands: Mapping[str, frozenset[str]]) -> None:
    needed = _cards(members, demands)
    if needed > CARD_LIMIT:
        raise InputError(
            f"{what}: the lines and segments of {', '.join(sorted(members))} need {needed} cards on one gateway; a "
            f"guest has at most {CARD_LIMIT}; declare fewer lines, separation: prefix, or gateway: dedicated"
        )


def _cards(members: set[str], demands: Mapping[str, frozenset[str]]) -> int:
    return _ALWAYS + len(frozenset[str]().union(*(demands[member] for member in members)))

"""What a declaration needs of the network: segments with their owners, and who is attached where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from infra.declaration.model import Declaration, Handoff, Line
from infra.tenancy.gateways import Shard
from infra.tenancy.groups import Instance, NodeWish
from network.addressing import SegmentWish

STATION = "station"
"""Owner of the management station's address on a management segment."""
LOCAL = ("local-a", "local-b")
"""Owners of the two gateways' addresses on a hand-off."""
_MANAGEMENT_HOSTS = 1022
_SEGMENT_HOSTS = 62
_HANDOFF_HOSTS = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraft:
    """A segment without addresses."""

    name: str
    kind: str
    zone: str | None
    members: tuple[str, ...]
    site: str


def shared_segments(instances: Iterable[Instance], held: Mapping[str, str]) -> dict[str, str]:
    """Return the segment of every multi-tenant service.

    Services of one zone, site and participant set share a segment. A service keeps the one that it has
    (``held``), so that a member who joins moves nothing; a new service joins the segment of its equals.
    """
    shared = [instance for instance in instances if instance.member is None and instance.runs_on is None]
    segments = {i.service: held[i.service] for i in shared if i.service in held}
    by_set = {
        (i.zone, i.site, frozenset(i.participants)): segments[i.service]
        for i in reversed(shared)
        if i.service in segments
    }
    for instance in shared:
        if instance.service not in segments:
            audience = (instance.zone, instance.site, frozenset(instance.participants))
            segments[instance.service] = by_set.setdefault(
                audience, f"{instance.site}-{instance.zone}-{instance.service}"
            )
    return segments


def segment_of(instance: Instance, shared: Mapping[str, str]) -> str:
    """Return the segment that the nodes of ``instance`` are attached to."""
    if instance.member is not None:
        return f"{instance.site}-{instance.member}-{instance.zone}"
    return shared[instance.runs_on or instance.service]


def management(site: str) -> str:
    """Return the name of a site's management segment."""
    return f"{site}-management"


def sync(shard: Shard) -> str:
    """Return the name of a shard's sync segment."""
    return f"{shard.name}-sync"


def gateway_vip(shard: str, segment: str) -> str:
    """Return the name of the virtual address that a shard has on a segment."""
    return f"{shard}/{segment}"


def handoffs_of(line: Line) -> dict[str, Handoff | None]:
    """Return the hand-offs of ``line`` by zone, or by ``all``; None where the lab generates the values."""
    keys: tuple[str, ...] = ("all",) if line.separation == "prefix" else line.zones
    declared = {str(key): handoff for key, handoff in line.handoff.items()} if line.handoff else {}
    return {key: declared.get(key) for key in keys}


def handoff_segment(line: Line, key: str) -> str:
    """Return the name of a hand-off's segment, such as nishiki-main-mynumber."""
    return f"{line.id}-{key}"


def drafts(
    declaration: Declaration,
    instances: Iterable[Instance],
    shards: Iterable[Shard],
    shared: Mapping[str, str],
) -> tuple[SegmentDraft, ...]:
    """Return every segment of the stack, sorted by name."""
    found: dict[str, SegmentDraft] = {}
    everything, all_shards = tuple(instances), tuple(shards)
    for instance in everything:
        name = segment_of(instance, shared)
        users = {*found[name].members, *instance.participants} if name in found else set(instance.participants)
        found[name] = SegmentDraft(
            name=name,
            kind="tenant" if instance.member else "service",
            zone=instance.zone,
            members=tuple(sorted(users)),
            site=instance.site,
        )
    served = {(shard.site, member) for shard in all_shards for member in shard.members}
    for line in declaration.lines:
        if (line.site, line.member) in served:
            for key in handoffs_of(line):
                name = handoff_segment(line, key)
                found[name] = SegmentDraft(
                    name=name, kind="line", zone=None if key == "all" else key, members=(line.member,), site=line.site
                )
    for shard in all_shards:
        found[sync(shard)] = SegmentDraft(name=sync(shard), kind="sync", zone=None, members=(), site=shard.site)
    for site in {instance.site for instance in everything}:
        found[management(site)] = SegmentDraft(
            name=management(site), kind="management", zone=None, members=(), site=site
        )
    return tuple(found[name] for name in sorted(found))


def segment_wishes(
    declaration: Declaration,
    instances: Iterable[Instance],
    shards: Iterable[Shard],
    nodes: Iterable[NodeWish],
    shared: Mapping[str, str],
) -> tuple[SegmentWish, ...]:
    """Return what each segment needs of the address book, gateways first, so that they get the low addresses."""
    everything, all_shards, machines = tuple(instances), tuple(shards), tuple(nodes)
    owners: dict[str, list[str]] = {}
    vrids: dict[str, list[str]] = {}
    plain = {draft.name: draft for draft in drafts(declaration, everything, all_shards, shared)}
    for shard in all_shards:
        for segment in segments_of_shard(shard, everything, shared):
            owners.setdefault(segment, []).extend([gateway_vip(shard.name, segment), *shard.nodes])
        owners.setdefault(sync(shard), []).extend(shard.nodes)
        vrids.setdefault(sync(shard), []).append(shard.name)
    for instance in everything:
        owners.setdefault(segment_of(instance, shared), []).append(vip_of(instance))
        vrids.setdefault(segment_of(instance, shared), []).append(vip_of(instance))
    by_name = {instance.name: instance for instance in everything}
    for node in machines:
        owners.setdefault(management(node.site), []).append(node.name)
        if node.instance is not None:
            owners.setdefault(segment_of(by_name[node.instance], shared), []).append(node.name)
    wishes = [
        _line_wish(line, key, handoff)
        for line in declaration.lines
        for key, handoff in handoffs_of(line).items()
        if handoff_segment(line, key) in plain
    ]
    lines = {wish.name for wish in wishes}
    for name, draft in plain.items():
        if name in lines:
            continue
        here = owners.get(name, [])
        if draft.kind == "management":
            here, hosts = [STATION, *here], max(_MANAGEMENT_HOSTS, 2 * len(here))
        elif draft.kind == "sync":
            hosts = _HANDOFF_HOSTS
        else:
            hosts = max(_SEGMENT_HOSTS, 2 * len(here))
        wishes.append(SegmentWish(name=name, hosts=hosts, owners=tuple(here), vrids=tuple(vrids.get(name, ()))))
    return tuple(wishes)


def segments_of_shard(shard: Shard, instances: Iterable[Instance], shared: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tenant and service segments that a shard is attached to, sorted."""
    return tuple(
        sorted(
            {
                segment_of(instance, shared)
                for instance in instances
                if instance.site == shard.site
                and instance.zone in shard.zones
                and not set(instance.participants).isdisjoint(shard.members)
            }
        )
    )


def vip_of(instance: Instance) -> str:
    """Return the name of the address at which a business is reached."""
    return f"service/{instance.name}"


def taken(declaration: Declaration) -> tuple[IPv4Network, ...]:
    """Return the prefixes that belong to others: office LANs, assigned prefixes, and what translations show of each.

    The inside of a destination translation is where our own services are.
    """
    declared = [
        *(prefix for m in declaration.members for o in m.offices for lans in o.zones.values() for prefix in lans),
        *(network.assigned_prefix for network in declaration.closed_networks if network.assigned_prefix),
        *(p for network in declaration.closed_networks for prefixes in network.reaches.values() for p in prefixes),
        *(t.outside for t in declaration.translations),
        *(t.inside for t in declaration.translations if t.direction == "source"),
    ]
    return tuple(prefix for prefix in declared if isinstance(prefix, IPv4Network))


def _line_wish(line: Line, key: str, handoff: Handoff | None) -> SegmentWish:
    name = handoff_segment(line, key)
    if handoff is None:
        return SegmentWish(name=name, hosts=_HANDOFF_HOSTS, documentation=True, owners=("peer", *LOCAL, "vip"))
    fixed = {"peer": handoff.peer, LOCAL[0]: handoff.local[0], LOCAL[1]: handoff.local[1], "vip": handoff.vip}
    assert isinstance(handoff.prefix, IPv4Network)  # noqa: S101 - the loader refuses IPv6 hand-offs
    return SegmentWish(
        name=name,
        hosts=_HANDOFF_HOSTS,
        prefix=handoff.prefix,
        fixed={owner: a for owner, a in fixed.items() if isinstance(a, IPv4Address)},
    )

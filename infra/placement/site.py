"""One site with names turned into numbers, and how full its hosts are: the ground all searches stand on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from infra.placement import model

ANY = -1
"""Label of a node that may sit beside any key, or of a host that carries no labelled node; chassis not declared."""
KEYLESS = ""
"""Label of the nodes which need a host without a key: such a host is as exclusive as one with a key."""

Size = tuple[int, int, int]
"""vCPUs, memory in MiB, storage in GiB."""
RESOURCES = ("vCPUs", "memory", "storage")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The nodes, hosts and rules of one site, sorted by name. Nodes and hosts are meant by index from here on."""

    id: str
    nodes: tuple[model.Node, ...]
    hosts: tuple[model.Host, ...]
    rules: model.Rules
    sizes: tuple[Size, ...]
    caps: tuple[Size, ...]
    labels: tuple[int, ...]
    """Index into ``label_names`` or ANY, per node. A host carries one label at most."""
    label_names: tuple[str, ...]
    zones: tuple[int, ...]
    """0, or one of two numbers that must not meet on a host."""
    sets: tuple[int, ...]
    """Bit mask of the replica sets of each node; sets of a single node have no bit."""
    set_names: tuple[str, ...]
    chassis: tuple[int, ...]
    allowed: tuple[frozenset[int], ...]
    """The hosts that each node may use as far as its own size and its declaration go."""
    kinds: tuple[tuple[Size, int, frozenset[int]], ...]
    """Hosts of one kind differ in nothing that a rule looks at: size, chassis, and who may use them."""
    pinned: tuple[int, ...]
    """Host of a node that must not move, or ANY."""

    def members(self, label: int) -> list[int]:
        """Return the nodes of one label."""
        return [n for n, own in enumerate(self.labels) if own == label]

    def names(self, nodes: Iterable[int]) -> tuple[str, ...]:
        """Return the names of nodes, sorted."""
        return tuple(sorted(self.nodes[n].name for n in nodes))


def describe_label(name: str) -> str:
    """Return how messages call a label."""
    return "no key" if name == KEYLESS else f"key {name}"


def compile_site(
    site: str, nodes: Iterable[model.Node], hosts: Iterable[model.Host], rules: model.Rules, fixed: Mapping[str, str]
) -> Site:
    """Return the numbered form of one site; nodes and hosts of other sites are left out.

    Every node named in ``fixed`` must lie on a host of the site.
    """
    mine = tuple(sorted((n for n in nodes if n.site == site), key=lambda n: n.name))
    there = tuple(sorted((h for h in hosts if h.site == site), key=lambda h: h.id))
    wanted = [KEYLESS if n.keyless_host else n.key for n in mine]
    label_names = tuple(sorted({w for w in wanted if w is not None}))
    count: dict[str, int] = {}
    for node in mine:
        for replica_set in set(node.replica_sets):
            count[replica_set] = count.get(replica_set, 0) + 1
    set_names = tuple(sorted(name for name, members in count.items() if members > 1))
    chassis_names = sorted({h.chassis for h in there if h.chassis is not None})
    host_index = {h.id: i for i, h in enumerate(there)}
    sizes = tuple((n.vcpus, n.memory_mib, n.storage_gib) for n in mine)
    caps = tuple((h.vcpus, h.memory_mib, h.storage_gib) for h in there)
    chassis = tuple(ANY if h.chassis is None else chassis_names.index(h.chassis) for h in there)
    allowed = tuple(
        frozenset(
            i
            for i, cap in enumerate(caps)
            if (node.allowed_hosts is None or there[i].id in node.allowed_hosts)
            and all(s <= c for s, c in zip(size, cap, strict=True))
        )
        for node, size in zip(mine, sizes, strict=True)
    )
    choosy = [n for n, node in enumerate(mine) if node.allowed_hosts is not None]
    users = [frozenset(n for n in choosy if i in allowed[n]) for i in range(len(there))]
    separate = rules.zone_hosts == "separate"
    zone_of = {model.MYNUMBER: 1, model.INTERNET: 2} if separate else {}
    return Site(
        id=site,
        nodes=mine,
        hosts=there,
        rules=rules,
        sizes=sizes,
        caps=caps,
        labels=tuple(ANY if w is None else label_names.index(w) for w in wanted),
        label_names=label_names,
        zones=tuple(zone_of.get(n.zone or "", 0) for n in mine),
        sets=tuple(sum(1 << i for i, name in enumerate(set_names) if name in n.replica_sets) for n in mine),
        set_names=set_names,
        chassis=chassis,
        allowed=allowed,
        kinds=tuple(zip(caps, chassis, users, strict=True)),
        pinned=tuple(host_index[fixed[n.name]] if n.name in fixed else ANY for n in mine),
    )


def is_legal(site: Site, assignment: Sequence[int]) -> bool:
    """Say whether a complete assignment obeys all rules while nothing is lost."""
    load = Load(site)
    for n, h in enumerate(assignment):
        if not load.fits(n, h):
            return False
        load.put(n, h)
    return True


class Load:
    """How full each host is, and what it carries. Mutable on purpose: searches put and copy by the thousand."""

    __slots__ = ("chassis_sets", "count", "label", "memory", "sets", "site", "storage", "vcpus", "zone")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.vcpus = [c[0] for c in site.caps]
        self.memory = [c[1] for c in site.caps]
        self.storage = [c[2] for c in site.caps]
        self.count = [0] * len(site.hosts)
        self.label = [ANY] * len(site.hosts)
        self.zone = [0] * len(site.hosts)
        self.sets = [0] * len(site.hosts)
        self.chassis_sets = [0] * (max(site.chassis, default=ANY) + 1)

    @classmethod
    def of(cls, site: Site, assignment: Sequence[int], lost: Sequence[int] = ()) -> Load:
        """Return the load of ``assignment`` (ANY: not placed); the hosts ``lost`` are closed and their nodes gone."""
        load = cls(site)
        for n, h in enumerate(assignment):
            if h != ANY and h not in lost:
                load.put(n, h)
        for h in lost:
            load.vcpus[h] = load.memory[h] = load.storage[h] = -1
        return load

    def copy(self) -> Load:
        """Return an independent copy."""
        twin = object.__new__(Load)
        twin.site = self.site
        for name in ("vcpus", "memory", "storage", "count", "label", "zone", "sets", "chassis_sets"):
            setattr(twin, name, getattr(self, name)[:])
        return twin

    def shares(self, n: int, h: int) -> bool:
        """Say whether a replica of ``n`` is on host ``h`` or in its chassis."""
        there = self.sets[h]
        chassis = self.site.chassis[h]
        if chassis != ANY:
            there |= self.chassis_sets[chassis]
        return bool(self.site.sets[n] & there)

    def fits(self, n: int, h: int, *, apart: bool = True) -> bool:
        """Say whether ``n`` may be put on ``h`` now; ``apart=False`` lets replicas share."""
        site = self.site
        if h not in site.allowed[n]:
            return False
        vcpus, memory, storage = site.sizes[n]
        if memory > self.memory[h] or vcpus > self.vcpus[h] or storage > self.storage[h]:
            return False
        label, zone = site.labels[n], site.zones[n]
        if label != ANY and self.label[h] not in (ANY, label):
            return False
        if zone and self.zone[h] and zone != self.zone[h]:
            return False
        return not (apart and self.shares(n, h))

    def put(self, n: int, h: int) -> None:
        """Put ``n`` on ``h`` without asking."""
        site = self.site
        vcpus, memory, storage = site.sizes[n]
        self.vcpus[h] -= vcpus
        self.memory[h] -= memory
        self.storage[h] -= storage
        self.count[h] += 1
        if site.labels[n] != ANY:
            self.label[h] = site.labels[n]
        if site.zones[n]:
            self.zone[h] = site.zones[n]
        self.sets[h] |= site.sets[n]
        if site.chassis[h] != ANY:
            self.chassis_sets[site.chassis[h]] |= site.sets[n]

    def take(self, n: int, h: int, others: Iterable[int]) -> None:
        """Take ``n`` off ``h``, where ``others`` stay. Only for loads whose replicas are all apart."""
        site = self.site
        vcpus, memory, storage = site.sizes[n]
        self.vcpus[h] += vcpus
        self.memory[h] += memory
        self.storage[h] += storage
        self.count[h] -= 1
        self.label[h] = max((site.labels[other] for other in others), default=ANY)
        self.zone[h] = max((site.zones[other] for other in others), default=0)
        self.sets[h] &= ~site.sets[n]
        if site.chassis[h] != ANY:
            self.chassis_sets[site.chassis[h]] &= ~site.sets[n]

    def used(self) -> int:
        """Return the number of hosts that carry a node."""
        return sum(1 for c in self.count if c)

    def memory_load(self, h: int, extra_mib: int = 0) -> int:
        """Return the memory in use with ``extra_mib`` more, in millionths of what the host has."""
        cap = self.site.caps[h][1]
        return (cap - self.memory[h] + extra_mib) * 1_000_000 // cap if cap else 0

"""How many hosts any placement needs at least, and rules that no placement could obey: found by counting alone.

Three counts hold for any set of nodes, and the largest of them counts:

* capacity: the fewest hosts, largest first, whose sum covers the demand; and, for nodes of which no two or few fit
  together, the bound L2 of Martello and Toth (*Knapsack Problems*, 1990, chapter 8) with the largest host as bin;
* the size of a replica set;
* nodes of mynumber and of internet need hosts of their own: their counts add up.

Keys exclude one another on a host, so the counts of all keys and of the hosts without a key add up.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Sequence

from infra.placement import model
from infra.placement import site as sites


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The least number of hosts for a set of nodes, and why."""

    hosts: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A count that no placement can meet."""

    cause: str
    nodes: tuple[str, ...]


def fewest_hosts(
    site: sites.Site,
    members: Sequence[int],
    *,
    candidates: Sequence[int],
    taken: Sequence[int] = (),
    apart: bool = True,
) -> Need:
    """Return the least number of ``candidates`` that ``members`` need; ``taken`` of them are in use whatever happens.

    More than ``len(candidates)`` means: impossible; so many hosts as large as the largest it would take.
    """
    if not members:
        return Need(hosts=0, reason="no nodes")
    if not candidates:
        return Need(hosts=1, reason="no host")
    best = Need(hosts=max(1, len(taken)), reason="nodes of the lock" if taken else "at least one node")
    for r, resource in enumerate(sites.RESOURCES):
        sizes = [site.sizes[n][r] for n in members]
        largest = max(site.caps[h][r] for h in candidates)
        free = sorted((site.caps[h][r] for h in candidates if h not in taken), reverse=True)
        taken_sum = sum(site.caps[h][r] for h in taken)
        count = max(len(taken) + _hosts_for_sum(sum(sizes) - taken_sum, free, largest), _l2(sizes, largest))
        if count > best.hosts:
            amounts = [_amount(r, value).removesuffix(" vCPUs") for value in (sum(sizes), largest)]
            best = Need(hosts=count, reason=f"{resource}: {amounts[0]} on hosts of up to {amounts[1]}")
    if apart:
        sets = collections.Counter(
            bit for n in members for bit in range(len(site.set_names)) if site.sets[n] >> bit & 1
        )
        for bit, size in sorted(sets.items()):
            if size > best.hosts:
                best = Need(hosts=size, reason=f"replica set {site.set_names[bit]} of {size} nodes")
    zoned = [[n for n in members if site.zones[n] == zone] for zone in (1, 2)]
    if all(zoned):
        parts = [fewest_hosts(site, z, candidates=candidates, apart=apart) for z in zoned]
        if parts[0].hosts + parts[1].hosts > best.hosts:
            reason = f"zones apart: mynumber {parts[0].hosts}, internet {parts[1].hosts}"
            best = Need(hosts=parts[0].hosts + parts[1].hosts, reason=reason)
    return best


def _hosts_for_sum(demand: int, free: Sequence[int], largest: int) -> int:
    count = 0
    for cap in free:
        if demand <= 0:
            return count
        demand -= cap
        count += 1
    if demand <= 0:
        return count
    return count + (-(-demand // largest) if largest else demand)


def _l2(sizes: Sequence[int], cap: int) -> int:
    """Return the bound L2 for bins of ``cap``; nodes larger than a bin count as one bin each."""
    count = collections.Counter(sizes)
    best = 0
    for limit in {0, *(s for s in count if 0 < 2 * s <= cap)}:
        alone = sum(c for s, c in count.items() if s > cap - limit)
        half = {s: c for s, c in count.items() if cap < 2 * s and s <= cap - limit}
        small = sum(s * c for s, c in count.items() if limit <= s and 2 * s <= cap)
        rest = small - sum((cap - s) * c for s, c in half.items())
        best = max(best, alone + sum(half.values()) + (max(0, -(-rest // cap)) if cap else 0))
    return best


def _amount(r: int, value: int) -> str:
    if r == 1:
        return f"{value / 1024:g} GiB" if value % 256 == 0 else f"{value} MiB"
    return f"{value} vCPU{'' if value == 1 else 's'}" if r == 0 else f"{value} GiB"


def needs_per_label(site: sites.Site, *, lost: Collection[int] = (), apart: bool = True) -> dict[int, Need]:
    """Return the need of each label on the hosts that are left. Nodes of the lock bind only while nothing is lost."""
    left = [h for h in range(len(site.hosts)) if h not in lost]
    needs: dict[int, Need] = {}
    for label in range(len(site.label_names)):
        members = site.members(label)
        candidates, taken = left, list[int]()
        if not lost:
            others = {site.pinned[n] for n, own in enumerate(site.labels) if own not in (label, sites.ANY)}
            candidates = [h for h in left if h not in others]
            taken = sorted({site.pinned[n] for n in members} - {sites.ANY})
        needs[label] = fewest_hosts(site, members, candidates=candidates, taken=taken, apart=apart)
    return needs


def need_of_all(site: sites.Site, *, lost: Collection[int] = (), apart: bool = True) -> Need:
    """Return the need of all nodes together, keys left out."""
    left = [h for h in range(len(site.hosts)) if h not in lost]
    taken = [] if lost else sorted(set(site.pinned) - {sites.ANY})
    return fewest_hosts(site, range(len(site.nodes)), candidates=left, taken=taken, apart=apart)


def lower_bound(site: sites.Site) -> int:
    """Return a number of hosts below which no placement of the site exists."""
    return max(sum(need.hosts for need in needs_per_label(site).values()), need_of_all(site).hosts)


def minimum_hosts_per_key(
    nodes: Iterable[model.Node], hosts: Iterable[model.Host], rules: model.Rules
) -> tuple[model.KeyMinimum, ...]:
    """Return, per site and key, how many hosts its nodes need at least; hosts without a key come first."""
    all_nodes, all_hosts = list(nodes), list(hosts)
    minima: list[model.KeyMinimum] = []
    for site_id in sorted({n.site for n in all_nodes}):
        site = sites.compile_site(site_id, all_nodes, all_hosts, rules, {})
        for label, need in needs_per_label(site).items():
            key = site.label_names[label] or None
            minima.append(model.KeyMinimum(site=site_id, key=key, hosts=need.hosts, reason=need.reason))
    return tuple(minima)


def find_shortages(site: sites.Site) -> list[Shortage]:
    """Return every count that no placement of the site can meet; empty says nothing about whether one exists."""
    spare = site.rules.spare_hosts
    found = [*_too_large(site, spare), *_replicas_without_places(site, spare)]
    if found:
        return found
    # One concrete loss after the other: the worst for memory and the worst for vCPUs need not be the same hosts.
    losses = [_largest_hosts(site, r, spare) for r in (1, 0, 2)] if spare else []
    for lost in [[], *losses]:
        apart = not lost or site.rules.after_loss == "strict"
        needs, whole = needs_per_label(site, lost=lost, apart=apart), need_of_all(site, lost=lost, apart=apart)
        per_label, left = sum(need.hosts for need in needs.values()), len(site.hosts) - len(lost)
        if max(per_label, whole.hosts) <= left:
            continue
        parts = [f"all nodes: {whole.hosts} ({whole.reason})"]
        if per_label > whole.hosts:
            parts = [f"{_label_of(site, label)}: {need.hosts} ({need.reason})" for label, need in needs.items()]
        when = f" after the loss of {', '.join(site.hosts[h].id for h in lost)} (spare_hosts {spare})" if lost else ""
        needed = max(per_label, whole.hosts)
        cause = f"at least {needed} hosts are needed, {left} there{when}; {'; '.join(parts)}"
        return [Shortage(cause=cause, nodes=())]
    return []


def _largest_hosts(site: sites.Site, r: int, count: int) -> list[int]:
    return sorted(range(len(site.hosts)), key=lambda h: (-site.caps[h][r], h))[:count]


def _label_of(site: sites.Site, label: int) -> str:
    return sites.describe_label(site.label_names[label])


def _too_large(site: sites.Site, spare: int) -> list[Shortage]:
    found = []
    for n, size in enumerate(site.sizes):
        fitting, choice = len(site.allowed[n]), site.nodes[n].allowed_hosts
        if fitting <= spare:
            wanted = f"{_amount(0, size[0])}, {_amount(1, size[1])} memory, {size[2]} GiB storage"
            of = f"{len(site.hosts)}" if choice is None else f"the {len(choice)} declared"
            even = f"{fitting} of {of} hosts even when they are empty"
            cause = f"node {site.nodes[n].name} ({wanted}) fits on {even}"
            if spare:
                cause += f"; spare_hosts {spare} asks for {spare + 1}"
            found.append(Shortage(cause=cause, nodes=(site.nodes[n].name,)))
    return found


def _replicas_without_places(site: sites.Site, spare: int) -> list[Shortage]:
    """Return the replica sets that outnumber the hosts (all hosts of one named chassis count once)."""
    per_chassis = collections.Counter(c for c in site.chassis if c != sites.ANY)
    groups = sorted([*per_chassis.values(), *(1 for c in site.chassis if c == sites.ANY)])
    strict_loss = spare if site.rules.after_loss == "strict" else 0
    left, budget = len(groups), strict_loss
    for hosts in groups:  # the worst loss for a set ends as many groups as it can
        if hosts <= budget:
            left, budget = left - 1, budget - hosts
    found = []
    places = "hosts or chassis" if per_chassis else "hosts"
    for bit, name in enumerate(site.set_names):
        members = [n for n in range(len(site.nodes)) if site.sets[n] >> bit & 1]
        if len(members) > left:
            cause = f"replica set {name} has {len(members)} nodes for {len(groups)} separate {places}"
            if strict_loss:
                cause += f", {left} after the loss of {strict_loss} (spare_hosts, after_loss: strict)"
            found.append(Shortage(cause=cause, nodes=site.names(members)))
    return found

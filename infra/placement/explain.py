"""Why there is no placement, and what would cure it: found by trying, never by guessing.

Each rule is dropped alone, and hosts are added, until a placement exists. What is printed as a cure was placed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from infra.placement import bounds, check, cp, exact, firstfit, model, recovery
from infra.placement import site as sites

Search = Callable[[sites.Site, cp.Budget], tuple[exact.Outcome, model.Method]]
UNITS = 4.0
"""Deterministic time of the solver for the whole explanation; first fit answers most of it."""
UNITS_PER_TRY = 0.5
MORE_HOSTS_MAX = 8
REPLICA_SETS_MAX = 8
ANEW = "take the host of these nodes out of the lock, so that they are placed anew"
AMPLE = 1 << 40
"""More of a resource than any host has: the resource is out of question then."""


def require_usable_lock(
    site: str, nodes: Sequence[model.Node], hosts: Sequence[model.Host], rules: model.Rules, fixed: Mapping[str, str]
) -> None:
    """Raise when the nodes of the lock, where they are, break a rule by themselves."""
    locked = [n for n in nodes if n.site == site and n.name in fixed]
    there = {h.id: h for h in hosts}
    gone = tuple(sorted(n.name for n in locked if fixed[n.name] not in there))
    if gone:
        causes = tuple(
            f"node {name} is locked to host {fixed[name]}, which the declaration does not have" for name in gone
        )
        cures = ("declare the host again", f"{ANEW} (a machine that exists moves then)")
        raise model.PlacementError(
            site=site, problem="the lock names unknown hosts", nodes=gone, causes=causes, cures=cures
        )
    findings = check.check(locked, hosts, rules, fixed)
    if findings:
        raise model.PlacementError(
            site=site,
            problem="the nodes of the lock break a rule where they are",
            causes=tuple(findings),
            cures=("undo the change of hosts, nodes or rules", f"{ANEW} (a machine that exists moves then)"),
        )


def explain(site: sites.Site, status: exact.Status, search: Search) -> model.PlacementError:
    """Return the error for a site without a placement."""
    rules = site.rules
    what = f"{_count(len(site.nodes), 'node')} on {_count(len(site.hosts), 'host')}"
    how = f"spare_hosts {rules.spare_hosts}, after_loss {rules.after_loss}, hosts of zones {rules.zone_hosts}"
    if status is exact.Status.UNKNOWN:
        problem = f"no survivable placement of {what} was found within the limit of the search ({how})"
    else:
        problem = f"no placement of {what} obeys the rules ({how})"
    shortages = bounds.find_shortages(site)
    nodes: tuple[str, ...] = tuple(dict.fromkeys(name for s in shortages for name in s.nodes))
    causes = [s.cause for s in shortages]
    if not nodes:
        nodes, cause = _first_stuck(site)
        causes += [] if shortages else [cause]
    trial = _Trial(search)
    cures = [*_more_hosts(site, trial), *_without_one_rule(site, trial)]
    if not cures:
        cures.append("no single rule and no number of hosts up to "
                     f"{MORE_HOSTS_MAX} cures it: check the sizes of nodes and hosts")  # fmt: skip
    return model.PlacementError(site=site.id, problem=problem, nodes=nodes, causes=tuple(causes), cures=tuple(cures))


def _first_stuck(site: sites.Site) -> tuple[tuple[str, ...], str]:
    attempt = firstfit.plan_as_much_as_possible(site)
    if attempt.stuck:
        return site.names(attempt.stuck), "these nodes find no place beside the others"
    failed = recovery.find_unsurvived(site, attempt.assignment, steps=recovery.QUICK_STEPS)
    if failed is None:
        return (), "no combination was found"
    lost = ", ".join(site.hosts[h].id for h in failed.lost)
    gone = site.names(n for n, h in enumerate(attempt.assignment) if h in failed.lost)
    why = recovery.describe_failure(site, attempt.assignment, failed.lost)
    return gone, f"all nodes find a place, but in no placement every loss can be repaired; for example {lost}: {why}"


class _Trial:
    """Asks whether a changed site has a placement, within one budget for all questions."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.left = UNITS

    def places(self, site: sites.Site) -> bool:
        budget = cp.Budget(min(UNITS_PER_TRY, self.left))
        given = budget.left
        outcome, _ = self.search(site, budget)
        self.left -= given - budget.left
        return outcome.assignment is not None


def _again(
    site: sites.Site,
    *,
    nodes: Sequence[model.Node] | None = None,
    hosts: Sequence[model.Host] | None = None,
    rules: model.Rules | None = None,
    keep_lock: bool = True,
) -> sites.Site:
    """Return the site with one thing changed."""
    locked = {n.name: site.hosts[h].id for n, h in zip(site.nodes, site.pinned, strict=True) if h != sites.ANY}
    return sites.compile_site(
        site.id,
        site.nodes if nodes is None else nodes,
        site.hosts if hosts is None else hosts,
        site.rules if rules is None else rules,
        locked if keep_lock else {},
    )


def _without_one_rule(site: sites.Site, trial: _Trial) -> list[str]:
    return [text for text, changed in _relaxations(site) if trial.places(changed)]


def _relaxations(site: sites.Site) -> Iterator[tuple[str, sites.Site]]:
    """Yield the site with one rule dropped or softened at a time, and what a person would have to do for it."""
    rules = site.rules
    if any(h != sites.ANY for h in site.pinned):
        yield (
            f"{ANEW}: without the lock there is a placement (it moves machines that exist)",
            _again(site, keep_lock=False),
        )
    if rules.spare_hosts and rules.after_loss == "strict":
        relaxed = dataclasses.replace(rules, after_loss="relaxed")
        yield "after_loss: relaxed (replicas may share a host until the repair)", _again(site, rules=relaxed)
    for fewer in range(rules.spare_hosts - 1, -1, -1):
        loss = f"only {fewer} lost at a time" if fewer else "the loss of a host is then not sure to be repaired"
        yield f"spare_hosts: {fewer} ({loss})", _again(site, rules=dataclasses.replace(rules, spare_hosts=fewer))
    if any(site.zones):
        shared = dataclasses.replace(rules, zone_hosts="shared")
        yield "zone_separation hosts: shared (needs reason and approved_by)", _again(site, rules=shared)
    if site.label_names:
        free = [dataclasses.replace(n, key=None, keyless_host=False) for n in site.nodes]
        yield "another pattern: the host keys are what is in the way", _again(site, nodes=free)
    if any(n.allowed_hosts is not None for n in site.nodes):
        free = [dataclasses.replace(n, allowed_hosts=None) for n in site.nodes]
        yield "more hosts under `hosts:` of the service: those it names do not do", _again(site, nodes=free)
    for name in site.set_names[:REPLICA_SETS_MAX]:
        members = ", ".join(n.name for n in site.nodes if name in n.replica_sets)
        loose = [dataclasses.replace(n, replica_sets=tuple(s for s in n.replica_sets if s != name)) for n in site.nodes]
        yield f"fewer nodes in replica set {name} ({members})", _again(site, nodes=loose)
    yield (
        "more memory in the hosts there are",
        _again(site, hosts=[dataclasses.replace(h, memory_mib=AMPLE) for h in site.hosts]),
    )
    yield (
        "more vCPUs in the hosts there are",
        _again(site, hosts=[dataclasses.replace(h, vcpus=AMPLE) for h in site.hosts]),
    )
    more_storage = [dataclasses.replace(h, storage_gib=AMPLE) for h in site.hosts]
    yield "more storage in the hosts there are", _again(site, hosts=more_storage)


def _more_hosts(site: sites.Site, trial: _Trial) -> list[str]:
    """Return the fewest further hosts that cure, with the smallest size found for them."""
    largest: sites.Size = _largest(site)
    for count in range(1, MORE_HOSTS_MAX + 1):
        if trial.places(_again(site, hosts=[*site.hosts, *_new_hosts(site, count, largest)])):
            size = _shrink(site, count, largest)
            more = "one more host" if count == 1 else f"{count} more hosts"
            memory = f"{size[1] / 1024:g} GiB memory"
            own = ", outside the chassis there are" if any(c != sites.ANY for c in site.chassis) else ""
            vcpus = _count(size[0], "vCPU")
            return [f"{more} of at least {memory}, {vcpus}, {size[2]} GiB storage at site {site.id}{own}"]
    return []


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _largest(site: sites.Site) -> sites.Size:
    every = [*site.caps, *site.sizes]
    return (max(s[0] for s in every), max(s[1] for s in every), max(s[2] for s in every))


def _new_hosts(site: sites.Site, count: int, size: sites.Size) -> list[model.Host]:
    return [
        model.Host(id=f"~new{i}", site=site.id, chassis=None, vcpus=size[0], memory_mib=size[1], storage_gib=size[2])
        for i in range(1, count + 1)
    ]


def _shrink(site: sites.Site, count: int, size: sites.Size) -> sites.Size:
    """Return the smallest size for which first fit still finds a placement, in steps of 1 to 3 percent."""
    best = list(size)
    for r, least in ((1, 1024), (0, 1), (2, 1)):
        unit = max(1, best[r] // 32 // least) * least
        low, high = 0, -(-best[r] // unit)
        while low < high:
            middle = (low + high) // 2
            tried = [middle * unit if i == r else value for i, value in enumerate(best)]
            hosts = [*site.hosts, *_new_hosts(site, count, (tried[0], tried[1], tried[2]))]
            changed = _again(site, hosts=hosts)
            if not bounds.find_shortages(changed) and firstfit.plan_first_fit(changed) is not None:
                high = middle
            else:
                low = middle + 1
        best[r] = min(best[r], high * unit)
    return best[0], best[1], best[2]

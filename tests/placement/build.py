"""Short ways to write hosts, nodes and rules, and an oracle that knows the rules and nothing of the code."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Literal

from infra.placement import model

GIB = 1024


def host(
    name: str,
    *,
    vcpus: int = 16,
    memory_gib: int = 64,
    storage_gib: int = 1000,
    chassis: str | None = None,
    site: str = "dc1",
) -> model.Host:
    return model.Host(
        id=name,
        site=site,
        chassis=chassis,
        vcpus=vcpus,
        memory_mib=memory_gib * GIB,
        storage_gib=storage_gib,
    )


def hosts(count: int, *, memory_gib: int = 64, vcpus: int = 16) -> list[model.Host]:
    return [host(f"h{i:02}", memory_gib=memory_gib, vcpus=vcpus, storage_gib=4000) for i in range(1, count + 1)]


def node(
    name: str,
    *sets: str,
    vcpus: int = 1,
    memory_gib: int = 4,
    storage_gib: int = 10,
    key: str | None = None,
    anywhere: bool = False,
    zone: str | None = None,
    on: Sequence[str] | None = None,
    site: str = "dc1",
) -> model.Node:
    """Return a node; without a key it needs a host without one, unless it may sit ``anywhere``."""
    return model.Node(
        name=name,
        site=site,
        vcpus=vcpus,
        memory_mib=memory_gib * GIB,
        storage_gib=storage_gib,
        key=key,
        keyless_host=key is None and not anywhere,
        zone=zone,
        allowed_hosts=None if on is None else frozenset(on),
        replica_sets=sets,
        stateful=False,
    )


def rules(
    spare: int = 0,
    *,
    after_loss: Literal["strict", "relaxed"] = "strict",
    zone_hosts: Literal["separate", "shared"] = "separate",
) -> model.Rules:
    return model.Rules(spare_hosts=spare, after_loss=after_loss, zone_hosts=zone_hosts)


def demo() -> tuple[list[model.Node], list[model.Host]]:
    """Eight machines on three hosts: a pair with its database and three voters, two members' own nodes, gateways."""
    nodes = [
        node("juki-ap-1", "juki-ap", "juki-voters", memory_gib=1, zone="mynumber"),
        node("juki-ap-2", "juki-ap", memory_gib=1, zone="mynumber"),
        node("juki-db-1", "juki-db", "juki-voters", memory_gib=1, zone="mynumber"),
        node("juki-db-2", "juki-db", "juki-voters", memory_gib=1, zone="mynumber"),
        node("zaimu-nishiki-1", memory_gib=1, zone="lgwan"),
        node("zaimu-tsuno-1", memory_gib=1, zone="lgwan"),
        node("gw-1", "gw", memory_gib=1),
        node("gw-2", "gw", memory_gib=1),
    ]
    return nodes, [host(f"kvm0{i}", memory_gib=5) for i in (1, 2, 3)]


def town(seed: int, count: int) -> list[model.Node]:
    """Return ``count`` nodes of services as they are: an application pair and a database pair in a zone each."""
    dice = random.Random(seed)  # noqa: S311 - test data, not secrets
    nodes: list[model.Node] = []
    for service in itertools.count():
        zone, size = dice.choice(["mynumber", "lgwan", "internet"]), dice.choice([8, 16, 32])
        name = f"s{service:03}"
        nodes += [
            node(f"{name}-ap-1", f"{name}-ap", f"{name}-voters", vcpus=2, zone=zone),
            node(f"{name}-ap-2", f"{name}-ap", vcpus=2, zone=zone),
            node(f"{name}-db-1", f"{name}-db", f"{name}-voters", vcpus=4, memory_gib=size, zone=zone),
            node(f"{name}-db-2", f"{name}-db", f"{name}-voters", vcpus=4, memory_gib=size, zone=zone),
        ]
        if len(nodes) >= count:
            return nodes[:count]
    raise AssertionError("unreachable")


def legal(
    nodes: Sequence[model.Node], there: Sequence[model.Host], rule: model.Rules, at: Mapping[str, str], *, apart: bool
) -> bool:
    """Say whether the rules allow ``at``; written for itself, so that it can judge check.py too."""
    for h in there:
        mine = [n for n in nodes if at[n.name] == h.id]
        if any(n.allowed_hosts is not None and h.id not in n.allowed_hosts for n in mine):
            return False
        if sum(n.vcpus for n in mine) > h.vcpus or sum(n.memory_mib for n in mine) > h.memory_mib:
            return False
        if sum(n.storage_gib for n in mine) > h.storage_gib:
            return False
        wanted = {"(none)" if n.keyless_host else n.key for n in mine} - {None}
        zones = {n.zone for n in mine}
        if len(wanted) > 1 or (rule.zone_hosts == "separate" and "mynumber" in zones and "internet" in zones):
            return False
    by_id = {h.id: h for h in there}
    for a, b in itertools.combinations(nodes, 2):
        x, y = by_id[at[a.name]], by_id[at[b.name]]
        same_chassis = x.chassis is not None and x.chassis == y.chassis
        if apart and set(a.replica_sets) & set(b.replica_sets) and (x is y or same_chassis):
            return False
    return True


def survives(
    nodes: Sequence[model.Node], there: Sequence[model.Host], rule: model.Rules, at: Mapping[str, str]
) -> bool:
    """Try every re-placement after every loss."""
    for size in range(1, rule.spare_hosts + 1):
        for lost in itertools.combinations([h.id for h in there], size):
            gone = [n.name for n in nodes if at[n.name] in lost]
            left = [h for h in there if h.id not in lost]
            tries = itertools.product([h.id for h in left], repeat=len(gone))
            apart = rule.after_loss == "strict"
            if gone and not any(
                legal(nodes, left, rule, {**at, **dict(zip(gone, new, strict=True))}, apart=apart) for new in tries
            ):
                return False
    return True


def fewest_hosts(
    nodes: Sequence[model.Node], there: Sequence[model.Host], rule: model.Rules, fixed: Mapping[str, str]
) -> int | None:
    """Return the least number of hosts by enumeration, or None when nothing is allowed."""
    best: int | None = None
    names = [n.name for n in nodes]
    for choice in itertools.product(*([fixed[n]] if n in fixed else [h.id for h in there] for n in names)):
        at = dict(zip(names, choice, strict=True))
        used = len(set(choice))
        if (
            (best is None or used < best)
            and legal(nodes, there, rule, at, apart=True)
            and survives(nodes, there, rule, at)
        ):
            best = used
    return best

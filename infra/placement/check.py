"""Does a placement obey the rules? Written straight from the rules; shares nothing with the code that searches."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence

from infra.placement import model


def check(
    nodes: Iterable[model.Node],
    hosts: Iterable[model.Host],
    rules: model.Rules,
    assignment: Mapping[str, str],
    *,
    apart: bool = True,
) -> list[str]:
    """Return every broken rule of ``assignment``; ``apart=False`` leaves the replica sets out."""
    by_id = {host.id: host for host in hosts}
    findings: list[str] = []
    on_host: dict[str, list[model.Node]] = collections.defaultdict(list)
    for node in sorted(nodes, key=lambda n: n.name):
        host = by_id.get(assignment.get(node.name, ""))
        if host is None:
            findings.append(f"node {node.name}: on no declared host ({assignment.get(node.name)})")
        elif host.site != node.site:
            findings.append(f"node {node.name}: belongs to site {node.site}, host {host.id} stands at {host.site}")
        else:
            on_host[host.id].append(node)
            if node.allowed_hosts is not None and host.id not in node.allowed_hosts:
                choice = ", ".join(sorted(node.allowed_hosts))
                findings.append(f"node {node.name}: is on host {host.id}, its service declares {choice}")
    for host_id, there in sorted(on_host.items()):
        findings += _check_host(by_id[host_id], there, rules)
    if apart:
        findings += _check_replicas(by_id, on_host)
    return findings


def _check_host(host: model.Host, there: Sequence[model.Node], rules: model.Rules) -> list[str]:
    findings: list[str] = []
    for what, used, given in (
        ("vCPUs", sum(n.vcpus for n in there), host.vcpus),
        ("MiB of memory", sum(n.memory_mib for n in there), host.memory_mib),
        ("GiB of storage", sum(n.storage_gib for n in there), host.storage_gib),
    ):
        if used > given:
            findings.append(f"host {host.id}: {used} {what} of {given}")
    keys = sorted({n.key for n in there if n.key is not None})
    if len(keys) > 1:
        findings.append(f"host {host.id}: carries the keys {', '.join(keys)}")
    if keys and any(n.keyless_host for n in there):
        findings.append(f"host {host.id}: key {keys[0]} beside nodes that need a host without a key")
    if rules.zone_hosts == "separate" and {model.MYNUMBER, model.INTERNET} <= {n.zone for n in there}:
        findings.append(f"host {host.id}: carries mynumber and internet together")
    return findings


def _check_replicas(by_id: Mapping[str, model.Host], on_host: Mapping[str, Sequence[model.Node]]) -> list[str]:
    places: dict[tuple[str, str], list[tuple[model.Node, model.Host]]] = collections.defaultdict(list)
    for host_id, there in sorted(on_host.items()):
        host = by_id[host_id]
        for node in there:
            for replica_set in node.replica_sets:
                places[host.site, replica_set].append((node, host))
    findings: list[str] = []
    for (_, replica_set), placed in sorted(places.items()):
        for (node_a, a), (node_b, b) in itertools.combinations(placed, 2):
            if a.id == b.id:
                findings.append(f"replica set {replica_set}: {node_a.name} and {node_b.name} share host {a.id}")
            elif a.chassis is not None and a.chassis == b.chassis:
                findings.append(f"replica set {replica_set}: {node_a.name} and {node_b.name} share chassis {a.chassis}")
    return findings


def check_survives(
    nodes: Sequence[model.Node],
    hosts: Sequence[model.Host],
    rules: model.Rules,
    assignment: Mapping[str, str],
    survives: Iterable[model.Survival],
) -> list[str]:
    """Return every loss that ``rules.spare_hosts`` covers and ``survives`` does not repair by the rules."""
    repairs = {frozenset(s.lost): s for s in survives if s.possible}
    findings: list[str] = []
    on_host: dict[str, list[model.Node]] = collections.defaultdict(list)
    in_set: dict[str, list[model.Node]] = collections.defaultdict(list)
    for node in nodes:
        on_host[assignment.get(node.name, "")].append(node)
        for replica_set in node.replica_sets:
            in_set[replica_set].append(node)
    for site in sorted({host.site for host in hosts}):
        ids = sorted(host.id for host in hosts if host.site == site)
        for size in range(1, rules.spare_hosts + 1):
            for lost in itertools.combinations(ids, size):
                gone = {node.name: node for host_id in lost for node in on_host[host_id]}
                if not gone:
                    continue
                name = f"loss of {', '.join(lost)}"
                repair = repairs.get(frozenset(lost))
                if repair is None:
                    findings.append(f"{name}: no repair")
                    continue
                if repair.moves.keys() != gone.keys():
                    findings.append(f"{name}: moves {sorted(repair.moves)}, lost are {sorted(gone)}")
                # A repair can only break a rule on a host that takes nodes, or between a moved node and its replicas.
                touched = {**gone, **{n.name: n for h in set(repair.moves.values()) for n in on_host[h]}}
                touched |= {n.name: n for node in gone.values() for s in node.replica_sets for n in in_set[s]}
                left = [host for host in hosts if host.id not in lost]
                after = {**assignment, **repair.moves}
                broken = check(touched.values(), left, rules, after, apart=rules.after_loss == "strict")
                findings += [f"{name}: {finding}" for finding in broken]
    return findings

"""The rules that join several objects of a declaration; each check is pure and yields problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from infra.declaration.checks import (
    capacity,
    flows,
    handoffs,
    hosts,
    lines,
    members,
    prefixes,
    recovery,
    references,
    services,
)
from infra.declaration.checks.references import Ids
from infra.declaration.findings import Problem
from infra.declaration.model import Declaration

__all__ = ["RULES", "Ids", "Rule", "problems"]


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A check, and the top-level keys in which it would take a damaged object for an absent one."""

    check: Callable[[Declaration], Iterator[Problem]]
    needs: frozenset[str] = frozenset()


RULES: tuple[Rule, ...] = (
    Rule(members.check_dates),
    Rule(members.check_codes),
    Rule(members.check_models),
    Rule(members.check_link_servers),
    Rule(hosts.check_sites),
    Rule(hosts.check_sizes),
    Rule(hosts.check_identity),
    Rule(hosts.check_spares, frozenset({"hosts", "availability"})),
    Rule(hosts.check_timers, frozenset({"availability"})),
    Rule(hosts.check_zone_separation, frozenset({"availability"})),
    Rule(hosts.check_sla, frozenset({"sla"})),
    Rule(recovery.check_recovery, frozenset({"sla", "availability"})),
    Rule(recovery.check_availability, frozenset({"sla", "availability"})),
    Rule(prefixes.check_families, frozenset({"addressing"})),
    Rule(prefixes.check_offices),
    Rule(prefixes.check_members, frozenset({"lines", "translations", "availability"})),
    Rule(prefixes.check_supernet, frozenset({"addressing"})),
    Rule(prefixes.check_networks),
    Rule(prefixes.check_handoffs, frozenset({"availability"})),
    Rule(prefixes.check_translations, frozenset({"members", "lines", "closed_networks", "addressing"})),
    Rule(handoffs.check_keys),
    Rule(handoffs.check_values),
    Rule(handoffs.check_routing),
    Rule(handoffs.check_far_ends, frozenset({"lines"})),
    Rule(handoffs.check_presence),
    Rule(lines.check_zones),
    Rule(lines.check_internet),
    Rule(lines.check_mains),
    Rule(lines.check_participants, frozenset({"lines", "sites"})),
    Rule(lines.check_public_only, frozenset({"lines", "sites"})),
    Rule(capacity.check_bandwidth, frozenset({"sites"})),
    Rule(services.check_participants),
    Rule(services.check_sites, frozenset({"hosts", "sites"})),
    Rule(services.check_nodes),
    Rule(services.check_runs_on),
    Rule(services.check_pattern_keys, frozenset({"sites"})),
    Rule(services.check_listen),
    Rule(flows.check_ends),
    Rule(flows.check_zones, frozenset({"members"})),
    Rule(flows.check_network_prefixes),
    Rule(flows.check_repeats),
)


def problems(declaration: Declaration, *, ids: Ids, damaged: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Yield every problem of ``declaration``; ``damaged`` are top-level keys from which objects were left out."""
    yield from references.check_duplicates(declaration)
    yield from references.check_references(declaration, ids)
    for rule in RULES:
        if not rule.needs & damaged:
            yield from rule.check(declaration)

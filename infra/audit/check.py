"""One level of the audit from its inputs: the plan, and for all but the declared level the rules of every machine."""

from __future__ import annotations

import collections
import contextlib
import datetime
import gc
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from infra.audit import declared, expected, machines, management, packets, pairs, standing
from infra.audit.controls import Facts, controls
from infra.audit.declared import Declared
from infra.audit.model import (
    Audit,
    Examined,
    FlowReference,
    Level,
    Listing,
    Missing,
    Pair,
    TwoStep,
    UnusedRule,
    Violation,
    ViolationKind,
)
from infra.audit.topology import Topology
from infra.plan.document import document as plan_document
from infra.plan.model import Plan
from network import endpoints, zones
from network.model import NetworkPlan, ServiceEndpoint

EXPIRES_SOON = datetime.timedelta(days=90)


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Keep the collector of cycles out: millions of small objects are made here, and no cycles; it takes a third."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_without_collecting()
def audit_declared(plan: Plan, models: Mapping[str, zones.SecurityModel]) -> Audit:
    """Judge the plan by the rules of the domain; ``models`` is the security model of each member."""
    allowed = declared.declared(plan.network)
    topology = Topology(plan.network, allowed.allowed)
    found = pairs.of_declaration(topology, allowed.allowed)
    violations = [
        *_flows_against_zones(plan, models),
        *_expired(plan),
        *_unresolved(allowed, "declared"),
        *(_card(one.node, one.place, one.why) for one in standing.misplaced(plan.network)),
        *management.planned(plan.network),
        *_ambiguous(topology),
    ]
    classes = packets.count_boxes(
        packets.boxes(box for one in allowed.allowed for box in expected.opened(one))
        if allowed.allowed
        else packets.NONE
    )
    examined = Examined(
        pairs=topology.pairs,
        classes=len(topology.classes),
        rules=0,
        packet_classes=classes,
        machines=len(topology.machines),
    )
    return _audit(plan, "declared", topology, found, violations, (), (), examined, {})


@_without_collecting()
def audit_rules(
    plan: Plan,
    listings: Mapping[str, Listing],
    level: Level = "rendered",
    now: datetime.datetime | None = None,
    drift: Iterable[Violation] = (),
) -> Audit:
    """Compare the rules of every machine with the plan; a machine without a listing is a finding.

    ``now`` is the moment for which rules with a time are judged; without it, they may hold or not.
    ``listings`` may hold names that the plan does not know: those are findings too. ``drift`` is what was found on the
    machines besides their rules.
    """
    allowed = declared.declared(plan.network)
    topology = Topology(plan.network, allowed.allowed)
    violations: list[Violation] = [*_unresolved(allowed, level), *drift]
    by_machine = expected.by_machine(topology.machines.values(), allowed.allowed)
    judged = machines.judge(topology, by_machine, listings, level, now)
    violations += judged.violations
    violations += [_unread(level, name, reason) for name, reason in judged.unread.items()]
    violations += [
        _unread(level, name, "no machine of the plan has this name") for name in listings.keys() - topology.machines
    ]
    examined = Examined(
        pairs=topology.pairs if judged.opened else 0,
        classes=len(topology.classes),
        rules=judged.rules,
        packet_classes=judged.packet_classes,
        machines=len(judged.opened),
    )
    inputs = {name: listing.digest for name, listing in sorted(listings.items()) if listing.digest}
    found = pairs.of_rules(topology, judged.opened, allowed.allowed)
    return _audit(plan, level, topology, found, violations, judged.missing, judged.unused, examined, inputs)


def audit_probes(
    plan: Plan, found: Sequence[Pair], violations: Sequence[Violation], missing: Sequence[Missing], examined: Examined
) -> Audit:
    """Return the level of packets that were really sent; ``found`` are the pairs between which some were answered."""
    topology = Topology(plan.network, declared.declared(plan.network).allowed)
    return _audit(plan, "probe", topology, found, violations, missing, (), examined, {})


def _audit(  # noqa: PLR0917 - all that an audit is made of
    plan: Plan,
    level: Level,
    topology: Topology,
    found: Sequence[Pair],
    violations: Iterable[Violation],
    missing: Iterable[Missing],
    unused: Iterable[UnusedRule],
    examined: Examined,
    inputs: Mapping[str, str],
) -> Audit:
    order = {"critical": 0, "major": 1, "minor": 2}
    ranked = sorted(violations, key=lambda v: (order[v.severity], v.kind, v.path, v.rule or "", v.reason))
    missing, by_name = tuple(missing), {endpoint.name: endpoint for endpoint in topology.endpoints}
    facts = Facts(level=level, examined=examined, endpoints=by_name, pairs=found, violations=ranked, missing=missing)
    return Audit(
        stack=plan.stack,
        title=plan.title,
        level=level,
        as_of=plan.as_of,
        digest=plan_document(plan)["digest"],
        inputs=inputs,
        examined=examined,
        endpoints=topology.endpoints,
        classes=topology.classes,
        pairs=tuple(found),
        violations=tuple(ranked),
        missing=missing,
        unused_rules=tuple(unused),
        two_steps=tuple(two_steps(topology, found)),
        expiring=_expiring(plan),
        controls=controls(facts),
    )


def two_steps(topology: Topology, found: Sequence[Pair]) -> Iterator[TwoStep]:
    """Yield ways between different members or zones by way of one service that both sides are connected with."""
    known = {endpoint.name: endpoint for endpoint in topology.endpoints}
    outer = [pair for pair in found if known.get(pair.source) is not None and known.get(pair.target) is not None]
    into: dict[str, set[str]] = {}
    out_of: dict[str, set[str]] = {}
    carried = _services_of_nodes(topology.network)
    for pair in outer:
        if known[pair.source].kind in {"office", "node"} and known[pair.target].kind == "service":
            into.setdefault(pair.target, set()).add(pair.source)
        if known[pair.source].kind == "node" and known[pair.target].kind == "service":
            for service in carried.get(pair.source, ()):
                out_of.setdefault(service, set()).add(pair.target)
    for through, sources in sorted(into.items()):
        served = known[through].members
        if len(served) < 2:
            continue
        for source in sorted(name for name in sources if known[name].kind == "office"):
            for target in sorted(out_of.get(through, ())):
                if target != through and not set(known[source].members) & set(known[target].members):
                    yield TwoStep(
                        source=source,
                        through=through,
                        target=target,
                        members=tuple(sorted({*known[source].members, *known[target].members})),
                        zones=tuple(sorted({z for n in (source, through, target) if (z := known[n].zone)})),
                    )


def _services_of_nodes(network: NetworkPlan) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for endpoint in network.endpoints:
        for name in {*endpoint.application, *endpoint.load_balancer}:
            found.setdefault(name, []).append(f"service:{endpoint.name}")
    return {name: tuple(sorted(services)) for name, services in found.items()}


# the model by the rules of the domain


def _flows_against_zones(plan: Plan, models: Mapping[str, zones.SecurityModel]) -> Iterator[Violation]:
    """Judge every flow of the plan by the zone matrix, whatever checked the file before."""
    services: dict[str, list[ServiceEndpoint]] = {}
    for endpoint in plan.network.endpoints:
        services.setdefault(endpoint.service, []).append(endpoint)
    for flow in plan.network.flows:
        source, target = endpoints.parse(flow.source), endpoints.parse(flow.target)
        here, there = _place(source, plan, services), _place(target, plan, services)
        mine, theirs = _members(source, services), _members(target, services)
        if flow.kind in declared.IMPLIED:
            ok = here == there and bool(set(mine) & set(theirs))
            if not ok:
                yield _rule_broken("zone_rule", flow.source, flow.target, f"{flow.kind} leaves its zone or its members")
            continue
        if here is None or there is None or flow.kind not in zones.FLOW_KINDS:
            yield _rule_broken("zone_rule", flow.source, flow.target, f"kind {flow.kind}: not among the zone rules")
            continue
        between = bool(mine and theirs) and not set(mine) & set(theirs)
        concerned = [models[member] for member in {*mine, *theirs} if member in models]
        kind = next(k for k in zones.FLOW_KINDS if k == flow.kind)
        why = zones.check_flow(here, there, kind, models=concerned, between_members=between)
        if why is not None:
            yield _rule_broken("member_rule" if between else "zone_rule", flow.source, flow.target, why)


def _place(
    end: endpoints.Endpoint, plan: Plan, services: Mapping[str, Sequence[ServiceEndpoint]]
) -> zones.Place | None:
    if isinstance(end, endpoints.OfficeEnd):
        return end.zone
    if isinstance(end, endpoints.ServiceEnd):
        found = {endpoint.zone for endpoint in services.get(end.service, ())}
        return next((zone for zone in zones.ZONES if found == {zone}), None)
    if isinstance(end, endpoints.NetworkEnd):
        kinds = {line.closed_network_kind for line in plan.network.lines if line.closed_network == end.network}
        return "lgwan_network" if kinds == {"lgwan"} else "closed_network"
    return "public_internet" if end.public_internet else "external_system"


def _members(end: endpoints.Endpoint, services: Mapping[str, Sequence[ServiceEndpoint]]) -> tuple[str, ...]:
    if isinstance(end, endpoints.OfficeEnd):
        return (end.member,)
    if isinstance(end, endpoints.ServiceEnd):
        if end.member is not None:
            return (end.member,)
        return tuple(sorted({m for endpoint in services.get(end.service, ()) for m in endpoint.participants}))
    return ()


def _expired(plan: Plan) -> Iterator[Violation]:
    for text in plan.expired:
        yield _rule_broken(
            "flow_expired", plan.stack, plan.stack, f"past its date, and no longer open: {text}", "minor"
        )
    for flow in plan.network.flows:
        if flow.expires is not None and flow.expires < plan.as_of:
            yield _rule_broken(
                "flow_expired", flow.source, flow.target, f"open, though it ended on {flow.expires.isoformat()}"
            )


def _ambiguous(topology: Topology) -> Iterator[Violation]:
    """Name addresses that two machines have on one segment, and office LANs that overlap on one."""
    network = topology.network
    for segment in network.segments:
        held: dict[IPv4Address, set[str]] = {}
        for machine in topology.machines_by_segment.get(segment.name, ()):
            card = machine.card_on(segment.name)
            for address in card.own if card else ():
                held.setdefault(address, set()).add(machine.name)
        for address, names in held.items():
            if len(names) > 1:
                yield _rule_broken(
                    "ambiguous_address", min(names), max(names), f"{address} on {segment.name} belongs to both"
                )
    offices: dict[IPv4Network, list[tuple[str, str, IPv4Network]]] = collections.defaultdict(list)
    for lan in network.offices:
        for prefix in lan.prefixes:
            offices[prefix].append((lan.member, lan.zone, prefix))
    for machine in topology.machines.values():
        if machine.forwards:
            lans = {lan for prefix, _ in machine.routes for lan in offices.get(prefix, ())}
            for (m1, z1, one), (m2, z2, other) in itertools.combinations(sorted(lans, key=str), 2):
                if (m1, z1) != (m2, z2) and one.overlaps(other):
                    yield _rule_broken(
                        "ambiguous_address",
                        f"office:{m1}/{z1}",
                        f"office:{m2}/{z2}",
                        f"{one} and {other} overlap at {machine.name}",
                    )


def _unresolved(allowed: Declared, level: Level) -> Iterator[Violation]:
    for one in allowed.unresolved:
        yield Violation(
            kind="not_examined",
            severity="critical",
            level=level,
            source=one.flow.source,
            target=one.flow.target,
            packet=None,
            path=(one.flow.source, one.flow.target),
            rule=None,
            reason=f"the flow cannot be examined: {one.reason}",
        )


def _expiring(plan: Plan) -> tuple[FlowReference, ...]:
    soon = [
        declared.reference(flow)
        for flow in plan.network.flows
        if flow.expires is not None and plan.as_of <= flow.expires <= plan.as_of + EXPIRES_SOON
    ]
    return tuple(sorted(soon, key=lambda flow: (flow.expires or plan.as_of, str(flow))))


def _card(node: str, segment: str, why: str) -> Violation:
    return _rule_broken("misplaced_card", node, segment, f"card on {segment}: {why}")


def _rule_broken(kind: ViolationKind, source: str, target: str, reason: str, severity: str = "critical") -> Violation:
    return Violation(
        kind=kind,
        severity="minor" if severity == "minor" else "critical",
        level="declared",
        source=source,
        target=target,
        packet=None,
        path=(source, target),
        rule=None,
        reason=reason,
    )


def _unread(level: Level, name: str, reason: str) -> Violation:
    return Violation(
        kind="not_examined",
        severity="critical",
        level=level,
        source=name,
        target=name,
        packet=None,
        path=(name,),
        rule=None,
        reason=f"the rules could not be examined: {reason}",
    )

"""The level ``probe`` of the audit: packets that were really sent, beside what the plan lets pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from infra.audit import check, declared
from infra.audit.model import Audit, Examined, FlowReference, Missing, Packet, PacketRange, Pair, Passing, Violation
from infra.plan.model import Plan
from infra.probes.model import Probe, Tried
from network.model import NetworkPlan


def audit(plan: Plan, tried: Sequence[Tried]) -> Audit:
    """Return the audit of probes."""
    flows = {f"{flow.source} -> {flow.target}": declared.reference(flow) for flow in plan.network.flows}
    violations = [_violation(plan.network, one) for one in tried if one.wrong and not one.probe.passes]
    missing = [_missing(plan.network, one, flows) for one in tried if one.wrong and one.probe.passes]
    examined = Examined(
        pairs=len({(one.probe.source.name, one.probe.target_name) for one in tried}),
        classes=len({(one.probe.source.name, one.probe.source.segment) for one in tried}),
        rules=0,
        packet_classes=len({(one.probe.protocol, one.probe.port) for one in tried}),
        probes=len(tried),
        machines=len({one.probe.source.name for one in tried if not one.probe.source.terminal}),
    )
    return check.audit_probes(plan, _pairs(plan.network, tried, flows), violations, missing, examined)


def _pairs(network: NetworkPlan, tried: Iterable[Tried], flows: dict[str, FlowReference]) -> list[Pair]:
    """Return the pairs between which something was answered, with what was asked."""
    answered: dict[tuple[str, str], dict[str, set[PacketRange]]] = {}
    for one in tried:
        if one.outcome != "silent":
            ends = _source(one.probe), _target(network, one.probe)
            answered.setdefault(ends, {}).setdefault(one.probe.passes, set()).add(_range(one.probe))
    return [
        Pair(
            source=source,
            target=target,
            passing=tuple(
                Passing(packets=tuple(sorted(packets)), flow=_flow(label, flows), path=(source, target))
                for label, packets in sorted(by_flow.items())
            ),
        )
        for (source, target), by_flow in sorted(answered.items())
    ]


def _violation(network: NetworkPlan, one: Tried) -> Violation:
    return Violation(
        kind="probe",
        severity="critical",
        level="probe",
        source=_source(one.probe),
        target=_target(network, one.probe),
        packet=_packet(one.probe),
        path=_path(one.probe),
        rule=None,
        reason=one.wrong,
    )


def _missing(network: NetworkPlan, one: Tried, flows: dict[str, FlowReference]) -> Missing:
    reference = _flow(one.probe.passes, flows) or FlowReference(
        source=_source(one.probe), target=_target(network, one.probe), kind="", reason=one.probe.passes
    )
    return Missing(
        level="probe", flow=reference, packet=_packet(one.probe), path=_path(one.probe), rule=None, reason=one.wrong
    )


def _flow(label: str, flows: dict[str, FlowReference]) -> FlowReference | None:
    """Return the flow with this label; what the platform does for itself has a label in words."""
    if not label:
        return None
    return flows.get(label) or FlowReference(source=label, target=label, kind="management", reason=label)


def _source(probe: Probe) -> str:
    if not probe.source.terminal:
        return probe.source.name
    member, _, zone = probe.source.name.split("/")
    return f"office:{member}/{zone}"


def _target(network: NetworkPlan, probe: Probe) -> str:
    """Return the endpoint that has the address: a service, a machine, a station; of a pair of gateways the first."""
    if probe.target_name.startswith("service/"):
        return f"service:{probe.target_name.removeprefix('service/')}"
    if probe.target_name.startswith("station of "):
        return f"station:{probe.target_name.removeprefix('station of ')}"
    vip = network.vip_by_name.get(probe.target_name)
    return vip.nodes[0] if vip else probe.target_name


def _packet(probe: Probe) -> Packet:
    icmp: Literal[8] | None = 8 if probe.protocol == "icmp" else None
    return Packet(
        protocol=probe.protocol,
        source=str(probe.source.address),
        destination=str(probe.target),
        port=None if icmp else probe.port,
        icmp_type=icmp,
    )


def _range(probe: Probe) -> PacketRange:
    return PacketRange(
        protocol=probe.protocol,
        sources=str(probe.source.address),
        destinations=str(probe.target),
        ports="8" if probe.protocol == "icmp" else str(probe.port),
    )


def _path(probe: Probe) -> tuple[str, ...]:
    return (f"{probe.source.name} {probe.source.card}", f"via {probe.via}", probe.target_name)

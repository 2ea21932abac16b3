"""The plan as a JSON document (format 1) and its digest."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from infra.plan.model import Plan

Document = dict[str, Any]


def document(plan: Plan) -> Document:
    """Return ``plan`` as the document that ``kumiai plan --json`` prints; same plan, same bytes."""
    network = plan.network
    found: Document = {
        "format": 1,
        "stack": plan.stack,
        "as_of": plan.as_of.isoformat(),
        "digest": "",
        "nodes": [
            {
                "name": node.name,
                "role": node.role,
                "service": node.service,
                "members": list(node.members),
                "zone": node.zone,
                "site": node.site,
                "host": node.host,
                "vcpus": node.vcpus,
                "memory_mib": node.memory_mib,
                "disk_gib": node.disk_gib,
                "replica_sets": list(node.replica_sets),
                "interfaces": [
                    {
                        "segment": card.segment,
                        "name": card.name,
                        "mac": card.mac,
                        "addresses": [str(address) for address in card.addresses],
                    }
                    for card in network.node_by_name[node.name].interfaces
                ],
            }
            for node in plan.nodes
        ],
        "segments": [
            {
                "name": segment.name,
                "kind": segment.kind,
                "zone": segment.zone,
                "members": list(segment.members),
                "site": segment.site,
                "prefixes": [str(prefix) for prefix in segment.prefixes],
            }
            for segment in network.segments
        ],
        "vips": [
            {"name": vip.name, "segment": vip.segment, "address": str(vip.address), "nodes": list(vip.nodes)}
            for vip in network.vips
        ],
        "lines": [
            {
                "name": line.name,
                "member": line.member,
                "site": line.site,
                "closed_network": line.closed_network,
                "role": line.role,
                "class": line.line_class,
                "mbps": line.mbps,
                "zones": list(line.zones),
                "segments": [handoff.segment for handoff in line.handoffs],
                "translations": [
                    {"direction": direction, "inside": str(one.inside), "outside": str(one.outside)}
                    for direction, found in (("source", line.sources), ("destination", line.destinations))
                    for one in found
                ],
            }
            for line in network.lines
        ],
        "flows": [
            {
                "from": flow.source,
                "to": flow.target,
                "allow": [str(port) for port in flow.allow],
                "kind": flow.kind,
                "reason": flow.reason,
                "expires": flow.expires.isoformat() if flow.expires else None,
            }
            for flow in network.flows
        ],
        "hosts": [
            {
                "id": host.id,
                "site": host.site,
                "key": host.key,
                "vcpus_used": host.vcpus_used,
                "vcpus": host.vcpus,
                "memory_mib_used": host.memory_mib_used,
                "memory_mib": host.memory_mib,
                "storage_gib_used": host.storage_gib_used,
                "storage_gib": host.storage_gib,
            }
            for host in plan.hosts
        ],
        "placement": {
            "hosts_used": plan.placement.hosts_used,
            "lower_bound": plan.placement.lower_bound,
            "optimal": plan.placement.optimal,
            "seconds": plan.placement.seconds,
        },
        "survives": [
            {
                "lost": list(survival.lost),
                "possible": survival.possible,
                "moves": dict(survival.moves),
                "reason": survival.reason,
            }
            for survival in plan.survives
        ],
        "recovery": [
            {
                "layer": recovery.layer,
                "fault": recovery.fault,
                "seconds": recovery.seconds,
                "target_seconds": recovery.target_seconds,
            }
            for recovery in plan.recovery
        ],
        "assumed": list(plan.assumed),
    }
    found["digest"] = digest(found)
    return found


def digest(found: Document) -> str:
    """Return ``sha256:`` and the digest of the canonical JSON of ``found``.

    Canonical: UTF-8, keys sorted, no white space, without ``digest`` and without the measured ``placement.seconds``.
    """
    bare = copy.deepcopy(found)
    bare.pop("digest", None)
    bare["placement"].pop("seconds", None)
    text = json.dumps(bare, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

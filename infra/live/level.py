"""The level ``live`` of the audit: the running machines and hosts against the plan."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from infra.audit import check
from infra.audit.model import Audit, Listing, Severity, Violation
from infra.live import judge
from infra.live.model import Finding, FindingKind, Live
from infra.operations.live import Finding as HostFinding
from infra.plan.model import Plan
from network.errors import OperationError

SEVERITIES: Mapping[FindingKind, Severity] = {
    "silent": "critical",
    "service": "critical",
    "forwarding": "critical",
    "route": "major",
    "policy": "major",
    "address": "major",
    "socket": "minor",
}
"""A route or an address leads packets elsewhere, and filters still judge them; a socket is behind a filter."""


def audit(
    plan: Plan,
    live: Mapping[str, Live | OperationError],
    hosts: Iterable[HostFinding],
    now: datetime.datetime,
) -> Audit:
    """Return the audit of what runs; ``hosts`` is what `verify` found on the hypervisors (cards, bridges, settings)."""
    drift = [
        *(_of_machine(finding) for finding in judge.judge(plan.network, live) if finding.kind != "silent"),
        *(_of_host(finding) for finding in hosts),
    ]
    return check.audit_rules(plan, dict(_listings(live)), "live", now=now, drift=drift)


def _listings(live: Mapping[str, Live | OperationError]) -> Iterator[tuple[str, Listing]]:
    for node, one in live.items():
        if not isinstance(one, Live):
            yield node, Listing(text=None, digest=None, reason=str(one))
            continue
        digest = f"sha256:{hashlib.sha256(one.rules.encode()).hexdigest()}"
        if one.dormant:
            reason = f"the table {', '.join(one.dormant)} is dormant: its rules are not in force"
            yield node, Listing(text=None, digest=digest, reason=reason)
        else:
            yield node, Listing(text=one.rules, digest=digest)


def _of_machine(finding: Finding) -> Violation:
    return Violation(
        kind="drift",
        severity=SEVERITIES[finding.kind],
        level="live",
        source=finding.node,
        target=finding.node,
        packet=None,
        path=(finding.node, finding.subject),
        rule=None,
        reason=str(finding),
    )


def _of_host(finding: HostFinding) -> Violation:
    return Violation(
        kind="drift",
        severity="critical",
        level="live",
        source=finding.subject,
        target=finding.subject,
        packet=None,
        path=(finding.host, finding.subject),
        rule=None,
        reason=str(finding),
    )

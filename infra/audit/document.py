"""``kumiai audit --json``: the fixed contract, and beside it what the report needs."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from infra.audit.model import Audit, Change, Control, Missing, Packet, Violation

Document = dict[str, Any]


def document(audit: Audit) -> Document:
    """Return ``audit`` in format 1; the keys after ``controls`` are additions to it."""
    return {
        "format": 1,
        "stack": audit.stack,
        "level": audit.level,
        "digest": audit.digest,
        "verdict": audit.verdict,
        "examined": dataclasses.asdict(audit.examined),
        "violations": [_violation(found) for found in audit.violations],
        "missing": [_missing(found) for found in audit.missing],
        "unused_rules": [dataclasses.asdict(found) for found in audit.unused_rules],
        "controls": [_control(control) for control in audit.controls],
        "as_of": audit.as_of.isoformat(),
        "inputs": dict(audit.inputs),
        "pairs": [_plain(dataclasses.asdict(pair)) for pair in audit.pairs],
        "two_steps": [dataclasses.asdict(step) for step in audit.two_steps],
        "expiring": [_plain(dataclasses.asdict(flow)) for flow in audit.expiring],
    }


def together(audits: Sequence[Audit]) -> Document:
    """Return several levels of one stack as one document of the same form; each by itself stands in ``levels``."""
    each = [document(audit) for audit in audits]
    examined = {
        key: max(part["examined"][key] for part in each)
        if key in {"pairs", "classes", "machines"}
        else sum(part["examined"][key] for part in each)
        for key in each[0]["examined"]
    }
    last = each[-1]
    return {
        **last,
        "level": "all",
        "verdict": "pass" if all(audit.verdict == "pass" for audit in audits) else "fail",
        "examined": examined,
        "violations": [found for part in each for found in part["violations"]],
        "missing": [found for part in each for found in part["missing"]],
        "levels": each,
    }


def changes(found: Sequence[Change], stack: str, since: str) -> Document:
    """Return what pairs gained and lost, in format 1."""
    return {
        "format": 1,
        "stack": stack,
        "against": since,
        "changes": [
            {
                "from": change.source,
                "to": change.target,
                "gained": [dataclasses.asdict(one) for one in change.gained],
                "lost": [dataclasses.asdict(one) for one in change.lost],
            }
            for change in found
        ],
    }


def _violation(found: Violation) -> Document:
    return {
        "kind": found.kind,
        "severity": found.severity,
        "level": found.level,
        "from": found.source,
        "to": found.target,
        "packet": _packet(found.packet),
        "path": list(found.path),
        "rule": found.rule,
        "reason": found.reason,
    }


def _missing(found: Missing) -> Document:
    return {
        "level": found.level,
        "from": found.flow.source,
        "to": found.flow.target,
        "packet": _packet(found.packet),
        "path": list(found.path),
        "rule": found.rule,
        "reason": found.reason,
    }


def _packet(packet: Packet | None) -> Document | None:
    if packet is None:
        return None
    return {
        "protocol": packet.protocol,
        "source": packet.source,
        "destination": packet.destination,
        "port": packet.port,
        "source_port": packet.source_port,
        "icmp_type": packet.icmp_type,
        "state": packet.state,
        "translated": _packet(packet.translated),
    }


def _control(control: Control) -> Document:
    return {"id": control.id, "title": control.title, "status": control.status, "evidence": control.evidence}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return ``value`` with dates as text."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

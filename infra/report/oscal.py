"""Audits as NIST OSCAL assessment results, for tools that read those.

One result a level. Every control is reviewed; what the level says about it is an observation, and a finding where it
says "met" or "not met" (OSCAL has no third state). Every violation and every missing flow is an observation of its own,
which the findings of controls that are not met refer to. The library checks the document against OSCAL's own model; it
is the optional extra ``oscal``. The same audits give the same bytes: identifiers are derived from names (RFC 9562,
version 5).
"""

from __future__ import annotations

import datetime
import importlib.util
import re
import uuid
from collections.abc import Sequence
from typing import Any

from infra.audit.model import Audit, Control, Missing, Violation
from network.clock import JST
from network.errors import EnvironmentLackError

Document = dict[str, Any]
VERSION = "1.2.1"
"""Of OSCAL; the library's."""
MISSING = "OSCAL needs the optional package compliance-trestle: install Kumiai with its extra, kumiai[oscal]"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:kumiai:audit")
_PROPERTIES = "urn:kumiai:audit"
_PREFIXES = {
    "NIST SP 800-53 Rev. 5": "",
    "ISO/IEC 27017:2015": "iso27017-",
    "ISO/IEC 27001:2022": "iso27001-",
    "CIS Controls v8": "cis8-",
    "三層の対策": "",
}


def available() -> bool:
    """Say whether the library is installed."""
    return importlib.util.find_spec("trestle") is not None


def assessment_results(audits: Sequence[Audit]) -> str:
    """Return the document as JSON, as the library writes it.

    Raises EnvironmentLackError without the library (:func:`available` says so), and ValueError for no audit.
    """
    if not available():
        raise EnvironmentLackError(MISSING)
    from trestle.oscal.assessment_results import AssessmentResults  # noqa: PLC0415 - optional, and slow to import

    checked = AssessmentResults.model_validate(document(audits))
    return str(checked.oscal_serialize_json(pretty=True)) + "\n"


def document(audits: Sequence[Audit]) -> Document:
    """Return the content below the key ``assessment-results``."""
    if not audits:
        raise ValueError("assessment results need at least one audit")
    first = audits[0]
    key = "/".join((first.stack, *(f"{audit.level}:{audit.digest}" for audit in audits)))
    plan = _uuid(key, "plan")
    return {
        "uuid": _uuid(key),
        "metadata": {
            "title": f"Isolation audit: {first.title}",
            "last-modified": _moment(first),
            "version": first.digest,
            "oscal-version": VERSION,
        },
        "import-ap": {"href": f"#{plan}"},
        "results": [_result(audit, f"{key}/{audit.level}") for audit in audits],
        "back-matter": {
            "resources": [
                {
                    "uuid": plan,
                    "title": "Declared isolation",
                    "description": f"The plan of stack {first.stack} with digest {first.digest} is what was assessed.",
                }
            ]
        },
    }


def control_id(control: Control) -> str:
    """Return the identifier of a control as OSCAL's catalogs write it: ``sc-7.5`` for SC-7(5)."""
    prefix = _PREFIXES.get(control.framework, re.sub(r"[^a-z0-9]+", "-", control.framework.lower()) + "-")
    return prefix + re.sub(r"[^a-z0-9.]+", "-", re.sub(r"\((\d+)\)", r".\1", control.id).lower())


def _result(audit: Audit, key: str) -> Document:
    wrong = [_violation(found, audit, f"{key}/violation/{n}") for n, found in enumerate(audit.violations)]
    wrong += [_missing(found, audit, f"{key}/missing/{n}") for n, found in enumerate(audit.missing)]
    evidence = [_evidence(control, audit, key) for control in audit.controls]
    judged = [control for control in audit.controls if control.status != "not_examined"]
    examined = {
        "pairs": audit.examined.pairs,
        "rules": audit.examined.rules,
        "packet-classes": audit.examined.packet_classes,
        "probes": audit.examined.probes,
        "machines": audit.examined.machines,
    }
    result: Document = {
        "uuid": _uuid(key),
        "title": f"Level {audit.level}: {audit.verdict}",
        "description": f"{audit.examined.pairs} ordered pairs of endpoints and {audit.examined.rules} rules were "
        f"examined; {len(audit.violations)} violations, {len(audit.missing)} declared flows that do not pass.",
        "start": _moment(audit),
        "props": [
            _property("verdict", audit.verdict),
            _property("plan-digest", audit.digest),
            *(_property(f"examined-{name}", str(count)) for name, count in examined.items()),
        ],
        "reviewed-controls": {
            "control-selections": [
                {"include-controls": [{"control-id": name} for name in dict.fromkeys(map(control_id, audit.controls))]}
                if audit.controls
                else {"include-all": {}}
            ]
        },
    }
    if evidence or wrong:
        result["observations"] = [*evidence, *wrong]
    if judged:
        result["findings"] = [_finding(control, key, wrong) for control in judged]
    return result


def _evidence(control: Control, audit: Audit, key: str) -> Document:
    return {
        "uuid": _uuid(key, "evidence", control.framework, control.id),
        "title": f"{control.id} {control.title}",
        "description": control.evidence or "nothing was examined",
        "methods": ["TEST"],
        "types": ["control-objective"],
        "collected": _moment(audit),
        "props": [_property("status", control.status), _property("framework", control.framework)],
    }


def _finding(control: Control, key: str, wrong: Sequence[Document]) -> Document:
    met = control.status == "met"
    related = [_uuid(key, "evidence", control.framework, control.id)]
    related += [] if met else [found["uuid"] for found in wrong]
    return {
        "uuid": _uuid(key, "finding", control.framework, control.id),
        "title": f"{control.id} {control.title}",
        "description": control.evidence or "nothing was examined",
        "target": {
            "type": "objective-id",
            "target-id": control_id(control),
            "status": {"state": "satisfied" if met else "not-satisfied"},
        },
        "related-observations": [{"observation-uuid": name} for name in related],
    }


def _violation(found: Violation, audit: Audit, key: str) -> Document:
    told = [
        f"{found.source} -> {found.target}: {found.reason}",
        *([f"packet: {found.packet}"] if found.packet is not None else []),
        *([f"path: {' -> '.join(found.path)}"] if found.path else []),
        *([f"rule: {found.rule}"] if found.rule else []),
    ]
    properties = [_property("kind", found.kind), _property("severity", found.severity)]
    return _observation(key, f"Violation: {found.kind}", told, audit, properties)


def _missing(found: Missing, audit: Audit, key: str) -> Document:
    told = [
        f"{found.flow}: declared, and does not pass: {found.reason}",
        f"packet: {found.packet}",
        *([f"stopped by: {found.rule}"] if found.rule else []),
    ]
    return _observation(key, "Declared flow that does not pass", told, audit, [_property("kind", "missing")])


def _observation(key: str, title: str, told: Sequence[str], audit: Audit, properties: Sequence[Document]) -> Document:
    return {
        "uuid": _uuid(key),
        "title": title,
        "description": "\n".join(told),
        "methods": ["TEST"],
        "types": ["finding"],
        "collected": _moment(audit),
        "props": list(properties),
    }


def _property(name: str, value: str) -> Document:
    return {"name": name, "ns": _PROPERTIES, "value": value}


def _moment(audit: Audit) -> str:
    """Return the beginning of the day of the audit: a clock would make every run another document."""
    return datetime.datetime.combine(audit.as_of, datetime.time(), tzinfo=JST).isoformat()


def _uuid(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))

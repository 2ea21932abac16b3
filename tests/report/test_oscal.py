"""OSCAL assessment results, checked by the library that knows OSCAL."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest
from trestle.oscal import OSCAL_VERSION
from trestle.oscal.assessment_results import AssessmentResults

from infra.audit.model import Control
from infra.report import audit_files, oscal
from network.errors import EnvironmentLackError
from tests.report import audits

MET, NOT_MET, UNSEEN = (
    Control(
        id=name,
        framework="NIST SP 800-53 Rev. 5",
        title=title,
        title_ja=title,
        status=status,  # type: ignore[arg-type]  # the three words of the model
        evidence="as found",
        evidence_ja="記録のとおり",
    )
    for name, title, status in (
        ("AC-4", "Information Flow Enforcement", "not_met"),
        ("SC-7(5)", "Deny by Default — Allow by Exception", "met"),
        ("CP-9", "System Backup", "not_examined"),
    )
)


def written(*found: Any) -> dict[str, Any]:
    document = json.loads(oscal.assessment_results(found))["assessment-results"]
    assert isinstance(document, dict)
    return document


def failed() -> dict[str, Any]:
    controls = (MET, NOT_MET, UNSEEN)
    audit = audits.audit(level="rendered", violations=(audits.VIOLATION,), controls=controls)
    (result,) = written(audit)["results"]
    assert isinstance(result, dict)
    return result


def test_the_library_reads_back_what_was_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "oscal.json"
    path.write_text(oscal.assessment_results([audits.audit(), audits.audit(level="rendered")]), encoding="utf-8")
    read: Any = AssessmentResults.oscal_read(path)
    assert json.loads(read.oscal_serialize_json()) == json.loads(path.read_text(encoding="utf-8"))
    assert [result.title for result in read.results] == ["Level declared: pass", "Level rendered: pass"]
    assert written(audits.audit())["metadata"]["oscal-version"] == OSCAL_VERSION


def test_a_control_is_satisfied_not_satisfied_or_without_a_finding() -> None:
    states = {f["target"]["target-id"]: f["target"]["status"]["state"] for f in failed()["findings"]}
    assert states == {"ac-4": "not-satisfied", "sc-7.5": "satisfied"}
    reviewed = failed()["reviewed-controls"]["control-selections"][0]["include-controls"]
    assert [one["control-id"] for one in reviewed] == ["ac-4", "sc-7.5", "cp-9"]


def test_what_is_not_met_refers_to_the_violations_and_these_name_packet_path_and_rule() -> None:
    result = failed()
    observations = {one["uuid"]: one for one in result["observations"]}
    wrong, right = result["findings"]
    related = [observations[one["observation-uuid"]] for one in wrong["related-observations"]]
    assert [one["title"] for one in related] == ["AC-4 Information Flow Enforcement", "Violation: not_declared"]
    assert related[1]["description"].splitlines() == [
        "office:nishiki/mynumber -> office:tsuno/mynumber: nothing declares it",
        "packet: tcp 10.1.0.1 -> 10.2.0.1:445",
        "path: office:nishiki/mynumber -> dc1-gw1a forward seg9 -> office:tsuno/mynumber",
        "rule: dc1-gw1a: chain forward: tcp dport 445 accept",
    ]
    assert len(right["related-observations"]) == 1


@pytest.mark.parametrize(
    ("framework", "name", "expected"),
    [
        ("NIST SP 800-53 Rev. 5", "AC-4(21)", "ac-4.21"),
        ("ISO/IEC 27017:2015", "CLD.9.5.1", "iso27017-cld.9.5.1"),
        ("CIS Controls v8", "13.4", "cis8-13.4"),
        ("三層の対策", "TZ-6", "tz-6"),
        ("Another, 2030", "X 1", "another-2030-x-1"),
    ],
)
def test_identifiers_of_controls_are_those_of_oscal_catalogs(framework: str, name: str, expected: str) -> None:
    assert oscal.control_id(dataclasses.replace(MET, framework=framework, id=name)) == expected


def test_the_same_audit_gives_the_same_bytes_and_every_identifier_once() -> None:
    levels = [audits.audit(), audits.audit(level="rendered")]
    text = oscal.assessment_results(levels)
    assert text == oscal.assessment_results(levels)
    names = [line for line in text.splitlines() if '"uuid":' in line]
    assert len(names) == len(set(names)) > 20


def test_no_audit_is_no_document() -> None:
    with pytest.raises(ValueError, match="at least one audit"):
        oscal.assessment_results([])


def test_without_the_library_the_other_files_are_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oscal, "available", lambda: False)
    with pytest.raises(EnvironmentLackError, match=r"kumiai\[oscal\]"):
        oscal.assessment_results([audits.audit()])
    files = audit_files.write(tmp_path / "report", [audits.audit()], audits.demo())
    assert [path.name for path in files] == ["audit.html", "audit.json"]


def test_three_files_are_written_and_the_json_is_the_contract(tmp_path: pathlib.Path) -> None:
    files = audit_files.write(tmp_path / "report", [audits.audit()], audits.demo())
    assert [path.name for path in files] == ["audit.html", "audit.json", "oscal.json"]
    found = json.loads(files[1].read_text(encoding="utf-8"))
    assert (found["format"], found["level"], found["verdict"]) == (1, "declared", "pass")
    both = audit_files.write(tmp_path / "report", [audits.audit(), audits.audit(level="rendered")], audits.demo())
    assert json.loads(both[1].read_text(encoding="utf-8"))["level"] == "all"

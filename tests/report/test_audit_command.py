"""``kumiai audit --report DIR``: three files, whatever the verdict."""

from __future__ import annotations

import json
import pathlib

import typer.testing

import infra.cli
from tests.report import audits

STACK = str(audits.ROOT / "stacks" / "demo.yaml")


def run(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(infra.cli.app, ["audit", *arguments, "--as-of", "2026-04-01"])


def test_a_report_has_three_files_that_agree(tmp_path: pathlib.Path) -> None:
    done = run(STACK, "--level", "declared", "--report", str(tmp_path / "new" / "folder"))
    assert done.exit_code == 0, done.output
    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(files) == {"audit.html", "audit.json", "oscal.json"}
    digest = json.loads(files["audit.json"])["digest"]
    assert digest in files["audit.html"]
    assert json.loads(files["oscal.json"])["assessment-results"]["metadata"]["version"] == digest
    assert "通信は一つも変わらない" not in files["audit.html"]


def test_the_change_since_a_declaration_is_a_section_of_the_report(tmp_path: pathlib.Path) -> None:
    """Before, the flow from juki to zaimu was not declared: each member gains one way to its zaimu."""
    before = tmp_path / "demo.yaml"
    text = pathlib.Path(STACK).read_text(encoding="utf-8")
    before.write_text(text[: text.index("flows:")] + text[text.index("availability:") :], encoding="utf-8")
    done = run(STACK, "--level", "declared", "--report", str(tmp_path / "report"), "--against", str(before))
    assert done.exit_code == 0, done.output
    page = (tmp_path / "report" / "audit.html").read_text(encoding="utf-8")
    section = page[page.index('<h2 id="changes">') : page.index('<h2 id="network">')]
    assert str(before) in section
    assert section.count('<tr><th scope="row">') == 4, "two machines to two addresses"
    assert "住民税の収納連携 (情報政策課)" in section


def test_an_audit_that_fails_is_reported_too(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "nothing"
    empty.mkdir()
    done = run(STACK, "--level", "rendered", "--rendered", str(empty), "--report", str(tmp_path / "report"))
    assert done.exit_code == 1
    assert "✕" in (tmp_path / "report" / "audit.html").read_text(encoding="utf-8")

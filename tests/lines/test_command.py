"""``kumiai lines`` and ``kumiai lab cut`` as far as a person sees them; nothing is measured here."""

from __future__ import annotations

import json
import pathlib

import pytest
import typer.testing

import infra.cli
from infra.lab import faults
from infra.lines import measure
from infra.lines.model import Measured, Path, paths
from network.errors import EnvironmentLackError, OperationError
from tests.lab_unit import gateways
from tests.lab_unit.small import small_plan, with_host
from tests.lines.test_evaluate import CARRYING, GONE, STILL

PLAN = gateways.with_services(small_plan("test"))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """A stack whose plan is the small one."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "test.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infra.plan.current", lambda file, day: PLAN)


def run(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(infra.cli.app, [*arguments])


def as_planned() -> dict[Path, Measured]:
    return {path: CARRYING if path.role == "main" else STILL for path in paths(PLAN.network)}


def test_lines_are_listed_without_a_lab() -> None:
    done = run("lines", "test")
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert "nishiki/honcho mynumber   nishiki-main" in done.stdout
    assert len(json.loads(run("lines", "test", "--json").stdout)["paths"]) == 8


def test_a_passed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "measure", lambda plan, progress: as_planned())
    done = run("lines", "test", "--check")
    assert done.exit_code == 0
    assert done.stdout.count(" ok ") == 8
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    document = json.loads(run("lines", "test", "--check", "--json").stdout)
    assert (document["format"], document["stack"], document["verdict"]) == (1, "test", "pass")
    assert document["paths"][0]["measured"]["response_ms"] == 2.5


def test_a_failed_check_names_line_office_and_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = seen = as_planned()
    seen[first] = GONE
    monkeypatch.setattr(measure, "measure", lambda plan, progress: seen)
    done = run("lines", "test", "--check")
    assert isinstance(done.exception, OperationError)
    assert str(done.exception) == "not as planned: nishiki-main"
    assert "nishiki-main, nishiki/honcho mynumber: the office has no route over this line\n" in done.stdout
    document = json.loads(run("lines", "test", "--check", "--json").stdout)
    assert document["verdict"] == "fail"
    assert document["paths"][0]["findings"]


def test_nothing_examined_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.lines.model.paths", lambda network: ())
    monkeypatch.setattr(measure, "measure", lambda plan, progress: {})
    done = run("lines", "test", "--check")
    assert str(done.exception) == "not as planned: no line was examined"


def test_outside_the_lab_it_says_what_to_measure_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLAN
    for host in ("kvm01", "kvm02", "kvm03"):
        plan = with_host(plan, host, libvirt="qemu+ssh://root@kvm01.example/system")
    monkeypatch.setattr("infra.plan.current", lambda file, day: plan)
    done = run("lines", "test", "--check")
    assert isinstance(done.exception, EnvironmentLackError)
    assert done.exception.exit_code == 3
    for word in ("traceroute", "time_connect}'", "iperf3", "show bgp summary"):
        assert word in str(done.exception)


def test_a_lab_that_is_not_up_is_said_so() -> None:
    done = run("lines", "test", "--check")
    assert isinstance(done.exception, EnvironmentLackError)
    assert str(done.exception) == "the lab of test is not up; run: kumiai lab up test"


def test_cut_and_restore_pass_line_and_place_on(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(faults, "cut", lambda plan, line, place: done.append((plan.stack, line, place)))
    monkeypatch.setattr(faults, "restore", lambda plan, line: (faults.Cut(line=line, place="access"),))
    cut = run("lab", "cut", "test", "nishiki-main", "--at", "access")
    assert (cut.exit_code, done) == (0, [("test", "nishiki-main", "access")])
    assert "kumiai lab restore test nishiki-main" in cut.stderr
    assert (
        "nishiki-main was cut at the access; it is whole again" in run("lab", "restore", "test", "nishiki-main").stderr
    )
    assert run("lab", "cut", "test", "nishiki-main", "--at", "nowhere").exit_code == 2

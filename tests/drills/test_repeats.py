"""Repeated drills: what is summed up, what is shown of them, and when nothing more may be broken."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import typer.testing

import infra.cli
from infra.cli import drill
from infra.configure import private
from infra.drills import gateway, repeats
from infra.drills.model import Result
from network.errors import OperationError
from tests.drills.test_records import RESULT
from tests.network.render import demo


def after(days: int, **changed: Any) -> Result:
    return dataclasses.replace(RESULT, at=RESULT.at + datetime.timedelta(days=days), **changed)


def test_drills_of_either_half_of_a_pair_are_one_series() -> None:
    slow, quick, last = after(0, down_s=1.9), after(1, down_s=1.0, subject="dc1-gw1b"), after(2, down_s=1.2)
    (found,) = repeats.series([last, slow, quick])
    assert found.results == (slow, quick, last)
    assert (found.median_s("down_s"), found.worst_s("down_s"), found.failed) == (1.2, 1.9, 0)
    assert found.shown == (last, slow)


@pytest.mark.parametrize(
    "other",
    [{"fault": "cut"}, {"timers": "emulated"}, {"accelerator": "tcg"}, {"client": "tsuno/mynumber → juki"},
     {"subject": "dc1-gw1a+dc1-gw1b"}, {"kind": "node"}],
)  # fmt: skip
def test_what_cannot_be_compared_is_a_series_of_its_own(other: dict[str, str]) -> None:
    assert len(repeats.series([RESULT, after(1, **other)])) == 2


def test_two_lines_are_two_series_and_two_primaries_are_one() -> None:
    lines = [after(n, kind="line", subject=subject) for n, subject in enumerate(("a-main", "b-main"))]
    assert len(repeats.series(lines)) == 2
    servers = [after(n, kind="database", subject=subject) for n, subject in enumerate(("juki-db1", "juki-db2"))]
    assert len(repeats.series(servers)) == 1


def test_a_lost_write_is_worse_than_any_time_and_the_newest_of_equals_is_shown_once() -> None:
    lost, slow, newest = after(0, writes_lost=1, findings=("x",)), after(1, down_s=99.0), after(2)
    (found,) = repeats.series([lost, slow, newest])
    assert found.shown == (newest, lost)
    assert found.failed == 1
    (same,) = repeats.series([after(0), after(1), after(2)])
    assert same.shown == (after(2),)


def test_the_median_of_two_is_between_them() -> None:
    (found,) = repeats.series([after(0, returned_s=40.0), after(1, returned_s=41.0)])
    assert (found.median_s("returned_s"), found.worst_s("returned_s")) == (40.5, 41.0)


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    stack: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Said:
    """Return a function that runs the command against drills with given results (an error is raised)."""
    monkeypatch.setattr(private, "ROOT", tmp_path)
    monkeypatch.setattr(drill, "scene_of", lambda plan, file: contextlib.nullcontext())

    def call(found: Sequence[Result | Exception], *arguments: str) -> tuple[int, str, str]:
        following = iter(found)

        def made(*_: object, **__: object) -> Result:
            match next(following):
                case Result() as result:
                    return result
                case Exception() as error:
                    raise error

        monkeypatch.setattr(gateway, "drill", made)
        words = ["drill", str(stack), "gateway", *arguments, "--as-of", demo.AS_OF.isoformat()]
        done = typer.testing.CliRunner().invoke(infra.cli.app, words)
        return done.exit_code, done.stdout, f"{done.stderr}{done.exception or ''}"

    return call


def test_a_drill_is_repeated_and_summed_up(said: Said, tmp_path: pathlib.Path) -> None:
    runs = [after(0, down_s=1.9), after(1, down_s=1.0, subject="dc1-gw1b", took_over="dc1-gw1a"), after(2)]
    status, out, err = said(runs, "--repeat", "3")
    assert status == 0
    assert "2/3 dc1-gw1b: 1.0 s without an answer, 0 of 100 writes lost; as promised" in err
    for words in (
        "gateway dc1-gw1a; dc1-gw1b, 3 times", "median 1.2 s, worst 1.9 s (computed 1.3 s)", "2.0 s (timers: standard",
        "300 acknowledged, 0 of them lost", "0 times in 900 answers",
    ):  # fmt: skip
        assert words in out
    assert max(map(len, out.splitlines())) <= 100
    assert len(list(tmp_path.glob(".kumiai/drills/demo/*.json"))) == 3


def test_machines_get_every_run_with_median_and_worst(said: Said) -> None:
    _, out, _ = said([after(0, down_s=1.9), after(1, down_s=1.0)], "--repeat", "2", "--json")
    found = json.loads(out)
    assert (found["median"]["down_s"], found["worst"]["down_s"], found["passed"]) == (1.45, 1.9, True)
    assert [run["down_s"] for run in found["runs"]] == [1.9, 1.0]
    _, out, _ = said([RESULT], "--json")
    assert json.loads(out)["subject"] == "dc1-gw1a", "a single one is its result itself"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (after(1, writes_lost=2, findings=("2 acknowledged writes are missing",)), "dc1-gw1a: 2 acknowledged writes"),
        (after(1, split_brain=1, findings=("two machines held it",)), "dc1-gw1a: two machines held it"),
        (OperationError("not whole after the repair"), "not whole after the repair"),
    ],
)
def test_nothing_more_is_broken_after_the_worst(said: Said, second: Result | Exception, reason: str) -> None:
    status, out, err = said([RESULT, second, RuntimeError("must not be made")], "--repeat", "3")
    assert status != 0
    assert reason in err
    assert f"{200 if isinstance(second, Result) else 100} acknowledged" in out, "what was found before is told"
    if isinstance(second, Result):
        assert "ended after 2 of 3: nothing more is broken on purpose" in err


def test_one_that_is_too_slow_is_told_and_the_others_are_made(said: Said) -> None:
    slow = after(1, down_s=9.0, findings=("9.0 s without an answer, longer than the computed 1.3 s",))
    status, out, err = said([RESULT, slow, after(2)], "--repeat", "3")
    assert status != 0
    assert "2/3: 9.0 s without an answer, longer than the computed 1.3 s" in out
    assert "3/3 dc1-gw1a" in err


def test_the_count_is_bounded(said: Said) -> None:
    for count in ("0", "21"):
        assert said([], "--repeat", count)[0] == 2

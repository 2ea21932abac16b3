"""Results of drills on disk."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib

import pytest

from infra.drills import records
from infra.drills.model import Result
from network.errors import InputError

RESULT = Result(
    stack="demo",
    kind="gateway",
    subject="dc1-gw1a",
    fault="power lost",
    at=datetime.datetime(2026, 4, 1, 9, 30, tzinfo=datetime.UTC),
    client="nishiki/mynumber → juki",
    timers="standard",
    accelerator="kvm",
    down_s=1.2,
    restored_s=0.1,
    returned_s=40.0,
    write_gap_s=1.4,
    computed_s=1.28,
    target_s=2.0,
    connections_broken=0,
    writes_acknowledged=100,
    writes_lost=0,
    took_over="dc1-gw1b",
    split_brain=0,
    samples=300,
    findings=(),
)


def test_a_result_is_read_as_it_was_kept(tmp_path: pathlib.Path) -> None:
    later = dataclasses.replace(RESULT, at=RESULT.at + datetime.timedelta(days=1), findings=("lost",))
    records.keep(tmp_path, later)
    path = records.keep(tmp_path, RESULT)
    assert path == tmp_path / ".kumiai/drills/demo/20260401T093000Z-gateway-dc1-gw1a.json"
    assert records.read(tmp_path, "demo") == (RESULT, later)
    assert records.read(tmp_path, "other") == ()
    document = json.loads(path.read_text())
    assert (document["format"], document["passed"], document["at"]) == (1, True, "2026-04-01T09:30:00+00:00")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stack": "demo"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: pathlib.Path, text: str) -> None:
    folder = tmp_path / ".kumiai/drills/demo"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json: not the result of a drill"):
        records.read(tmp_path, "demo")

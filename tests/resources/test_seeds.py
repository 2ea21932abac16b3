from __future__ import annotations

import dataclasses
import pathlib
import shutil
import stat
from typing import Any

import pytest

from infra.image import cloud_init
from infra.resources import seeds
from network import errors
from tests.resources import examples

PLAN = examples.demo_plan()
SECRETS = examples.demo_secrets()


def digest_of(name: str, **changes: object) -> str:
    node = dataclasses.replace(PLAN.node_by_name[name], **changes)  # type: ignore[arg-type]
    return seeds.digest(seeds.node_seed(PLAN, node, SECRETS), node.image, node.host)


def test_the_digest_follows_every_value_of_the_first_boot() -> None:
    base = digest_of("juki-ap1")
    assert base == digest_of("juki-ap1")
    assert base != digest_of("juki-ap2")
    for change in ({"image": "trixie-other"}, {"host": "kvm03"}, {"generation": 2}):
        assert digest_of("juki-ap1", **change) != base
    seed = seeds.node_seed(PLAN, PLAN.node_by_name["juki-ap1"], SECRETS)
    for field in dataclasses.fields(seed):
        changed: Any = {field.name: f"{getattr(seed, field.name)}x"}
        other = dataclasses.replace(seed, **changed)
        assert seeds.digest(other, examples.IMAGE, PLAN.node_by_name["juki-ap1"].host) != base, field.name


def test_the_digest_does_not_follow_how_the_files_are_worded(monkeypatch: pytest.MonkeyPatch) -> None:
    base = digest_of("juki-ap1")
    monkeypatch.setattr(cloud_init, "user_data", lambda _: "#cloud-config\n# worded anew\n")
    assert digest_of("juki-ap1") == base


def test_a_node_without_a_key_is_an_error_that_says_what_to_do() -> None:
    bare = dataclasses.replace(SECRETS, hosts={})
    with pytest.raises(errors.InputError, match="juki-ap1: no SSH host key yet; run `kumiai up demo`"):
        seeds.node_seed(PLAN, PLAN.node_by_name["juki-ap1"], bare)


@pytest.mark.skipif(shutil.which("genisoimage") is None, reason="needs genisoimage")
def test_disks_are_private_and_hold_the_files_of_nocloud(tmp_path: pathlib.Path) -> None:
    made = seeds.make(PLAN, "dc1", SECRETS, tmp_path)
    assert set(made) == {node.name for node in PLAN.nodes}
    path = made["juki-ap1"].path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert content[32769:32774] == b"CD001"
    assert b"cidata" in content
    assert SECRETS.hosts["juki-ap1"].public.encode() in content
    assert SECRETS.hosts["juki-ap2"].public.encode() not in content
    assert [p for p in tmp_path.iterdir() if p.suffix != ".iso"] == [], "the files that went into it are gone"


def test_without_keys_disks_have_no_digest_and_are_not_written(tmp_path: pathlib.Path) -> None:
    made = seeds.make(PLAN, "dc1", None, tmp_path)
    assert {seed.digest for seed in made.values()} == {seeds.UNKNOWN}
    assert list(tmp_path.iterdir()) == []

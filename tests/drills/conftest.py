"""The stack that drills are tried on."""

from __future__ import annotations

import pathlib

import pytest

import infra.plan
from infra.plan import lock
from tests.network.render import demo


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The demo stack with its lock."""
    found = tmp_path_factory.mktemp("stacks") / "demo.yaml"
    found.write_text(demo.STACK.read_text(encoding="utf-8"), encoding="utf-8")
    lock.write(found, infra.plan.compute(found, demo.AS_OF).lock_text)
    return found

"""Planning and loading, which need no machine."""

from __future__ import annotations

import datetime
import json
import pathlib
import sys
import tempfile
import time

import yaml

import infra.plan
from infra.declaration.load import load
from tests.bench import timing
from tests.declaration import big_stack
from tests.plan import factory

KUMIAI = str(pathlib.Path(sys.executable).with_name("kumiai"))
START_UP = (sys.executable, "-c", "import typer, rich.console, pydantic, yaml, jinja2, netaddr")
"""The peer of a command: the same libraries imported, nothing done."""


def group_of_six() -> factory.Data:
    """Return six members and 40 machines: two shared services and two of each member's own."""
    pair = {
        "application": {"count": 2, "vcpus": 2, "memory_gib": 2, "disk_gib": 10},
        "database": {"count": 2, "vcpus": 2, "memory_gib": 4, "disk_gib": 50},
    }
    single = {"application": {"count": 1, "vcpus": 1, "memory_gib": 2, "disk_gib": 10}}
    return factory.data(
        6,
        services=[
            factory.service("juki", "multi_tenant", "mynumber", nodes=pair),
            factory.service("conveni", "multi_tenant", "lgwan", nodes=pair),
            factory.service("zaimu", "mixed", "lgwan", nodes=pair),
            factory.service("jinji", "mixed", "lgwan", nodes=single),
        ],
        hosts=8,
        availability={"spare_hosts": 1},
    )


def bench_plan(folder: pathlib.Path) -> None:
    """``kumiai plan --json`` of six members, start-up included."""
    path = folder / "six.yaml"
    path.write_text(json.dumps(group_of_six(), ensure_ascii=False), encoding="utf-8")
    computed = infra.plan.compute(path, datetime.date(2026, 4, 1))
    own, peer, ratio = timing.beside((KUMIAI, "plan", str(path), "--json"), START_UP)
    one = timing.run((KUMIAI, "plan", str(path), "--json"))
    what = f"plan: 6 members, {len(computed.plan.nodes)} machines, start-up included"
    timing.line(what, f"{own:.2f} s, {one.memory_mib:.0f} MiB", "< 1.5 s (first fit meets the bound: < 1 s)")
    timing.line("  beside importing the same libraries", f"{peer:.2f} s, ratio {ratio:.2f}", "-")


def bench_load(folder: pathlib.Path) -> None:
    """A stack file of 2,000 services, beside PyYAML's own loader on the same file."""
    path = folder / "big.yaml"
    path.write_text(big_stack.text(2000), encoding="utf-8")
    begun = time.perf_counter()
    load(path)
    own = time.perf_counter() - begun
    begun = time.perf_counter()
    yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    peer = time.perf_counter() - begun
    timing.line("load: a stack file of 2,000 services", f"{own:.2f} s", "< 2 s")
    timing.line("  beside PyYAML (C) on the same file, no checks", f"{peer:.2f} s, ratio {own / peer:.1f}", "-")


def main() -> None:
    """Run both."""
    with tempfile.TemporaryDirectory() as name:
        bench_plan(pathlib.Path(name))
        bench_load(pathlib.Path(name))

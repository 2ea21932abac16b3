"""One of a pair breaks, or both do: what is done, in which order, and what is told."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

import infra.plan
from infra.drills import faults, gateway, holding, node, pair, watching
from infra.drills.faults import Fault
from infra.drills.holding import Sample, Samples
from infra.drills.model import Knock, Result, Seen, Write
from infra.drills.scene import Scene
from infra.hosts import access
from infra.plan.model import Plan
from tests.network.render import demo

ONE, TWO = "dc1-gw1a", "dc1-gw1b"


class Pretended:
    """Two machines, of which the second one takes over as soon as the first one breaks."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.samples = Samples((ONE, TWO))
        self.answer(ONE, held=True)
        self.answer(TWO, held=False)
        self.boots = 0

    def answer(self, node: str, *, held: bool) -> None:
        now = time.monotonic()
        self.samples.by_node[node].append(Sample(asked=now, answered=now, held=held))

    def renew(self, node: str) -> None:
        self.done.append(f"ask {node} anew")

    @contextlib.contextmanager
    def ready(self, scene: Scene, fault: Fault, nodes: Any) -> Iterator[Any]:
        def strike() -> None:
            self.done.append(f"{fault} {'+'.join(nodes)}")
            if len(nodes) == 1:
                self.answer(TWO, held=True)

        try:
            yield strike
        finally:
            self.done.append("repaired")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    found = Pretended()

    @contextlib.contextmanager
    def watch(plan: Plan, post: watching.Post, authority: str) -> Iterator[Any]:
        class Watch:
            def end(self) -> Seen:
                now = time.monotonic()
                write = Write(number=0, begun=now, ended=now, acknowledged=True, why="")
                knocks = tuple(Knock(at=now - tenth / 10, opened=True) for tenth in range(100))
                return Seen(knocks=knocks, writes=(write,), talks=(), kept=frozenset({0}))

        yield Watch()

    def boot_of(self: Scene, node: str) -> str:
        found.boots += 1
        return str(found.boots)

    monkeypatch.setattr(watching, "watch", watch)
    monkeypatch.setattr(faults, "ready", found.ready)
    monkeypatch.setattr(holding, "sampling", lambda shell, nodes, address: contextlib.nullcontext(found))
    monkeypatch.setattr(access, "accelerator", lambda plan, host: "tcg")
    monkeypatch.setattr(pair, "LINGER_S", 0.0)
    monkeypatch.setattr(Scene, "authority", lambda self, post: "")
    monkeypatch.setattr(Scene, "boot_of", boot_of)
    monkeypatch.setattr(Scene, "await_commands", lambda self, node: found.done.append(f"{node} answers"))
    monkeypatch.setattr(Scene, "await_whole", lambda self, nodes, when: found.done.append(f"whole {when}"))
    return found


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The demo stack with timers that let nobody wait."""
    found = infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan
    quick = dataclasses.replace(found.network.timers, vrrp_advert_s=0.01)
    return dataclasses.replace(found, network=dataclasses.replace(found.network, timers=quick))


def lost(plan: Plan, fault: Fault, *, twice: bool = False, kind: Any = gateway) -> Result:
    scene = Scene(
        plan=plan,
        shell=None,  # type: ignore[arg-type]  # nobody asks a machine here
        hosts={},
        secrets={},
        stack_file=pathlib.Path("x.yaml"),
        progress=lambda text: None,
    )
    return kind.drill(scene, None, fault, twice=twice)  # type: ignore[no-any-return]


def test_the_holder_breaks_is_repaired_and_the_pair_is_whole(pretended: Pretended, plan: Plan) -> None:
    result = lost(plan, Fault.POWER)
    assert pretended.done == [
        "whole before anything is broken", f"power {ONE}", "repaired", f"{ONE} answers", f"ask {ONE} anew",
        "whole after the repair",
    ]  # fmt: skip
    assert (result.kind, result.subject, result.took_over) == ("gateway", ONE, TWO)
    assert result.computed_s is not None
    assert result.findings == ()


def test_two_holders_are_a_finding(pretended: Pretended, plan: Plan) -> None:
    strike = pretended.answer

    def both(node: str, *, held: bool) -> None:
        strike(node, held=held)
        for name in (ONE, TWO):
            for _ in range(2):
                strike(name, held=True)
                time.sleep(0.01)
            strike(name, held=True)
        strike(ONE, held=True)

    pretended.answer = both  # type: ignore[method-assign]
    result = lost(plan, Fault.FREEZE_KEEPALIVED)
    assert result.split_brain == 1
    assert any("two machines held" in finding for finding in result.findings)


def test_of_both_at_once_nothing_but_the_data_is_promised(pretended: Pretended, plan: Plan) -> None:
    result = lost(plan, Fault.POWER, twice=True)
    assert f"power {ONE}+{TWO}" in pretended.done
    assert (result.subject, result.computed_s, result.target_s) == (f"{ONE}+{TWO}", None, None)
    assert (result.took_over, result.findings) == ("nobody", ())


def test_of_both_application_nodes_at_once_nothing_but_the_data_is_promised(pretended: Pretended, plan: Plan) -> None:
    one, two = plan.network.vip_by_name["service/juki"].nodes
    pretended.samples = Samples((one, two))
    pretended.answer(one, held=True)
    result = lost(plan, Fault.POWER, twice=True, kind=node)
    assert f"power {one}+{two}" in pretended.done
    assert pretended.done[-1] == "whole after the repair"
    assert (result.kind, result.subject, result.computed_s, result.target_s) == ("node", f"{one}+{two}", None, None)
    assert result.findings == ()

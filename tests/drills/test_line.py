"""A line is cut, or main and backup are: against a pretended lab in which the backup carries a second after the cut."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Iterator

import pytest

import infra.plan
from infra.drills import line, watching
from infra.drills.faults import Fault
from infra.drills.model import Knock, Result, Seen, Write
from infra.drills.scene import Scene
from infra.hosts import access
from infra.lab import faults, traffic
from infra.lab.traffic import Traffic
from infra.plan.model import Plan
from tests.network.render import demo

MAIN, BACKUP = "nishiki-main", "nishiki-backup"
DETECTED_S = 1.0
STEP_S = 0.1


class Lab:
    """A clock, in whose steps a client knocks and writes, and the line that carries it counts."""

    def __init__(self) -> None:
        self.now, self.cut_at = 1000.0, dict[str, float]()
        self.packets = {MAIN: 0, BACKUP: 0}
        self.knocks: list[Knock] = []
        self.done: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            carries = self.carries()
            self.knocks.append(Knock(at=self.now, opened=carries is not None))
            if carries is not None:
                self.packets[carries] += 1

    def carries(self) -> str | None:
        if MAIN not in self.cut_at:
            return MAIN
        over = BACKUP not in self.cut_at and self.now - self.cut_at[MAIN] > DETECTED_S
        return BACKUP if over else None

    def cut(self, plan: Plan, name: str) -> None:
        self.done.append(f"cut {name}")
        self.cut_at[name] = self.now

    def restore(self, plan: Plan, name: str) -> None:
        self.done.append(f"restore {name}")
        del self.cut_at[name]

    def traffic(self, stack: str) -> tuple[Traffic, ...]:
        return tuple(
            Traffic(line=name, zone="mynumber", packets_up=count, bytes_up=0, packets_down=0, bytes_down=0)
            for name, count in self.packets.items()
        )


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    found = Lab()

    @contextlib.contextmanager
    def watch(plan: Plan, post: watching.Post, authority: str) -> Iterator[object]:
        class Watch:
            def end(self) -> Seen:
                writes = tuple(
                    Write(number=number, begun=knock.at, ended=knock.at, acknowledged=knock.opened, why="")
                    for number, knock in enumerate(found.knocks)
                )
                kept = frozenset(write.number for write in writes if write.acknowledged)
                return Seen(knocks=tuple(found.knocks), writes=writes, talks=(), kept=kept)

        yield Watch()

    monkeypatch.setattr(line, "time", found)
    monkeypatch.setattr(watching, "watch", watch)
    monkeypatch.setattr(faults, "cut", found.cut)
    monkeypatch.setattr(faults, "restore", found.restore)
    monkeypatch.setattr(traffic, "traffic", found.traffic)
    monkeypatch.setattr(access, "accelerator", lambda plan, host: "tcg")
    monkeypatch.setattr(Scene, "authority", lambda self, post: "")
    return found


def drilled(*, twice: bool) -> Result:
    scene = Scene(
        plan=infra.plan.compute(demo.STACK, datetime.date(2026, 4, 1)).plan,
        shell=None,  # type: ignore[arg-type]  # nobody asks a machine here
        hosts={},
        secrets={},
        stack_file=pathlib.Path("x.yaml"),
        progress=lambda text: None,
    )
    return line.drill(scene, "nishiki", Fault.CUT, twice=twice)


def test_the_backup_carries_while_the_main_line_is_cut_and_not_afterwards(lab: Lab) -> None:
    result = drilled(twice=False)
    assert lab.done == [f"cut {MAIN}", f"restore {MAIN}"]
    assert (result.took_over, result.findings) == (BACKUP, ())
    assert DETECTED_S <= result.down_s <= DETECTED_S + 2 * STEP_S
    assert result.computed_s is not None


def test_with_both_lines_cut_the_service_stops_and_nothing_but_the_data_is_promised(lab: Lab) -> None:
    result = drilled(twice=True)
    assert lab.done == [f"cut {MAIN}", f"cut {BACKUP}", f"restore {BACKUP}", f"restore {MAIN}"]
    assert (result.subject, result.took_over) == (f"{MAIN}+{BACKUP}", "nobody")
    assert (result.computed_s, result.target_s, result.findings) == (None, None, ())
    assert result.down_s > 5, "it stays down until the repair"
    assert result.writes_lost == 0
    assert result.writes_acknowledged > 0


def test_a_backup_that_does_not_carry_is_found(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "carries", lambda self: None if MAIN in self.cut_at else MAIN)
    result = drilled(twice=False)
    assert result.took_over == "nobody"
    assert "traffic had not recovered when the line was restored" in result.findings

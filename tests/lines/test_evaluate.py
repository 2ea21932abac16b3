"""What was measured on a line against what was planned; nothing is measured here."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address

import pytest

from infra.lines.evaluate import evaluate
from infra.lines.model import Measured, Path, Target, paths
from tests.lab_unit import gateways
from tests.lab_unit.small import small_plan

MAIN = Path(
    member="nishiki",
    office="honcho",
    zone="mynumber",
    line="nishiki-main",
    role="main",
    line_class="guaranteed",
    mbps=100,
    site="dc1",
    targets=(Target(service="juki", address=IPv4Address("172.16.1.40"), port=443),),
)
BACKUP = dataclasses.replace(MAIN, line="nishiki-backup", role="backup", line_class="best_effort", mbps=50)
CARRYING = Measured(
    office_known=True,
    services_known=True,
    office_route=True,
    carries=True,
    response_ms=2.5,
    silent=(),
    mbps_up=95.0,
    mbps_down=95.0,
    cuts=(),
)
STILL = dataclasses.replace(CARRYING, carries=False, response_ms=None)
GONE = dataclasses.replace(STILL, office_known=False, office_route=False, mbps_up=None, mbps_down=None)
NO_ROUTE = ("the carrier has no route to the office", "the office has no route over this line")


def findings(main: Measured, backup: Measured, *, targets: bool = True) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pair = [path if targets else dataclasses.replace(path, targets=()) for path in (MAIN, BACKUP)]
    first, second = evaluate(pair, dict(zip(pair, (main, backup), strict=True)))
    return first.findings, second.findings


def changed(measured: Measured, **values: object) -> Measured:
    return dataclasses.replace(measured, **values)  # type: ignore[arg-type]


def test_the_main_line_carries_and_the_backup_stands_by() -> None:
    assert findings(CARRYING, STILL) == ((), ())


@pytest.mark.parametrize(
    ("main", "backup", "expected"),
    [
        pytest.param(GONE, CARRYING, (NO_ROUTE, ()), id="the main line is gone, the backup does its work"),
        pytest.param(
            changed(GONE, cuts=("access",)),
            CARRYING,
            (("cut in the lab at the access", *NO_ROUTE), ()),
            id="and the lab says where it cut it",
        ),
        pytest.param(CARRYING, GONE, ((), NO_ROUTE), id="no backup"),
        pytest.param(
            GONE, GONE, ((*NO_ROUTE, "no line carries this LAN's traffic"), NO_ROUTE), id="the office is alone"
        ),
        pytest.param(
            STILL,
            CARRYING,
            (
                ("carries nothing, although the office has a route over it",),
                ("carries traffic while nishiki-main is there",),
            ),
            id="the wrong line is preferred",
        ),
        pytest.param(
            changed(CARRYING, office_known=False), STILL, (NO_ROUTE[:1], ()), id="the carrier knows no way back"
        ),
        pytest.param(
            changed(STILL, services_known=False, office_route=False),
            CARRYING,
            (("the carrier has no route to the services: the gateways announce none here", NO_ROUTE[1]), ()),
            id="the hand-off is dead",
        ),
        pytest.param(
            changed(CARRYING, silent=("juki",), response_ms=None),
            STILL,
            (("juki does not answer",), ()),
            id="a silent service",
        ),
        pytest.param(
            changed(CARRYING, mbps_up=79.0),
            STILL,
            (("79 Mbit/s up, less than 80 of the 100 contracted",), ()),
            id="a guaranteed line is slow one way",
        ),
        pytest.param(
            CARRYING,
            changed(STILL, mbps_up=None, mbps_down=None),
            ((), ("a transfer between the office and the carrier failed",)),
            id="even best effort lets something through",
        ),
        pytest.param(changed(CARRYING, mbps_down=80.0), STILL, ((), ()), id="headers and the start of a transfer"),
        pytest.param(CARRYING, changed(STILL, mbps_up=3.0, mbps_down=3.0), ((), ()), id="best effort promises no rate"),
    ],
)
def test_findings(main: Measured, backup: Measured, expected: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    assert findings(main, backup) == expected


def test_a_lan_without_services_needs_no_carrying_line() -> None:
    assert findings(STILL, STILL, targets=False) == ((), ())


def test_two_sites_are_two_tests() -> None:
    second = dataclasses.replace(MAIN, line="nishiki-second", site="dc2")
    rows = evaluate([MAIN, second], {MAIN: CARRYING, second: CARRYING})
    assert [row.findings for row in rows] == [(), ()]


def test_what_cannot_be_measured_is_a_finding() -> None:
    (row,) = evaluate([MAIN], {})
    assert row.measured is None
    assert row.findings == ("cannot be measured from here: no host of dc1 is simulated",)


def test_paths_are_every_lan_over_every_line_of_its_member_and_zone() -> None:
    plan = gateways.with_services(small_plan())
    found = paths(plan.network)
    assert [(path.lan, path.line) for path in found] == [
        (f"{member}/honcho {zone}", f"{member}-{role}")
        for member in ("nishiki", "tsuno")
        for zone in ("mynumber", "lgwan")
        for role in ("main", "backup")
    ]
    assert {(path.zone, str(target.address)) for path in found for target in path.targets} == {
        ("mynumber", "172.16.1.40"),
        ("lgwan", "172.16.2.40"),
    }

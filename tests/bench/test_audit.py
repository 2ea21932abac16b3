"""What the measurement of the audit rests on, at a small size: nothing here is measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from infra.audit import check
from tests.bench import audit as bench
from tests.bench import growth, netpol
from tests.bench.audit import Size


def test_the_group_is_as_announced() -> None:
    plan = bench.group(Size(members=3))
    assert len(plan.network.endpoints) == 3 * 3
    found = check.audit_declared(plan, dict.fromkeys(plan.members, "alpha"))
    offices = {endpoint.name for endpoint in found.endpoints if endpoint.kind == "office"}
    assert offices == {f"office:m{number}/{zone}" for number in (1, 2, 3) for zone in ("mynumber", "lgwan", "internet")}
    reached = {pair.target for pair in found.pairs if pair.source in offices}
    assert len(reached) == 3 * 3, "each office reaches the service of its own zone, and nothing else"
    assert found.verdict == "pass"


def test_a_group_grows_in_what_its_size_says() -> None:
    plan = bench.group(Size(members=2, zones=1, services_per_zone=2, ports=3))
    assert (len(plan.members), {segment.zone for segment in plan.network.segments}) == (2, {None, "mynumber"})
    assert len(plan.network.endpoints) == 2 * 2
    offered = {tuple((port.first, port.last) for port in endpoint.listen) for endpoint in plan.network.endpoints}
    assert offered == {((443, 443), (445, 445), (447, 447))}, "ports that lie apart"


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_that_power(power: float) -> None:
    points = tuple((x, 7 * x**power) for x in (10.0, 31.0, 100.0, 200.0))
    assert growth.Curve(title="members", level="rules", points=points).exponent == pytest.approx(power)


def test_the_picture_has_every_point_and_asks_nobody_for_anything() -> None:
    curves = [
        growth.Curve(title=title, level=level, points=((10.0, 0.5), (100.0, 5.0)))
        for title in ("members", "rules")
        for level in ("declared", "rules")
    ]
    text = growth.drawing(curves)
    circles = [element for element in ET.fromstring(text).iter() if element.tag.endswith("}circle")]  # noqa: S314
    assert len(circles) == 2 * 2 * 2
    assert "exponent 1.00" in text
    assert text.count("http") == 1, "the namespace and no more"


def test_the_translated_declaration_denies_what_it_does_not_name() -> None:
    objects = list(netpol.manifests(netpol.declaration(1)))
    policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
    specs = [one["spec"] for one in policies]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in specs
    assert len(objects) - len(policies) == 3 + 3, "a workload for each office LAN and each service"
    assert len(policies) - 1 == (3 + 1) * 2, "three implied connections and one exception, for both ends"


def test_the_answers_are_read_alike() -> None:
    declared = netpol.declaration(1)
    plan = netpol.plan(declared)
    ours = netpol.answer_of_audit(plan, check.audit_declared(plan, {"m1": "alpha"}))
    printed = "\n".join(
        [
            *(
                f"default/office-m1-{zone}[Deployment] => default/service-{zone}-0-m1[Deployment] : TCP 443"
                for zone in ("mynumber", "lgwan", "internet")
            ),
            "default/service-mynumber-0-m1[Deployment] => default/service-lgwan-0-m1[Deployment] : TCP 8443,9000-9010",
        ]
    )
    assert netpol.answer_of(printed) == ours
    assert len(ours) == 3 + 2

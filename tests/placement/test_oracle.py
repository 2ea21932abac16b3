"""The planner against enumeration: same feasibility, same number of hosts, on everything small enough to enumerate."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from infra.placement import bounds, check, cp, exact, explain, model, planner
from infra.placement import site as sites
from tests.placement import build

KEYS = st.sampled_from([("a", False), ("b", False), (None, True), (None, False)])


@st.composite
def problems(
    draw: st.DrawFn,
) -> tuple[list[model.Node], list[model.Host], model.Rules, dict[str, str]]:
    keyed = draw(st.booleans())
    nodes = []
    for i in range(draw(st.integers(1, 5))):
        key, keyless = draw(KEYS) if keyed else (None, True)
        nodes.append(
            model.Node(
                name=f"n{i}",
                site="s",
                vcpus=draw(st.integers(1, 3)),
                memory_mib=draw(st.integers(1, 4)),
                storage_gib=draw(st.integers(1, 2)),
                key=key,
                keyless_host=keyless,
                zone=draw(st.sampled_from([None, "mynumber", "internet", "lgwan"])),
                allowed_hosts=draw(st.none() | st.none() | st.sets(st.sampled_from(["h0", "h1", "h2"])).map(frozenset)),
                replica_sets=tuple(draw(st.sets(st.sampled_from("xy")))),
                stateful=False,
            )
        )
    alike = draw(st.booleans())
    there = [
        model.Host(
            id=f"h{i}",
            site="s",
            chassis=draw(st.sampled_from([None, None, "A", "B"])),
            vcpus=6 if alike else draw(st.sampled_from([4, 6, 8])),
            memory_mib=6 if alike else draw(st.sampled_from([4, 6, 8])),
            storage_gib=6 if alike else draw(st.sampled_from([3, 6])),
        )
        for i in range(draw(st.integers(1, 4)))
    ]
    rules = model.Rules(
        spare_hosts=draw(st.sampled_from([0, 1, 1, 2])),
        after_loss=draw(st.sampled_from(["strict", "relaxed"])),
        zone_hosts=draw(st.sampled_from(["separate", "shared"])),
    )
    fixed = {n.name: draw(st.sampled_from(there)).id for n in nodes if draw(st.integers(0, 5)) == 0}
    return nodes, there, rules, fixed


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(problems())
def test_planner_equals_enumeration(
    problem: tuple[list[model.Node], list[model.Host], model.Rules, dict[str, str]],
) -> None:
    nodes, there, rules, fixed = problem
    expected = build.fewest_hosts(nodes, there, rules, fixed)
    if expected is None:
        with pytest.raises(model.PlacementError) as caught:
            planner.plan_placement(nodes, there, rules, fixed)
        assert caught.value.causes
        assert caught.value.cures
        return
    placement = planner.plan_placement(nodes, there, rules, fixed)
    assert placement.hosts_used == expected
    assert placement.lower_bound == expected
    assert placement.optimal
    assert build.legal(nodes, there, rules, placement.assignment, apart=True)
    assert build.survives(nodes, there, rules, placement.assignment)
    assert all(placement.assignment[name] == host for name, host in fixed.items())


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(problems())
def test_solver_alone_and_bounds_agree_with_enumeration(
    problem: tuple[list[model.Node], list[model.Host], model.Rules, dict[str, str]],
) -> None:
    nodes, there, rules, fixed = problem
    expected = build.fewest_hosts(nodes, there, rules, fixed)
    try:
        explain.require_usable_lock("s", nodes, there, rules, fixed)
    except model.PlacementError:
        assert expected is None
        return
    site = sites.compile_site("s", nodes, there, rules, fixed)
    decided, _, found = exact._halve(site, 0, len(there), has_answer=False, budget=cp.Budget(20))
    assert decided
    assert (None if found is None else len(set(found))) == expected, "without first fit, bounds and patterns"
    outcome = exact.solve(site, floor=0, ceiling=len(there), budget=cp.Budget(20))
    if expected is None:
        assert outcome.status is exact.Status.INFEASIBLE
        return
    assert outcome.status is exact.Status.OPTIMAL
    assert outcome.assignment is not None
    assert len(set(outcome.assignment)) == expected
    assert bounds.lower_bound(site) <= expected, "a bound above the optimum is no bound"
    assert bounds.find_shortages(site) == []


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(problems(), st.data())
def test_checker_equals_the_oracle(
    problem: tuple[list[model.Node], list[model.Host], model.Rules, dict[str, str]], data: st.DataObject
) -> None:
    nodes, there, rules, _ = problem
    at = {n.name: data.draw(st.sampled_from(there)).id for n in nodes}
    for apart in (True, False):
        clean = check.check(nodes, there, rules, at, apart=apart) == []
        assert clean == build.legal(nodes, there, rules, at, apart=apart)

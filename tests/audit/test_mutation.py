"""Every rule of every stack changed, one at a time: the audit fails whenever other packets pass than before.

A mutant is made in the listing that the kernel gave: a rule deleted, one of its matches removed, its verdict swapped,
an element of a set deleted, or one of its parts widened. Whether it lets other packets pass is told by the evaluator,
which tests/audit/test_kernel.py holds against the kernel. The mutants that change nothing are counted, and are few.
"""

from __future__ import annotations

import collections
import copy
import ipaddress
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from infra.audit import declared, expected, translations
from infra.audit.compare import Comparison
from infra.audit.filters import PLACES, Filtered
from infra.audit.topology import Topology
from infra.plan.model import Plan
from tests.audit import listings, test_translations
from tests.network.render import demo, test_outside, test_tunnels, tunnels

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")

STACKS = sorted(
    p.stem for p in demo.STACK.parent.glob("*.yaml") if p.suffixes == [".yaml"] and not p.stem.startswith("Pulumi")
)
PLANS: Mapping[str, Callable[[], Plan]] = {
    "outward": test_outside.plan,
    "tunnel": lambda: tunnels.planned(**test_tunnels.DECLARED),
    "translated": test_translations.both_ways,
}
"""Plans with what no stack of the project has: ways outside, a line through a tunnel, translated addresses."""
Mutant = tuple[str, Any]
"""What was done, and the listing afterwards."""


def mutants(listing: Any) -> Iterator[Mutant]:
    """Yield every mutant of a listing."""
    objects = listing["nftables"]
    for index, found in enumerate(objects):
        if "rule" in found:
            place = f"{found['rule']['chain']} {found['rule']['handle']}"
            yield f"{place}: deleted", {"nftables": objects[:index] + objects[index + 1 :]}
            for number, expression in enumerate(found["rule"]["expr"]):
                if "match" in expression:
                    yield f"{place}: match {number} removed", _changed(objects, index, number, None)
                for verdict, other in (("accept", "drop"), ("drop", "accept")):
                    if verdict in expression:
                        yield f"{place}: {verdict} to {other}", _changed(objects, index, number, {other: None})
        if "chain" in found and "policy" in found["chain"]:
            swapped = {**found["chain"], "policy": {"drop": "accept", "accept": "drop"}[found["chain"]["policy"]]}
            others = [*objects[:index], {"chain": swapped}, *objects[index + 1 :]]
            yield f"{found['chain']['name']}: policy {swapped['policy']}", {"nftables": others}
        if "set" in found:
            there = [_parts(element) for element in found["set"].get("elem", ())]
            for number, element in enumerate(found["set"].get("elem", ())):
                name = f"{found['set']['name']} element {number}"
                for what, parts in _elements(element, there):
                    changed = copy.deepcopy(found)
                    changed["set"]["elem"][number : number + 1] = parts
                    yield f"{name}: {what}", {"nftables": [*objects[:index], changed, *objects[index + 1 :]]}


def _changed(objects: Any, index: int, number: int, by: Any) -> Any:
    rule = copy.deepcopy(objects[index])
    rule["rule"]["expr"][number : number + 1] = [] if by is None else [by]
    return {"nftables": [*objects[:index], rule, *objects[index + 1 :]]}


def _parts(element: Any) -> list[Any]:
    inner = element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element
    return list(inner["concat"])


def _elements(element: Any, there: list[list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield what becomes of one element: nothing, or itself with one part widened; ``there`` are all of its set."""
    yield "deleted", []
    parts = _parts(element)
    for position, part in enumerate(parts):
        wider, more = _wider(part), _more(part)
        if wider is not None:
            known = [*parts[:position], more, *parts[position + 1 :]] in there
            what = f"part {position} widened{' to what is there' if known else ''}"
            yield what, [{"concat": [*parts[:position], wider, *parts[position + 1 :]]}]


def _more(part: Any) -> Any:
    """Return what :func:`_wider` adds, as it would be listed for itself; None for what is more than one value."""
    if isinstance(part, int):
        return part + 1 if part < 65535 else part - 1
    if isinstance(part, dict) and "prefix" in part:
        if part["prefix"]["len"] == 0:
            return None
        network = ipaddress.ip_network(f"{part['prefix']['addr']}/{part['prefix']['len']}")
        (other,) = (other for other in network.supernet().subnets() if other != network)
        return {"prefix": {"addr": str(other.network_address), "len": other.prefixlen}}
    if isinstance(part, str):
        try:
            return str(ipaddress.ip_address(int(ipaddress.ip_address(part)) ^ 1))
        except ValueError:
            return None
    return None


def _wider(part: Any) -> Any:
    if isinstance(part, int):
        return {"range": [part, part + 1]} if part < 65535 else {"range": [part - 1, part]}
    if isinstance(part, dict) and "prefix" in part:
        if part["prefix"]["len"] == 0:
            return None
        network = ipaddress.ip_network(f"{part['prefix']['addr']}/{part['prefix']['len']}").supernet()
        return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
    if isinstance(part, str):
        try:
            network = ipaddress.ip_network(f"{part}/31", strict=False)
        except ValueError:
            return "*"  # the name of a card
        return {"prefix": {"addr": str(network.network_address), "len": 31}}
    return None


def same(before: Filtered, after: Filtered) -> bool:
    """Say whether the same packets pass, and are rewritten alike: equal sets are one object."""
    if any(after.existing(place) is not before.existing(place) for place in PLACES):
        return False
    return translations.effective(after) == translations.effective(before)


class Stack:
    """A plan with all its rules, of which one machine's are exchanged."""

    def __init__(self, plan: Plan) -> None:
        allowed = declared.declared(plan.network).allowed
        self.topology = Topology(plan.network, allowed)
        self.allowed = expected.by_machine(self.topology.machines.values(), allowed)
        self.listings = listings.listings_of(plan.network)
        self.filtered = {
            machine.name: listings.filtered(machine, self.listings[machine.name].text or "")
            for machine in self.topology.machines.values()
        }

    def found(self, machine: str, filtered: Filtered) -> bool:
        compared = Comparison(self.topology, "rendered", {**self.filtered, machine: filtered}, self.allowed)
        result = compared.machine(machine)
        return bool(result.violations or result.missing)

    def mutants_of(self, machine: str) -> list[Mutant]:
        return list(mutants(json.loads(self.listings[machine].text or "")))

    def judge(self, machine: str, chosen: list[Mutant]) -> tuple[list[str], list[str]]:
        """Return the mutants that change what passes and were not found, and those that change nothing."""
        escaped, equivalent = [], []
        before = self.filtered[machine]
        for what, listing in chosen:
            after = listings.filtered(before.machine, json.dumps(listing))
            if same(before, after):
                equivalent.append(what)
            elif not self.found(machine, after):
                escaped.append(what)
        return escaped, equivalent


def test_the_unchanged_rules_of_the_demo_pass() -> None:
    stack = Stack(listings.plan("demo"))
    assert not any(stack.found(name, filtered) for name, filtered in stack.filtered.items())


@pytest.mark.parametrize("machine", ["dc1-gw1a", "juki-ap1"])
def test_every_change_of_the_demo_that_lets_other_packets_pass_is_found(machine: str) -> None:
    stack = Stack(listings.plan("demo"))
    chosen = stack.mutants_of(machine)
    if len(chosen) > 60:  # all of them stand in the soak test
        chosen = random.Random(20261122).sample(chosen, 60)  # noqa: S311 - the same ones every time
    escaped, equivalent = stack.judge(machine, chosen)
    assert escaped == []
    assert len(equivalent) < len(chosen) / 2, equivalent


@pytest.mark.soak
@pytest.mark.parametrize("name", [*STACKS, *PLANS])
def test_every_change_of_every_stack_that_lets_other_packets_pass_is_found(name: str) -> None:
    stack = Stack(PLANS[name]() if name in PLANS else listings.plan(name))
    total, unchanged = 0, collections.Counter[str]()
    for machine in stack.filtered:
        chosen = stack.mutants_of(machine)
        escaped, equivalent = stack.judge(machine, chosen)
        assert escaped == [], machine
        total += len(chosen)
        unchanged.update(_kind(what) for what in equivalent)
        assert [what for what in equivalent if not _may_change_nothing(what)] == [], machine
    print(f"{name}: {total} mutants of rules, {unchanged.total()} equivalent {dict(unchanged)}")
    assert total > 100
    assert unchanged.total() < total / 2


def _kind(what: str) -> str:
    """Return a mutant without its numbers."""
    return re.sub(r"[ \d]+", " ", what).strip()


def _may_change_nothing(what: str) -> bool:
    """Say whether a mutant is of a kind that other rules make up for.

    Those are rules over empty sets, what stands before a policy that drops too, and wider partners of connections that
    nobody can open. Who is known by name is kept from the public Internet only, which only some cards lead to: the same
    for any card is no change. Of the sets that open something, no element may be needless; wider by exactly what
    another element holds is no change.
    """
    partners = what.startswith(("partners ", "partners_outside ")) and "widened" in what
    any_card = what.startswith(("named_targets ", "named_sources ")) and what.endswith("part 0 widened")
    return "element" not in what or partners or any_card or what.endswith("widened to what is there")

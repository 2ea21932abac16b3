"""Machines that are alike are judged once: every answer is the one that each would get for itself."""

from __future__ import annotations

import functools
import json

import pytest

from infra.audit import alike, check, declared, expected, pairs
from infra.audit.alike import Shape
from infra.audit.topology import Topology
from infra.plan.model import Plan
from tests.audit import listings
from tests.bench import audit as bench

pytestmark = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")


@functools.cache
def plan() -> Plan:
    """Four members with a machine of their own in each of three zones."""
    return bench.group(bench.Size(members=4))


@functools.cache
def shapes() -> dict[str, Shape]:
    network = plan().network
    allowed = declared.declared(network).allowed
    topology = Topology(network, allowed)
    mine = expected.by_machine(topology.machines.values(), allowed)
    found = {
        name: alike.shape(machine, given[name].text or "", mine[name])
        for given in [listings.listings_of(network)]
        for name, machine in topology.machines.items()
    }
    return {name: shape for name, shape in found.items() if shape is not None}


def test_hosts_of_different_members_are_alike_and_the_two_gateways_of_a_pair_are_not() -> None:
    hosts = {shape.key for name, shape in shapes().items() if name.endswith("-ap1")}
    assert len(hosts) < 12 / 2
    assert shapes()["dc1-gw1a"].key != shapes()["dc1-gw1b"].key, "the order of their own addresses differs"


def test_the_order_in_which_a_set_lists_its_elements_means_nothing_and_what_they_say_does() -> None:
    network = plan().network
    allowed = declared.declared(network).allowed
    machine = Topology(network, allowed).machines["dc1-gw1a"]
    listed = json.loads(listings.listings_of(network)[machine.name].text or "")
    sets = [one["set"] for one in listed["nftables"] if len(one.get("set", {}).get("elem", ())) > 1]

    def key() -> object:
        shape = alike.shape(machine, json.dumps(listed), allowed)
        assert shape is not None
        return shape.key

    before = key()
    for one in sets:
        one["elem"].reverse()
    assert key() == before
    sets[0]["elem"].pop()
    assert key() != before


def test_what_a_machine_opens_is_the_same_whether_it_is_judged_for_itself_or_by_a_twin() -> None:
    network = plan().network
    topology = Topology(network, declared.declared(network).allowed)
    given = listings.listings_of(network)
    own = {name: pairs.opening(listings.filtered(topology.machines[name], given[name].text or "")) for name in shapes()}
    compared = 0
    for name, shape in shapes().items():
        for twin, other in shapes().items():
            if twin != name and other.key == shape.key:
                for part in ("taken", "passed", "sent"):
                    wanted = getattr(own[name], part) & alike._IPV4
                    assert alike.moved(getattr(own[twin], part), other, shape) is wanted, (name, twin, part)
                compared += 1
    assert compared > 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (". 443 comment", ". 444 comment"),
        ("10.3.16.0/20", "10.2.16.0/20"),
        ("10.3.16.0/20", "10.3.16.0/19"),
        ("policy drop", "policy accept"),
    ],
)
def test_one_that_differs_from_its_twins_is_found(old: str, new: str) -> None:
    name = "lgwan-0-m3-ap1"
    found = check.audit_rules(plan(), listings.listings_of(plan().network, (name, old, new)))
    named = {(v.rule or "").partition(":")[0] for v in found.violations} | {m.path[1].split()[0] for m in found.missing}
    if new == "policy accept":
        assert found.verdict == "pass", "the rules before it drop everything that is not declared"
        assert {one.machine for one in found.unused_rules} <= {name}
    else:
        assert named == {name}

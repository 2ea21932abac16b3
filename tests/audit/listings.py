"""Rules of whole stacks as the kernel lists them, made once a test run, and single rule files."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Mapping, Sequence

import infra.plan
from infra.audit import declared, filters, sandbox
from infra.audit.filters import Filtered
from infra.audit.model import Listing
from infra.audit.nft import read
from infra.audit.nft.keys import Cards
from infra.audit.topology import Card, Machine, Topology
from infra.plan.model import Plan
from infra.process import probe
from network.model import NetworkPlan
from network.render import nftables, render_all
from tests.network.render import demo

SANDBOX = probe("unshare", "--user", "--map-root-user", "--net", "--mount", "true").ok
"""Whether rules can be loaded here at all."""


@functools.cache
def plan(stack: str = "demo") -> Plan:
    return infra.plan.compute(demo.STACK.with_name(f"{stack}.yaml"), demo.AS_OF).plan


@functools.cache
def listings(stack: str = "demo") -> Mapping[str, Listing]:
    return listings_of(plan(stack).network)


def texts(network: NetworkPlan) -> dict[str, str]:
    """Return the rule file of every machine."""
    return {name: files[nftables.RULES] for name, files in render_all(network).items()}


def listings_of(network: NetworkPlan, *changes: tuple[str, str, str]) -> Mapping[str, Listing]:
    """Return the rules of every machine; each change is a machine, a text of its file, and what stands there instead.

    Where the text stands several times, the last one is changed.
    """
    given = texts(network)
    for name, old, new in changes:
        before, there, after = given[name].rpartition(old)
        assert there, f"{name}: {old} does not stand in its rules"
        given[name] = f"{before}{new}{after}"
    found = sandbox.load_texts(given, {node.name: [card.name for card in node.interfaces] for node in network.nodes})
    assert not (refused := {name: listing.reason for name, listing in found.items() if not listing.text}), refused
    return found


@functools.cache
def topology(stack: str = "demo") -> Topology:
    return Topology(plan(stack).network, allowed(stack))


@functools.cache
def allowed(stack: str = "demo") -> tuple[declared.Allowed, ...]:
    return declared.declared(plan(stack).network).allowed


def filtered(machine: Machine, listing: str, now: datetime.datetime | None = None) -> Filtered:
    cards = Cards(card.name for card in machine.cards)
    return filters.filtered(machine, read.read(listing, cards, now), cards)


def router(cards: Sequence[str] = ("a", "b")) -> Machine:
    """A machine that forwards between cards without addresses."""
    return Machine(
        name="router",
        forwards=True,
        cards=tuple(Card(name=name, segment=name, addresses=(), own=()) for name in cards),
        routes=(),
    )


def listed(rules: str, cards: Sequence[str] = ("a", "b")) -> str:
    """Return ``rules`` as the kernel lists them; nft wants a line end between closing braces."""
    rules = rules.replace("} }", "}\n}")
    (found,) = sandbox.load_texts({"router": rules}, {"router": cards}).values()
    assert found.text is not None, found.reason
    return found.text


def judged(rules: str, cards: Sequence[str] = ("a", "b")) -> Filtered:
    """Return ``rules``, judged on a router."""
    return filtered(router(cards), listed(rules, cards))


IS_ROOT = os.geteuid() == 0

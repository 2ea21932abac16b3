"""Every part of the model changed, one at a time: rules rendered from it differ from the plan, and the audit says so.

Two kinds of mutants beside those of single rules (tests/audit/test_mutation.py). A card is moved to every other
segment: the declared level finds it, whatever address it has. And rules are rendered from a model that somebody
changed: wherever other packets pass or are translated than before, the audit against the plan finds it. What changes
nothing has equal files, or is proved by equal sets; it is listed by its kind. What no renderer would write is counted
apart.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import random
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from infra.audit import check, sandbox
from infra.audit.filters import Filtered
from infra.plan.model import Plan
from network import ports
from network.errors import OperationError
from network.model import NetworkNode, NetworkPlan
from tests.audit import listings
from tests.audit.test_mutation import PLANS, STACKS, Stack, same

Mutant = tuple[str, NetworkPlan]

MAY_CHANGE_NOTHING = {"flow timed": "the same packets pass on the day that is judged"}


# a card on another segment


def moves(network: NetworkPlan) -> Iterator[Mutant]:
    """Yield the network with each card on each other segment: with its address, and with one of that segment."""
    for node in network.nodes:
        for number, card in enumerate(node.interfaces):
            for segment in network.segments:
                if segment.name != card.segment:
                    theirs = IPv4Interface(f"{segment.prefix[-2]}/{segment.prefix.prefixlen}")
                    for addresses in (card.addresses, (theirs,)):
                        moved = dataclasses.replace(card, segment=segment.name, addresses=addresses)
                        what = f"{node.name}: {card.name} to {segment.name} as {addresses[0]}"
                        yield what, with_card(network, node, number, moved)


def with_card(network: NetworkPlan, node: NetworkNode, number: int, card: Any) -> NetworkPlan:
    cards = (*node.interfaces[:number], card, *node.interfaces[number + 1 :])
    return with_node(network, dataclasses.replace(node, interfaces=cards))


def with_node(network: NetworkPlan, node: NetworkNode) -> NetworkPlan:
    return dataclasses.replace(network, nodes=tuple(node if n.name == node.name else n for n in network.nodes))


def unseen(plan: Plan, chosen: Sequence[Mutant]) -> list[str]:
    """Return the moves that the declared level does not find, and those it does not name by machine and segment."""
    found = []
    for what, network in chosen:
        moved = dataclasses.replace(plan, network=network)
        audit = check.audit_declared(moved, dict.fromkeys(plan.members, "alpha"))
        node = what.partition(":")[0]
        if not any(v.kind == "misplaced_card" and (node in v.source or node in v.reason) for v in audit.violations):
            found.append(what)
    return found


def sample(mutants: Iterator[Mutant], most: int) -> list[Mutant]:
    chosen = list(mutants)
    return random.Random(20261122).sample(chosen, min(most, len(chosen)))  # noqa: S311 - the same ones every time


@pytest.mark.parametrize("name", ["demo", "per-municipality"])
def test_a_card_on_another_segment_is_found(name: str) -> None:
    plan = listings.plan(name)
    assert unseen(plan, sample(moves(plan.network), 60)) == []


def test_a_gateway_on_a_line_of_another_pair_is_found() -> None:
    plan = PLANS["translated"]()
    held = {node.name: node.segments for node in plan.network.nodes}
    assert "m1-main-mynumber" in held["dc1-gw1a"]
    assert "m1-main-mynumber" not in held["dc1-gw2a"]
    moved = [one for one in moves(plan.network) if one[0].startswith("dc1-gw2a: seg2 to m1-main-mynumber")]
    assert len(moved) == 2
    assert unseen(plan, moved) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", [*STACKS, *PLANS])
def test_every_card_on_every_other_segment_is_found(name: str) -> None:
    plan = PLANS[name]() if name in PLANS else listings.plan(name)
    chosen = list(moves(plan.network))
    print(f"{name}: {len(chosen)} moves of cards")
    assert len(chosen) > 50
    assert unseen(plan, chosen) == []


# rules of a model that somebody changed


def models(network: NetworkPlan) -> Iterator[Mutant]:
    """Yield the changed models, each with the kind of change before the colon."""
    yield from _flows(network)
    yield from _places(network)
    yield from _lines(network)
    yield from _cards(network)


def _each(network: NetworkPlan, field: str) -> Iterator[tuple[Any, Any]]:
    """Yield each item of a field, and a function that exchanges it for others."""
    items = getattr(network, field)
    for number, item in enumerate(items):

        def exchanged(*others: Any, number: int = number) -> NetworkPlan:
            changed = (*items[:number], *others, *items[number + 1 :])
            return dataclasses.replace(network, **{field: changed})  # type: ignore[arg-type]

        yield item, exchanged


def _flows(network: NetworkPlan) -> Iterator[Mutant]:
    members = sorted({lan.member for lan in network.offices})
    for flow, exchanged in _each(network, "flows"):
        name = f"{flow.source} -> {flow.target}"
        yield f"flow deleted: {name}", exchanged()
        for allow in flow.allow:
            rest = tuple(other for other in flow.allow if other != allow)
            wider = ports.PortRange(allow.protocol, allow.first, min(allow.last + 1, 65535))
            if allow.protocol != "icmp":
                yield f"port widened: {name}", exchanged(dataclasses.replace(flow, allow=(*rest, wider)))
                other = ports.PortRange("udp" if allow.protocol == "tcp" else "tcp", allow.first, allow.last)
                yield f"protocol changed: {name}", exchanged(dataclasses.replace(flow, allow=(*rest, other)))
        scheme, _, rest_ = flow.source.partition(":")
        if scheme == "office":
            member, _, zone = rest_.partition("/")
            for stranger in members:
                if stranger != member:
                    changed = dataclasses.replace(flow, source=f"office:{stranger}/{zone}")
                    yield f"flow of another member: {stranger}, {name}", exchanged(flow, changed)
        end = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        yield f"flow timed: {name}", exchanged(dataclasses.replace(flow, until=end))


def _places(network: NetworkPlan) -> Iterator[Mutant]:  # noqa: PLR0912 - one branch a kind of change
    members = sorted({lan.member for lan in network.offices})
    for lan, exchanged in _each(network, "offices"):
        (prefix, *others), name = lan.prefixes, f"{lan.member}/{lan.office}/{lan.zone}"
        beside = IPv4Network((int(prefix.network_address) ^ prefix.num_addresses, prefix.prefixlen))
        for what, other in (("widened", prefix.supernet()), ("beside", beside)):
            yield f"LAN {what}: {name}", exchanged(dataclasses.replace(lan, prefixes=(other, *others)))
        for zone in ("mynumber", "lgwan", "internet"):
            if zone != lan.zone:
                yield f"LAN of another zone: {name}", exchanged(lan, dataclasses.replace(lan, zone=zone))
        for member in members:
            if member != lan.member:
                yield f"LAN of another member: {name}", exchanged(lan, dataclasses.replace(lan, member=member))
    for endpoint, exchanged in _each(network, "endpoints"):
        more = dataclasses.replace(endpoint, participants=tuple(members))
        if more != endpoint:
            yield f"member added to endpoint: {endpoint.name}", exchanged(more)
        fewer = dataclasses.replace(endpoint, application=endpoint.application[1:])
        yield f"application node taken away: {endpoint.name}", exchanged(fewer)
    for vip, exchanged in _each(network, "vips"):
        next_ = IPv4Interface(f"{vip.address.ip + 1}/{vip.address.network.prefixlen}")
        yield f"virtual address changed: {vip.name}", exchanged(dataclasses.replace(vip, address=next_))
        if len(vip.nodes) > 1:
            yield f"virtual address of one only: {vip.name}", exchanged(dataclasses.replace(vip, nodes=vip.nodes[:1]))
    for site, address in network.stations.items():
        moved = {**network.stations, site: address + 1}
        yield f"station changed: {site}", dataclasses.replace(network, stations=moved)
    for one, exchanged in _each(network, "outsides"):
        wider = tuple(p.supernet() for p in one.prefixes if p.prefixlen)
        if wider:
            yield f"outside widened: {one.name}", exchanged(dataclasses.replace(one, prefixes=wider))


def _lines(network: NetworkPlan) -> Iterator[Mutant]:
    for line, exchanged in _each(network, "lines"):
        for zone in line.zones:
            fewer = tuple(z for z in line.zones if z != zone)
            yield f"zone of line taken away: {line.name} {zone}", exchanged(dataclasses.replace(line, zones=fewer))
        for number, handoff in enumerate(line.handoffs):
            name = handoff.segment
            for what, changed in _handoffs(handoff):
                hands = (*line.handoffs[:number], changed, *line.handoffs[number + 1 :])
                yield f"{what}: {name}", exchanged(dataclasses.replace(line, handoffs=hands))


def _handoffs(handoff: Any) -> Iterator[tuple[str, Any]]:
    if handoff.tunnel is None:
        yield "peer changed", dataclasses.replace(handoff, peer=handoff.peer + 1000)
        yield "routing changed", dataclasses.replace(handoff, routing="static" if handoff.routing == "bgp" else "bgp")
    else:
        tunnel = handoff.tunnel
        yield (
            "far end changed",
            dataclasses.replace(handoff, tunnel=dataclasses.replace(tunnel, peer=IPv4Address("192.0.2.99"))),
        )
        yield "tunnel left away", dataclasses.replace(handoff, tunnel=None, routing="bgp")
        yield (
            "inside changed",
            dataclasses.replace(handoff, tunnel=dataclasses.replace(tunnel, inner=tuple(reversed(tunnel.inner)))),
        )
    yield "bfd", dataclasses.replace(handoff, bfd=not handoff.bfd)


def _cards(network: NetworkPlan) -> Iterator[Mutant]:
    for node in network.nodes:
        for number, card in enumerate(node.interfaces):
            own = card.address
            next_ = (IPv4Interface(f"{own.ip + 40}/{own.network.prefixlen}"),)
            yield (
                f"address of card: {node.name} {card.name}",
                with_card(network, node, number, dataclasses.replace(card, addresses=next_)),
            )
            for other in range(number + 1, len(node.interfaces)):
                names = [c.name for c in node.interfaces]
                names[number], names[other] = names[other], names[number]
                cards = tuple(dataclasses.replace(c, name=n) for c, n in zip(node.interfaces, names, strict=True))
                what = f"names of cards exchanged: {node.name} {card.name} {names[number]}"
                yield what, with_node(network, dataclasses.replace(node, interfaces=cards))


@dataclasses.dataclass(kw_only=True)
class Judged:
    escaped: list[str] = dataclasses.field(default_factory=list)
    equivalent: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)
    unwritten: list[str] = dataclasses.field(default_factory=list)
    """Those that no rule of any machine says anything about: the files are the same to the letter."""
    found: int = 0

    @property
    def words(self) -> str:
        others = (self.escaped, self.equivalent, self.unwritten, self.refused)
        escaped, equivalent, unwritten, refused = (_kinds(whats) for whats in others)
        return (
            f"{self.found + sum(map(len, others))} models: {self.found} found, escaped: {escaped}, equal sets: "
            f"{equivalent}, equal files: {unwritten}, nobody would render: {refused}"
        )


def _kinds(whats: Sequence[str]) -> str:
    counted = collections.Counter(what.partition(":")[0] for what in whats)
    return f"{len(whats)} ({', '.join(f'{kind} {count}' for kind, count in counted.items()) or 'none'})"


def judge(stack: Stack, chosen: Sequence[Mutant]) -> Judged:
    """Render each model and compare what differs with the plan."""
    result = Judged()
    network = stack.topology.network
    before = listings.texts(network)
    cards = {node.name: [card.name for card in node.interfaces] for node in network.nodes}
    for what, changed in chosen:
        try:
            texts = listings.texts(changed)
        except (OperationError, KeyError, ValueError):
            result.refused.append(what)
            continue
        differing = {name: text for name, text in texts.items() if _rules(text) != _rules(before[name])}
        if not differing:
            result.unwritten.append(what)
            continue
        loaded = sandbox.load_texts(differing, cards)
        if not all(one.text for one in loaded.values()):
            result.refused.append(what)
            continue
        after: dict[str, Filtered] = {
            name: listings.filtered(stack.topology.machines[name], one.text or "") for name, one in loaded.items()
        }
        different = [name for name, one in after.items() if not same(stack.filtered[name], one)]
        if not different:
            result.equivalent.append(what)
        elif any(stack.found(name, after[name]) for name in different):
            result.found += 1
        else:
            result.escaped.append(what)
    return result


def _rules(text: str) -> list[str]:
    """Return a rule file without what is for people."""
    return [line.partition(' comment "')[0].rstrip(" ,") for line in text.splitlines() if "# " not in line]


needs_sandbox = pytest.mark.skipif(not listings.SANDBOX, reason="user, network and mount namespaces are needed")


@needs_sandbox
@pytest.mark.parametrize("name", ["demo", "tunnel"])
def test_rules_of_a_changed_model_are_found(name: str) -> None:
    stack = Stack(PLANS[name]() if name in PLANS else listings.plan(name))
    judged = judge(stack, sample(models(stack.topology.network), 25))
    assert judged.escaped == []
    assert judged.found > 10, judged.words


@needs_sandbox
@pytest.mark.soak
@pytest.mark.parametrize("name", [*STACKS, *PLANS])
def test_rules_of_every_changed_model_are_found(name: str) -> None:
    stack = Stack(PLANS[name]() if name in PLANS else listings.plan(name))
    judged = judge(stack, list(models(stack.topology.network)))
    print(f"{name}: {judged.words}")
    print("\n".join([*judged.equivalent, *judged.unwritten]))
    assert judged.escaped == []
    assert judged.found > 20
    assert len(judged.unwritten) < judged.found
    assert {what.partition(":")[0] for what in judged.equivalent} <= MAY_CHANGE_NOTHING.keys()

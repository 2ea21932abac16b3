"""A link between members closes in the kernel at its end, whether or not anybody configures anything then.

The moments of the rendered rules are real; the kernel's clock is not moved. A rule file whose end lies some seconds
ahead is loaded, and the same connections are tried before and after.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from infra.declaration.links import Link
from infra.declaration.model import Declaration
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.process import run
from network import flows, ports, render
from network.clock import JST
from network.model import NetworkPlan
from network.render import spans
from tests.network.render.kernel import ACK, RST, SYN_ACK, Machine, Packet, machine
from tests.network.render.test_rules_in_kernel import FORGET, RULES, UNIT, needs_root
from tests.plan import factory

DAY = datetime.date(2026, 4, 1)
END = datetime.datetime(2026, 4, 1, 18, 0, tzinfo=JST)
SOURCE, TARGET = "office:m1/lgwan", "service:zaimu@m2"
GATEWAY, NODE = "dc1-gw1a", "zaimu-m2-ap1"
AHEAD_S = 4


def link(source: str = SOURCE, target: str = TARGET, until: datetime.datetime = END) -> Link:
    said = {"requested_by": "m1", "event": "台風", "scope": "証明書の発行"}
    times = {"opened_at": "2026-04-01T09:00+09:00", "until": until.isoformat(timespec="minutes")}
    return Link.model_validate({"from": source, "to": target, **said, **times})


def flow(target: str, *allow: str) -> dict[str, Any]:
    return {"from": SOURCE, "to": target, "allow": list(allow), "kind": "mutual_support", "reason": "災害時",
            "approved_by": "情報政策課", "expires": "2030-03-31"}  # fmt: skip


@functools.cache
def planned(members: int = 2, *, is_open: bool = True) -> NetworkPlan:
    declared = Declaration.model_validate(
        factory.data(members, [factory.service("zaimu")], flows=[flow(TARGET, "tcp/443", "icmp")])
    )
    links = (link(),) if is_open else ()
    return builder.build("link", declared, Lock(stack="link"), DAY, clock=lambda: 0.0, links=links).plan.network


@functools.cache
def resolution() -> flows.Resolution:
    return flows.resolve(planned())


@functools.cache
def files(node: str) -> Any:
    return render.render_all(planned())[node]


def rules(node: str, until: int) -> str:
    """The rendered rules with another end."""
    text = files(node)[RULES]
    assert str(int(END.timestamp())) in text
    return str(text.replace(str(int(END.timestamp())), str(until)))


def office(member: str) -> IPv4Address:
    return next(lan.prefixes[0][10] for lan in planned().offices if (lan.member, lan.zone) == (member, "lgwan"))


def vip() -> IPv4Address:
    return planned().vip_by_name["service/zaimu-m2"].address.ip


@pytest.fixture
def gateway() -> Iterator[Machine]:
    node = planned().node_by_name[GATEWAY]
    with machine(resolution(), node, files(GATEWAY)) as found:
        found.know(vip(), node.interface("dc1-m2-lgwan").name)
        for line in planned().lines:
            for handoff in line.handoffs:
                found.know(handoff.peer, node.interface(handoff.segment).name)
        yield found


def comes_out(found: Machine, where: str, packet: Packet) -> bool:
    return packet.mark in {one.mark for one in found.send(found.node.interface(where).name, [packet])}


def wait_for(moment: int) -> None:
    """The kernel reads the clock for each packet: until then there is nothing to ask it."""
    time.sleep(max(0.0, moment + 0.05 - time.time()))


@needs_root
def test_at_its_end_nothing_is_opened_and_open_sessions_end(gateway: Machine) -> None:
    end = int(time.time()) + AHEAD_S
    gateway.start_rules(rules(GATEWAY, end), files(GATEWAY)[UNIT])
    line, behind = "m1-main-lgwan", "dc1-m2-lgwan"
    linked = Packet(source=office("m1"), target=vip(), source_port=40001)
    own = Packet(source=office("m2"), target=vip(), source_port=40002)
    for packet, where in ((linked, line), (own, "m2-main-lgwan")):
        assert comes_out(gateway, where, packet)
        answer = Packet(source=vip(), target=packet.source, source_port=443, port=packet.source_port, flags=SYN_ACK,
                        seq=5000, ack=1001)  # fmt: skip
        assert comes_out(gateway, behind, answer)
    assert gateway.sh(sys.executable, str(FORGET)).startswith("0 of 2 connections")
    assert time.time() < end, "the machine was too busy to try this before the end"
    wait_for(end)
    ack = dataclasses.replace(linked, flags=ACK, seq=1001, ack=5001, mark=60001)
    back = Packet(source=vip(), target=office("m1"), source_port=443, port=40001, flags=ACK, seq=5001, ack=1001)
    assert not comes_out(gateway, line, ack)
    assert not comes_out(gateway, behind, back), "not a byte of the answer either"
    assert not comes_out(gateway, line, dataclasses.replace(linked, source_port=40003, mark=60002))
    goes_on = dataclasses.replace(own, flags=ACK, seq=1001, ack=5001, mark=60003)
    assert comes_out(gateway, "m2-main-lgwan", goes_on), "the member's own session goes on"
    assert comes_out(gateway, "m2-main-lgwan", dataclasses.replace(own, source_port=40004, mark=60004))
    assert gateway.sh(sys.executable, str(FORGET)).startswith("1 of 3 connections")


@needs_root
def test_the_host_closes_too() -> None:
    node = planned().node_by_name[NODE]
    with machine(resolution(), node, files(NODE)) as found:
        peer = planned().vip_by_name["dc1-gw1/dc1-m2-lgwan"].address.ip
        found.know(peer, node.interfaces[1].name)

        def answered(source: IPv4Address, source_port: int) -> bool:
            knock = Packet(source=source, target=vip(), source_port=source_port)
            return any(
                one.flags & RST and one.port == source_port for one in found.send(node.interfaces[1].name, [knock])
            )

        end = int(time.time()) + AHEAD_S
        assert found.load(rules(NODE, end)).ok
        assert answered(office("m1"), 41001)
        assert time.time() < end, "the machine was too busy to try this before the end"
        wait_for(end)
        assert not answered(office("m1"), 41002)
        assert answered(office("m2"), 41003)


def test_the_rules_grow_with_links_and_not_with_members() -> None:
    def timed(network: NetworkPlan) -> list[str]:
        text = render.render_node(network, GATEWAY)[RULES]
        return [line for line in text.splitlines() if "meta time" in line]

    assert timed(planned(is_open=False)) == []
    two, six = timed(planned()), timed(planned(6))
    assert len(two) == 4, "TCP and ICMP: one rule that opens and one that ends"
    assert two == six
    assert str(int(END.timestamp())) in two[0]
    assert "2026-04-01T18:00+09:00" in files(GATEWAY)[RULES], "for people"


@needs_root
def test_nft_reads_the_moment_as_seconds_and_lists_it_in_local_time() -> None:
    listed = run("unshare", "-rn", "sh", "-c", "nft -f - && TZ=UTC nft -s list ruleset", stdin=files(GATEWAY)[RULES])
    assert set(re.findall(r'meta time [<>=]+ "([^"]+)"', listed)) == {"2026-04-01 09:00:00"}


def accept(source: str, first: int, last: int, until: int) -> flows.Accept:
    return flows.Accept(source_segment="a", source=IPv4Network(source), target_segment="b",
                        target=IPv4Network("10.0.0.1"), ports=ports.PortRange("tcp", first, last), flow="f",
                        until=until)  # fmt: skip


def test_what_is_open_for_longer_does_not_end() -> None:
    always, early, late = (
        accept("10.1.0.0/24", 80, 89, 0),
        accept("10.1.0.9/32", 85, 95, 1),
        accept("10.1.0.0/16", 90, 93, 2),
    )
    assert spans.beyond([early], [always, late]) == (dataclasses.replace(early, ports=ports.PortRange("tcp", 94, 95)),)
    assert spans.beyond([late], [always]) == (late,)
    assert JST.utcoffset(None) == datetime.timedelta(hours=9)

"""Accepts that share no packet: the same packets as before, in a form that the kernel takes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from network.flows import Accept
from network.ports import PortRange
from network.render import spans

ADDRESSES = 16
"""Sources lie in 10.0.0.0/28, ports below 24: small enough to try every packet."""
PORTS = 24


@st.composite
def accepts(draw: st.DrawFn) -> Accept:
    length = draw(st.integers(28, 32))
    base = draw(st.integers(0, ADDRESSES - 1)) >> (32 - length) << (32 - length)
    first = draw(st.integers(1, PORTS - 1))
    return Accept(
        source_segment=draw(st.sampled_from("ab")),
        source=IPv4Network((int(IPv4Address("10.0.0.0")) + base, length)),
        target_segment="c",
        target=draw(st.sampled_from([IPv4Network("10.1.0.1"), IPv4Network("10.1.0.2")])),
        ports=PortRange(draw(st.sampled_from(["tcp", "udp"])), first, draw(st.integers(first, PORTS - 1))),
        flow=draw(st.sampled_from(["one", "two", "three"])),
    )


Packet = tuple[str, str, IPv4Network, int, int]


def packets(accept: Accept) -> list[Packet]:
    return [
        (accept.source_segment, accept.ports.protocol, accept.target, int(address), port)
        for address in accept.source
        for port in range(accept.ports.first, accept.ports.last + 1)
    ]


@given(st.lists(accepts(), min_size=1, max_size=8))
def test_the_same_packets_pass_and_each_by_one_element(wanted: list[Accept]) -> None:
    found = [packet for accept in spans.disjoint(wanted) for packet in packets(accept)]
    assert len(found) == len(set(found)), "no two elements share a packet"
    assert set(found) == {packet for accept in wanted for packet in packets(accept)}


@given(st.lists(accepts(), min_size=1, max_size=8))
def test_the_order_does_not_matter(wanted: list[Accept]) -> None:
    assert spans.disjoint(wanted) == spans.disjoint(reversed(wanted))


def test_nothing_stays_nothing() -> None:
    assert spans.disjoint([]) == ()

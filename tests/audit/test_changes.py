"""Where two levels differ: sets of packets, however they are written."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.audit import changes, pairs
from infra.audit.model import Audit, Change, PacketRange, Pair, Passing
from tests.report import audits


def tcp(ports: str, sources: str = "10.1.0.0/24", destinations: str = "172.16.0.68") -> PacketRange:
    return PacketRange(protocol="tcp", sources=sources, destinations=destinations, ports=ports)


def passing(*ranges: PacketRange, source: str = "a", target: str = "b") -> Audit:
    found = Pair(source=source, target=target, passing=(Passing(packets=ranges, flow=None, path=(source, target)),))
    return dataclasses.replace(audits.audit(), pairs=(found,))


NOTHING = dataclasses.replace(audits.audit(), pairs=())


def test_what_one_level_has_more_is_gained_and_what_it_has_less_is_lost() -> None:
    assert changes.between(passing(tcp("443-444")), passing(tcp("444-445"))) == (
        Change(source="a", target="b", gained=(tcp("445"),), lost=(tcp("443"),)),
    )


def test_a_pair_of_one_level_only() -> None:
    assert changes.between(NOTHING, passing(tcp("443"))) == (
        Change(source="a", target="b", gained=(tcp("443"),), lost=()),
    )
    assert changes.between(passing(tcp("443")), NOTHING) == (
        Change(source="a", target="b", gained=(), lost=(tcp("443"),)),
    )


@pytest.mark.parametrize(
    "other",
    [
        (tcp("443-500"), tcp("501-600")),
        (tcp("443-550"), tcp("500-600")),
        (tcp("443-600", sources="10.1.0.0/25"), tcp("443-600", sources="10.1.0.128-10.1.0.255")),
        (tcp("443-600"), tcp("450", sources="10.1.0.7")),
    ],
)
def test_the_same_packets_in_other_ranges_are_no_difference(other: tuple[PacketRange, ...]) -> None:
    assert changes.between(passing(tcp("443-600")), passing(*other)) == ()


def test_a_hole_in_a_prefix_is_found() -> None:
    (found,) = changes.between(
        passing(tcp("443")),
        passing(tcp("443", sources="10.1.0.0-10.1.0.99"), tcp("443", sources="10.1.0.101-10.1.0.255")),
    )
    assert (found.gained, found.lost) == ((), (tcp("443", sources="10.1.0.100"),))


PORTS = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(
    lambda both: str(both[0]) if both[0] == both[1] else f"{min(both)}-{max(both)}"
)
ADDRESSES = st.one_of(
    st.just("any"),
    st.ip_addresses(v=4).map(str),
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)).map(
        lambda both: str(both[0]) if both[0] == both[1] else f"{min(both)}-{max(both)}"
    ),
    st.sampled_from(("10.0.0.0/8", "172.16.0.0/12", "192.0.2.64/26", "0.0.0.0/1")),
)
RANGES = st.builds(
    PacketRange,
    protocol=st.sampled_from(("tcp", "udp", "132", "any")),
    sources=ADDRESSES,
    destinations=st.ip_addresses(v=4).map(str),
    ports=st.one_of(st.just("any"), PORTS),
)


@given(st.lists(RANGES, max_size=4))
def test_ranges_read_back_are_the_set_they_were_written_from(ranges: list[PacketRange]) -> None:
    """What the report compares is what the engine printed: reading is the inverse of writing."""
    found = changes.as_set(ranges)
    assert changes.as_set(pairs.ranges(found)) is found


def test_icmp_names_types_and_ipv6_addresses() -> None:
    ping = PacketRange(protocol="icmp", sources="10.1.0.0/24", destinations="172.16.0.68", ports="8")
    six = PacketRange(protocol="udp", sources="2001:db8::/64", destinations="2001:db8::1", ports="53")
    assert pairs.ranges(changes.as_set([ping, six])) == (ping, six)


def test_a_range_of_two_families_is_refused() -> None:
    with pytest.raises(ValueError, match="not of one family"):
        changes.as_set([tcp("443", sources="2001:db8::/64")])


def test_a_level_is_equal_to_itself() -> None:
    assert changes.between(audits.audit(), audits.audit()) == ()

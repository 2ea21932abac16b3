"""A host is drained and takes its machines back, in a stack that stands in memory."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from infra.maintenance import host, record
from infra.maintenance.record import Record
from network.errors import EnvironmentLackError, InputError, OperationError
from tests.maintenance.world import NOW, World

GATEWAY_ADDRESSES = 9
"""Eight hand-offs and one segment of services."""


def drain(world: World, root: pathlib.Path, name: str, *, accept_stop: bool = False) -> Record:
    crew = world.crew()
    return host.begin(crew, root, name, host.prepare(crew, root, name), NOW, accept_stop=accept_stop)


def test_nothing_is_touched_by_a_look(tmp_path: pathlib.Path) -> None:
    world = World()
    prepared = host.prepare(world.crew(), tmp_path, "kvm03")
    assert list(map(str, prepared.steps)) == [
        "switch juki-database over from juki-db1 to juki-db2",
        f"hand {GATEWAY_ADDRESSES} addresses over from dc1-gw1a to dc1-gw1b",
    ]
    assert (prepared.nodes, prepared.faults, prepared.stops) == (("dc1-gw1a", "juki-db1"), (), ())
    assert world.log == []
    assert record.load(tmp_path, "test") is None


def test_a_primary_and_a_gateway_are_handed_over_before_their_machines_stop(tmp_path: pathlib.Path) -> None:
    world = World()
    drain(world, tmp_path, "kvm03")
    assert world.log == [
        "switch over to juki-db2", "stop keepalived.service on dc1-gw1a", "shut down dc1-gw1a", "shut down juki-db1",
    ]  # fmt: skip
    assert world.up.isdisjoint({"dc1-gw1a", "juki-db1"})
    assert set(world.held.values()) == {"dc1-gw1b", "juki-ap1", "kouhou-ap1"}
    assert record.load(tmp_path, "test") == Record(
        kind="maintenance", host="kvm03", nodes=("dc1-gw1a", "juki-db1"), since=NOW
    )


def test_requests_end_before_an_application_stops(tmp_path: pathlib.Path) -> None:
    world = World(held={**World().held, "service/juki": "juki-ap2"})
    drain(world, tmp_path, "kvm02")
    assert world.log == [
        "juki-ap1: juki-ap2 drain", "juki-ap2: juki-ap2 drain", "stop keepalived.service on juki-ap2",
        "shut down juki-ap2", "shut down juki-db2",
    ]  # fmt: skip
    assert world.open == 0, "they were waited for"
    assert world.held["service/juki"] == "juki-ap1"


def test_connections_that_do_not_end_are_waited_for_within_a_bound(tmp_path: pathlib.Path) -> None:
    world = World(open=10_000)
    drain(world, tmp_path, "kvm02")
    assert "juki-ap2" not in world.up
    assert any(text.endswith("open after 30 s; they end with it") for text in world.said)


def test_a_host_comes_back_whole(tmp_path: pathlib.Path) -> None:
    world = World()
    drain(world, tmp_path, "kvm02")
    world.log.clear()
    host.end(world.crew(), tmp_path, "kvm02")
    assert world.log == [
        "start juki-ap2", "start juki-db2", "juki-ap1: juki-ap2 ready", "juki-ap2: juki-ap2 ready",
    ]  # fmt: skip
    assert record.load(tmp_path, "test") is None
    assert world.crew().prepare(("juki-ap2",)).faults == ()


def test_one_that_does_not_get_whole_stays_recorded(tmp_path: pathlib.Path) -> None:
    world = World()
    drain(world, tmp_path, "kvm02")
    world.behind = True
    with pytest.raises(OperationError, match="not whole after 600 s:\n  juki-db2: commits do not wait for it"):
        host.end(world.crew(), tmp_path, "kvm02")
    assert record.load(tmp_path, "test") is not None
    world.behind = False
    host.end(world.crew(), tmp_path, "kvm02")
    assert record.load(tmp_path, "test") is None


@pytest.mark.parametrize(
    ("change", "drained", "message"),
    [
        (lambda world: world.up.discard("juki-db2"), "kvm03", "juki-db2: does not answer"),
        (lambda world: setattr(world, "behind", True), "kvm03", "juki-db2: commits do not wait for it"),
        (lambda world: world.up.discard("dc1-gw1b"), "kvm03", "dc1-gw1b: does not answer"),
        (lambda world: world.stopped.add(("dc1-gw1b", "frr.service")), "kvm03", "dc1-gw1b: frr.service is inactive"),
        (lambda world: world.up.discard("juki-ap1"), "kvm02", "juki-ap1: does not answer"),
    ],
)
def test_a_partner_that_is_not_whole_is_named_and_nothing_is_touched(
    tmp_path: pathlib.Path, change: Callable[[World], None], drained: str, message: str
) -> None:
    world = World()
    change(world)
    with pytest.raises(OperationError, match=message) as raised:
        drain(world, tmp_path, drained)
    assert "is not whole, so nothing is taken out" in str(raised.value)
    assert world.log == []
    assert record.load(tmp_path, "test") is None


def test_what_is_broken_on_the_host_itself_may_be_taken_out(tmp_path: pathlib.Path) -> None:
    world = World(behind=True)
    world.stopped.add(("juki-ap2", "kumiai-application@juki.service"))
    drain(world, tmp_path, "kvm02")
    assert world.up.isdisjoint({"juki-ap2", "juki-db2"})


def test_what_stands_alone_stops_only_when_that_is_accepted(tmp_path: pathlib.Path) -> None:
    world = World()
    with pytest.raises(OperationError, match="this would stop:\n  kouhou for 第1町: no application is left") as raised:
        drain(world, tmp_path, "kvm01")
    assert str(raised.value).endswith("Nothing was touched. To accept it: --accept-stop")
    assert world.log == []
    drain(world, tmp_path, "kvm01", accept_stop=True)
    assert world.up.isdisjoint({"dc1-gw1b", "juki-ap1", "kouhou-ap1"})
    assert not [line for line in world.log if "kouhou-ap1 drain" in line], "nobody else could take its requests"


def test_a_second_host_is_refused_until_the_first_is_back(tmp_path: pathlib.Path) -> None:
    world = World()
    drain(world, tmp_path, "kvm03")
    with pytest.raises(OperationError) as raised:
        host.prepare(world.crew(), tmp_path, "kvm02")
    assert str(raised.value) == (
        "host kvm03 is in maintenance since 2026-04-01 09:30 (dc1-gw1a, juki-db1); "
        "first: kumiai maintenance test kvm03 --end"
    )
    with pytest.raises(InputError, match="host kvm02 is not in maintenance; host kvm03 is in maintenance since"):
        host.end(world.crew(), tmp_path, "kvm02")
    host.end(world.crew(), tmp_path, "kvm03")
    drain(world, tmp_path, "kvm02")


def test_a_machine_that_does_not_shut_down_is_named_and_the_next_run_goes_on(tmp_path: pathlib.Path) -> None:
    world = World(deaf={"juki-db1"})
    with pytest.raises(OperationError, match="juki-db1: did not shut down; look at their consoles") as raised:
        drain(world, tmp_path, "kvm03")
    assert "run the same command again to go on, or take it back: kumiai maintenance test kvm03 --end" in str(
        raised.value
    )
    world.deaf.clear()
    world.log.clear()
    drain(world, tmp_path, "kvm03")
    assert world.log == ["shut down juki-db1"]


def test_an_address_that_nobody_takes_stays(tmp_path: pathlib.Path) -> None:
    world = World(stubborn=True)
    with pytest.raises(OperationError, match="did not come within 30 s: dc1-gw1b holds dc1-gw1/"):
        drain(world, tmp_path, "kvm03")
    assert world.log[-1] == "start keepalived.service on dc1-gw1a"
    assert "dc1-gw1a" in world.up


def test_haproxy_that_does_not_obey_is_named(tmp_path: pathlib.Path) -> None:
    world = World(powerless=True)
    with pytest.raises(
        OperationError,
        match="juki-ap1: HAProxy does not obey “set server juki/juki-ap2 state drain”: Permission denied",
    ):
        drain(world, tmp_path, "kvm02")
    assert world.up >= {"juki-ap2", "juki-db2"}


def test_a_silent_host_ends_it_before_anything_changes(tmp_path: pathlib.Path) -> None:
    world = World(silent_hosts={"kvm03"})
    with pytest.raises(EnvironmentLackError, match="host kvm03: libvirtd does not answer"):
        drain(world, tmp_path, "kvm03")
    assert world.log == []
    assert record.load(tmp_path, "test") is None

"""Lines by BGP, from the gateways to the offices: who learns what, cuts at every place, and nobody reaches a neighbor.

Everything runs in namespaces: the lab's carriers and offices, and a pair of gateways that keeps the contract with them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infra import lab, process
from infra.lab import carriers, faults, frr, places, processes, routers, traffic
from infra.lab import state as state_file
from infra.lab.faults import Cut, Place
from infra.lab.traffic import Traffic
from infra.lines import measure
from infra.lines.evaluate import evaluate
from infra.lines.model import paths
from infra.plan.model import Plan
from network.errors import EnvironmentLackError, InputError
from tests.lab_unit import gateways
from tests.lab_unit.gateways import SERVERS, Pair, await_true, handoffs, terminal
from tests.lab_unit.guests import lab_traces, listening, needs_root, reach, reach_all
from tests.lab_unit.small import MEMBERS, ZONES, small_plan

pytestmark = [needs_root, pytest.mark.skipif(frr.program("bgpd") is None, reason="needs FRR")]
STACK = f"route{os.getpid()}"
LANS = {
    ("nishiki", "mynumber"): "10.1.0.0/24",
    ("nishiki", "lgwan"): "10.1.64.0/24",
    ("tsuno", "mynumber"): "10.2.0.0/24",
    ("tsuno", "lgwan"): "10.2.64.0/24",
}
CONVERGED_S = 20.0
"""Until every session is up after a start; on an idle machine it takes three seconds."""
OUTAGE_S = 3.0
"""A cut of the main line may not be felt longer than this."""
STEP_S = 0.05
TALK = """
import json, select, socket, sys, time
server, step = sys.argv[1], float(sys.argv[2])
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.connect((server, 8080))
stream = socket.create_connection((server, 8080), timeout=5)
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
seen, echoed, sent, count = [], b"", b"", 0
print("ready", flush=True)
following, last = time.monotonic(), None
while last is None or time.monotonic() < last:
    ready, _, _ = select.select([link, stream, sys.stdin], [], [], max(0, following - time.monotonic()))
    if link in ready:
        try:
            link.recv(100)
            seen.append(time.monotonic())
        except OSError:
            pass  # no route for a moment
    if stream in ready:
        echoed += stream.recv(65536)
    if sys.stdin in ready and last is None:
        last = time.monotonic() + 20  # until the connection has caught up, at most that long
    if last is not None and echoed == sent:
        break
    if time.monotonic() >= following:
        following += step
        try:
            link.send(b"x")
        except OSError:
            pass
        if last is None:
            count += 1
            stream.send(b"%06d" % count)
            sent += b"%06d" % count
print(json.dumps({"seen": seen, "whole": echoed == sent, "count": count}))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Talk:
    """What a terminal saw while it talked with a server."""

    seen: list[float]
    """Monotonic seconds of every answer to a packet."""
    whole: bool
    """Whether everything that went into the connection came back in order."""
    count: int

    def gap(self, since: float = 0.0) -> float:
        """Return the longest time without an answer."""
        return max(b - a for a, b in zip(self.seen, self.seen[1:], strict=False) if b >= since)


class Talking:
    """A terminal that sends a packet every 50 ms, by UDP and over one TCP connection."""

    def __init__(self, namespace: str, server: object) -> None:
        argv = ["ip", "netns", "exec", namespace, sys.executable, "-c", TALK, str(server), str(STEP_S)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._child = subprocess.Popen(argv, **pipes)
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"

    def end(self) -> Talk:
        out, _ = self._child.communicate("end\n", timeout=30)
        return Talk(**json.loads(out))

    def kill(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    """The lab's network, with hand-offs by BGP."""
    plan = small_plan(STACK, bgp=True)
    try:
        lab.up_network(plan)
        yield plan
    finally:
        daemons = processes.inside(places.existing(STACK))
        lab.down(STACK)
    assert len(daemons) >= 36, "8 provider edges and 4 offices with 3 daemons each"
    assert [pid for pid in daemons if processes.started(pid)] == []
    assert lab_traces(STACK) == []


@pytest.fixture(scope="module")
def pair(plan: Plan) -> Iterator[Pair]:
    """Two gateways with all sessions up."""
    with gateways.pair(plan) as pair:
        await_true(lambda: converged(pair), CONVERGED_S, "every route at every gateway and office")
        yield pair


def lines_of(plan: Plan, member: str, zone: str, role: str | None = None) -> set[str]:
    """Return the carriers' addresses at the hand-offs of a member's zone."""
    return {
        str(handoff.peer)
        for line, handoff in handoffs(plan)
        if (line.member, handoff.zone) == (member, zone) and role in (None, line.role)
    }


def converged(pair: Pair) -> bool:
    """Return whether both gateways have every office over both lines, and the offices the servers over both lines."""
    tables = [pair.routes(number) for number in (0, 1)]
    return all(len(table.get(lan, ())) == 2 for table in tables for lan in LANS.values()) and all(
        len(office_paths(pair.plan, member, zone)) == 2 and main_carries(pair.plan, member, zone)
        for member, zone in LANS
    )


def office_paths(plan: Plan, member: str, zone: str) -> list[Any]:
    namespace = places.namespace(plan.stack, "office", member, "honcho", zone)
    table = frr.ask(namespace, "show bgp ipv4 unicast json")["routes"]
    return [path for path in table.get(str(SERVERS[zone].network), ()) if path.get("valid")]


def main_carries(plan: Plan, member: str, zone: str) -> bool:
    """Return whether the office sends to the servers over its main line."""
    namespace = places.namespace(plan.stack, "office", member, "honcho", zone)
    routes = json.loads(process.run("ip", "-n", namespace, "-j", "route", "show", str(SERVERS[zone].network)))
    return [route.get("dev", "")[:1] for route in routes] == ["m"]


def counted(line: str, zone: str) -> Traffic:
    (found,) = [one for one in traffic.traffic(STACK) if (one.line, one.zone) == (line, zone)]
    return found


def test_office_prefixes_arrive_at_both_gateways_in_their_own_hand_offs_only(plan: Plan, pair: Pair) -> None:
    for number in (0, 1):
        learned = {prefix: peers for prefix, peers in pair.routes(number).items() if peers}
        assert learned == {lan: lines_of(plan, *who) for who, lan in LANS.items()}


def test_every_session_has_its_timers_and_bfd(plan: Plan, pair: Pair) -> None:
    for number in (0, 1):
        neighbors = pair.show(number, "show bgp neighbors json")
        assert len(neighbors) == 8
        for address, found in neighbors.items():
            assert (found["bgpState"], found["bgpTimerHoldTimeMsecs"]) == ("Established", 9000), address
            assert found["peerBfdInfo"]["status"] == "Up", address


def test_the_backup_carries_nothing_while_the_main_is_up(plan: Plan, pair: Pair) -> None:
    before = traffic.traffic(STACK)
    talking = Talking(terminal(plan, "nishiki", "mynumber"), SERVERS["mynumber"].ip)
    try:
        await_true(lambda: counted("nishiki-main", "mynumber").packets_down > 20, 10, "traffic on the main line")
    finally:
        talk = talking.end()
    assert talk.whole
    moved = {(a.line, a.zone) for a, b in zip(before, traffic.traffic(STACK), strict=True) if a != b}
    assert moved == {("nishiki-main", "mynumber")}, "and no other zone's or member's line either"


@pytest.mark.parametrize("place", faults.PLACES)
def test_a_cut_main_line_is_replaced_by_the_backup_and_comes_back_by_itself(
    plan: Plan, pair: Pair, place: Place
) -> None:
    talking = Talking(terminal(plan, "nishiki", "mynumber"), SERVERS["mynumber"].ip)
    try:
        used = counted("nishiki-backup", "mynumber").packets_down
        began = time.monotonic()
        faults.cut(plan, "nishiki-main", place)
        assert faults.cuts(STACK) == (Cut(line="nishiki-main", place=place),)
        await_true(lambda: counted("nishiki-backup", "mynumber").packets_down > used + 20, 10, "traffic on the backup")
        assert not main_carries(plan, "nishiki", "mynumber")
        assert main_carries(plan, "tsuno", "mynumber"), "another member's line is not touched"
        restored = time.monotonic()
        assert faults.restore(plan, "nishiki-main") == (Cut(line="nishiki-main", place=place),)
        await_true(lambda: converged(pair), CONVERGED_S, "back on the main line")
        main, backup = counted("nishiki-main", "mynumber"), counted("nishiki-backup", "mynumber")
        await_true(lambda: counted("nishiki-main", "mynumber").packets_down > main.packets_down + 20, 10, "main")
        assert counted("nishiki-backup", "mynumber") == backup, "the backup is still again"
    finally:
        talk = talking.end()
    assert talk.whole, "the connection lived through both"
    outage = talk.gap(began)
    print(f"{place}: without an answer for {outage:.2f} s, on the way back for {talk.gap(restored + 0.5):.2f} s")
    assert 0.3 < outage <= OUTAGE_S, "a cut that is not felt is no cut"
    assert talk.gap(restored + 0.5) < 1.0, "the way back is not felt"


@pytest.mark.parametrize("state", ["whole", "mains cut", "backups cut", "one of each cut"])
def test_members_and_zones_never_reach_each_other(plan: Plan, pair: Pair, state: str) -> None:
    cut = {
        "whole": (),
        "mains cut": ("nishiki-main", "tsuno-main"),
        "backups cut": ("nishiki-backup", "tsuno-backup"),
        "one of each cut": ("nishiki-main", "tsuno-backup"),
    }[state]
    try:
        for line in cut:
            faults.cut(plan, line)
        wanted = {who: ("b" if f"{who[0]}-main" in cut else "m") for who in LANS}
        await_true(lambda: all(_way(plan, *who) == way for who, way in wanted.items()), 10, "the offices have moved")
        terminals = {who: terminal(plan, *who) for who in LANS}
        with listening(terminals["tsuno", "mynumber"]), listening(terminals["nishiki", "lgwan"]):
            targets = {("tsuno", "mynumber"): "10.2.0.10", ("nishiki", "lgwan"): "10.1.64.10"}
            for target, address in targets.items():
                assert reach(terminals[target], address) == address, "the listener is there"
            tried = reach_all(
                {
                    (source, target): (terminals[source], address)
                    for source in LANS
                    for target, address in targets.items()
                    if source != target
                }
            )
        assert len(tried) == 6
        assert set(tried.values()) == {None}
    finally:
        for line in cut:
            faults.restore(plan, line)
        await_true(lambda: converged(pair), CONVERGED_S, "back to normal")


def test_the_test_of_lines_passes_when_all_is_whole_and_names_what_is_not(
    plan: Plan, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "TRANSFER_S", 0.3)
    full = gateways.with_services(plan)
    offices = tuple(lan for lan in full.network.offices if lan.member == "nishiki")
    one = dataclasses.replace(full, network=dataclasses.replace(full.network, offices=offices))
    whole = measure.measure(one)
    assert [row.findings for row in evaluate(paths(one.network), whole)] == [()] * 4
    for path, found in whole.items():
        assert found.carries == (path.role == "main")
        assert (found.response_ms is None) == (path.role == "backup")
        for mbps in (found.mbps_up, found.mbps_down):
            assert mbps is not None
            assert 80 < mbps < 105, "the line carries what was contracted, and no more"
    faults.cut(plan, "nishiki-main", "access")
    try:
        await_true(lambda: _way(plan, "nishiki", "mynumber") == _way(plan, "nishiki", "lgwan") == "b", 10, "moved")
        rows = evaluate(paths(one.network), measure.measure(one))
    finally:
        faults.restore(plan, "nishiki-main")
        await_true(lambda: converged(pair), CONVERGED_S, "back to normal")
    main = (
        "cut in the lab at the access",
        "the carrier has no route to the office",
        "the office has no route over this line",
    )
    assert [row.findings for row in rows] == [main, (), main, ()]
    backups = [row.measured for row in rows if row.path.role == "backup"]
    assert all(found is not None and found.carries and found.response_ms for found in backups)


def _way(plan: Plan, member: str, zone: str) -> str:
    namespace = places.namespace(plan.stack, "office", member, "honcho", zone)
    routes = json.loads(process.run("ip", "-n", namespace, "-j", "route", "show", str(SERVERS[zone].network)))
    return str(routes[0].get("dev", ""))[:1] if routes else ""


def test_what_nobody_announced_arrives_at_the_gateways_at_the_hand_off_of_its_line_and_zone(
    plan: Plan, pair: Pair
) -> None:
    unannounced = "203.0.113.9"
    process.run("ip", "-n", pair.gateways[0], "address", "add", f"{unannounced}/32", "dev", "lo")
    before = traffic.traffic(STACK)
    with listening(pair.gateways[0]):
        assert reach(terminal(plan, "tsuno", "lgwan"), unannounced) == "10.2.64.10"
    moved = {(a.line, a.zone) for a, b in zip(before, traffic.traffic(STACK), strict=True) if a != b}
    assert moved == {("tsuno-main", "lgwan")}


def test_an_office_cannot_draw_another_members_traffic_to_itself(plan: Plan, pair: Pair) -> None:
    office = places.namespace(STACK, "office", "nishiki", "honcho", "mynumber")
    (edge,) = [e for e in carriers.edges(plan) if (e.line.name, e.handoff.zone) == ("nishiki-main", "mynumber")]
    carrier = edge.inside.addresses[0].ip

    def configure(*lines: str) -> None:
        commands = ("configure terminal", f"router bgp {routers.office_as(plan, 'nishiki')}", "address-family ipv4")
        argv = [word for line in (*commands, *lines) for word in ("-c", line)]
        process.run("vtysh", "--vty_socket", str(places.router_folder(office)), "-d", "bgpd", *argv)

    def at_carrier() -> set[str]:
        return set(frr.ask(edge.outside.namespace, "show bgp ipv4 unicast json")["routes"])

    foreign = LANS["tsuno", "mynumber"]
    configure(f"no neighbor {carrier} prefix-list own out", f"network {foreign}")
    try:
        told = f"show bgp ipv4 unicast neighbors {carrier} advertised-routes json"
        await_true(lambda: foreign in frr.ask(office, told)["advertisedRoutes"], 10, "the office announces it")
        configure("no network 10.1.0.0/24")  # told after the other one, so that the carrier has judged that by then
        await_true(lambda: "10.1.0.0/24" not in at_carrier(), 10, "the carrier has heard the office")
        assert foreign not in at_carrier()
        assert pair.routes(0)[foreign] == lines_of(plan, "tsuno", "mynumber")
    finally:
        configure(f"no network {foreign}", "network 10.1.0.0/24", f"neighbor {carrier} prefix-list own out")
        await_true(lambda: converged(pair), CONVERGED_S, "back to normal")


def test_a_dead_routing_daemon_is_started_again_and_nothing_else(plan: Plan, pair: Pair) -> None:
    assert lab.up_network(plan) == ()
    known = state_file.load(STACK)
    assert known is not None
    (daemon,) = [p for p in known.processes if p.name == "pe.tsuno-main.lgwan/bgpd"]
    os.kill(daemon.pid, signal.SIGKILL)
    processes.end([daemon])
    assert lab.status(STACK).dead_routers == ("pe.tsuno-main.lgwan/bgpd",)
    assert lab.up_network(plan) == ("pe.tsuno-main.lgwan/bgpd: started",)
    assert lab.status(STACK).dead_routers == ()
    forgotten = [p for p in known.processes if p.name.startswith("pe.tsuno-backup.lgwan/")]
    others = tuple(p for p in known.processes if p not in forgotten)
    state_file.save(dataclasses.replace(known, processes=others))  # as if `up` had been killed before it wrote it down
    changes = lab.up_network(plan)
    assert {f"{p.name}: started" for p in forgotten} <= set(changes)
    assert len(changes) == 4, "and bgpd of the other one, which the old state does not know"
    assert not [p for p in forgotten if processes.alive(p)], "an unknown daemon would hold the sockets"
    await_true(lambda: converged(pair), CONVERGED_S, "its sessions are back")


def test_a_cut_survives_up_and_a_line_that_is_not_there_is_refused(plan: Plan) -> None:
    faults.cut(plan, "tsuno-backup", "access")
    faults.cut(plan, "tsuno-backup", "handoff")
    try:
        assert lab.up_network(plan) == ()
        assert faults.cuts(STACK) == (
            Cut(line="tsuno-backup", place="access"),
            Cut(line="tsuno-backup", place="handoff"),
        )
    finally:
        assert len(faults.restore(plan, "tsuno-backup")) == 2
    assert faults.cuts(STACK) == ()
    assert faults.restore(plan, "tsuno-backup") == ()
    with pytest.raises(InputError, match=f"no-line: no line in the lab of {STACK}; lines: nishiki-main, nishiki-ba"):
        faults.cut(plan, "no-line")
    absent = small_plan(f"{STACK}-absent", bgp=True)
    with pytest.raises(EnvironmentLackError, match=f"is not up; run: kumiai lab up {STACK}-absent"):
        faults.cut(absent, "tsuno-backup")
    lab.down(absent.stack)


def test_every_member_and_zone_reaches_its_servers(plan: Plan, pair: Pair) -> None:
    for member in MEMBERS:
        for zone in ZONES:
            talking = Talking(terminal(plan, member, zone), SERVERS[zone].ip)
            assert talking.end().whole

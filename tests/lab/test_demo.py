"""The demo stack on real machines: brought up once, interrupted on the way, and shared by all tests of this module.

The order of the tests is the order of the story: nothing before `test_destroy…` takes anything away.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from lxml import etree

from infra import process
from infra.lab import state as lab_state
from infra.lab import visits
from infra.operations import virsh
from infra.plan.model import Plan
from infra.resources import names
from infra.secrets import store
from tests.lab import place as places
from tests.lab.place import Place

pytestmark = pytest.mark.lab
NAME = "t-demo"


def made(place: Place, kind: str) -> int:
    """Return how many volumes or domains of the stack are on its hosts."""
    count = 0
    for host in ("kvm01", "kvm02", "kvm03"):
        words = ("vol-list", f"kumiai.{NAME}") if kind == "volume" else ("list", "--all", "--name")
        socket = pathlib.Path(f"/run/kumiai-lab/{NAME}/{host}/libvirt/libvirt-sock")
        if socket.exists():
            listed = process.probe("virsh", "-q", "-c", f"qemu+unix:///system?socket={socket}", *words).stdout
            count += sum(f"kumiai.{NAME}." in line for line in listed.splitlines())
    return count


def libvirtd_of(host: str) -> int:
    state = lab_state.load(NAME)
    assert state is not None
    return next(p.pid for p in state.processes if p.name == f"{host}/libvirtd")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = places.make(tmp_path_factory.mktemp("demo"), "demo", NAME)
    try:
        assert place.kumiai("plan").code == 0
        assert place.kumiai("lab", "up").code == 0
        assert place.kumiai("hosts").code == 0
        yield place
    finally:
        place.remove()


def test_two_killed_runs_and_a_dead_libvirtd_converge(demo: Place) -> None:
    assert demo.kill_during("up", lambda: made(demo, "volume") >= 2) == -9
    assert demo.kill_during("up", lambda: made(demo, "domain") >= 1) == -9
    victim = libvirtd_of("kvm02")
    process.run("kill", "-9", str(victim))
    dead = demo.kumiai("up")
    assert dead.code in (1, 3)
    assert "kvm02" in dead.err
    assert demo.kumiai("lab", "up").code == 0
    assert demo.kumiai("up").code == 0
    assert made(demo, "domain") == 7
    assert demo.kumiai("verify").code == 0


def test_a_second_preview_shows_no_change(demo: Place) -> None:
    done = demo.kumiai("preview", "--json")
    assert done.code == 0
    assert done.json()["changes"] == []


def test_a_killed_configure_is_finished_by_the_next_and_a_third_changes_nothing(demo: Place) -> None:
    records = places.ROOT / ".kumiai" / "configure" / NAME

    def something_changed() -> bool:
        return any("changed: [" in path.read_text(errors="replace") for path in records.glob("*/stdout"))

    assert demo.kill_during("configure", something_changed) == -9
    first = demo.kumiai("configure", "--json")
    assert first.code == 0
    again = demo.kumiai("configure", "--json")
    assert again.code == 0
    nodes = again.json()["nodes"]
    assert len(nodes) == 7
    assert [node["node"] for node in nodes if node["changed"]] == []


def test_every_office_sees_what_the_plan_says_and_nothing_else(demo: Place) -> None:
    plan = demo.plan()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo.environment.items():
            patch.setenv(name, value)
        authority = store.load(demo.stack_file, "dc1").ca.certificate_pem
    seen = visits.visit_all(plan, authority)
    assert len(seen) == 12
    opened = {(v.office.member, v.office.zone, v.endpoint.name) for v in seen if v.reached}
    assert opened == {
        ("nishiki", "mynumber", "juki"),
        ("tsuno", "mynumber", "juki"),
        ("nishiki", "lgwan", "zaimu-nishiki"),
        ("tsuno", "lgwan", "zaimu-tsuno"),
    }
    answers = {(v.office.member, v.endpoint.name): v.answer for v in seen if v.reached}
    assert all("answered" in answer for answer in answers.values()), answers
    assert "database juki-db1" in answers["nishiki", "juki"]


def test_both_application_nodes_answer(demo: Place) -> None:
    plan = demo.plan()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo.environment.items():
            patch.setenv(name, value)
        authority = store.load(demo.stack_file, "dc1").ca.certificate_pem
    office = next(o for o in plan.network.offices if (o.member, o.zone) == ("nishiki", "mynumber"))
    (juki,) = (e for e in plan.network.endpoints if e.service == "juki")
    answers: set[str | None] = set()

    def both() -> bool:  # a whole visit is two requests, which the load balancer gives to one node each
        answers.add(visits.answering_node(plan, office, juki, authority))
        return answers >= {"juki-ap1", "juki-ap2"}

    places.await_moment(both, 120)


def test_every_line_passes_the_test_of_lines(demo: Place) -> None:
    done = demo.kumiai("lines", "--check", "--json")
    assert done.code == 0, done.out
    document = done.json()
    assert document["verdict"] == "pass"


def drilled(demo: Place, *words: str) -> dict[str, Any]:
    """Run a drill, print its figures, and return its document; what it promises for every fault is checked here."""
    done = demo.kumiai("drill", *words, "--json")
    found = dict(done.json())
    figures = ("down_s", "computed_s", "target_s", "restored_s", "returned_s", "write_gap_s", "writes_acknowledged")
    print(" ".join(words), {name: found[name] for name in figures}, found["findings"])
    assert found["writes_acknowledged"] > 10
    assert (found["writes_lost"], found["connections_broken"], found["split_brain"]) == (0, 0, 0)
    assert done.code == 0, done.err
    return found


def test_a_cut_main_line_is_replaced_by_the_backup_which_carries_nothing_before_and_after(demo: Place) -> None:
    assert drilled(demo, "line", "nishiki")["took_over"] == "nishiki-backup"


def test_the_status_is_whole(demo: Place) -> None:
    done = demo.kumiai("status", "--json")
    assert done.code == 0, done.out
    found = done.json()
    assert {line["line"]: line["state"] for line in found["lines"]} == {
        "nishiki-main": "carries", "nishiki-backup": "stands by", "tsuno-main": "carries", "tsuno-backup": "stands by",
    }  # fmt: skip
    assert {one["name"]: len(one["holders"]) for one in found["addresses"]}["service/juki"] == 1


def test_a_lost_application_node_is_replaced(demo: Place) -> None:
    found = dict(demo.kumiai("drill", "node", "juki-ap1", "--json").json())
    print(found)
    assert found["writes_acknowledged"] > 10
    assert (found["writes_lost"], found["split_brain"], found["findings"]) == (0, 0, [])


def test_a_lost_gateway_is_replaced_and_open_connections_survive(demo: Place) -> None:
    assert drilled(demo, "gateway")["took_over"] in ("dc1-gw1a", "dc1-gw1b")


def test_a_cut_sync_segment_never_makes_two_holders(demo: Place) -> None:
    drilled(demo, "sync")


def test_the_audit_passes_at_every_level_and_says_what_it_looked_at(demo: Place, tmp_path: pathlib.Path) -> None:
    done = demo.kumiai("audit", "--level", "all", "--report", str(tmp_path), "--json")
    assert done.code == 0, done.out
    levels = {one["level"]: one for one in done.json()["levels"]}
    assert list(levels) == ["declared", "rendered", "live", "probe"]
    assert {level: one["verdict"] for level, one in levels.items()} == dict.fromkeys(levels, "pass")
    assert levels["live"]["examined"]["rules"] == levels["rendered"]["examined"]["rules"] > 200
    assert levels["probe"]["examined"]["probes"] > 5000
    assert (tmp_path / "audit.html").stat().st_size > 50_000


def drift(demo: Place) -> list[dict[str, Any]]:
    """Return the violations of the running machines, the worst first."""
    done = demo.kumiai("audit", "--level", "live", "--json")
    found: list[dict[str, Any]] = done.json()["violations"]
    assert done.code == (1 if found else 0)
    return found


def test_what_was_changed_by_hand_is_found_named_and_placed(demo: Place) -> None:
    plan = demo.plan()
    juki = next(e for e in plan.network.endpoints if e.name == "juki")
    gateway_address = next(
        v.address.ip for v in plan.network.vips if v.segment == juki.segment and "dc1-gw1a" in v.nodes
    )
    with demo.shell(plan) as shell:
        shell.run("dc1-gw1a", "nft", "insert", "rule", "inet", "kumiai", "forward", "tcp", "dport", "22", "accept")
        opened = [one for one in drift(demo) if one["kind"] == "not_declared"]
        assert {one["severity"] for one in opened} == {"critical"}
        assert any("dc1-gw1a" in step for one in opened for step in one["path"])
        shell.run("dc1-gw1a", "systemctl", "reload-or-restart", "nftables.service")

        way = ("10.9.0.0/16", "via", str(gateway_address))
        shell.run("juki-ap1", "ip", "route", "add", *way)
        (route,) = drift(demo)
        assert "juki-ap1: a route that is not planned: unicast 10.9.0.0/16" in route["reason"]
        shell.run("juki-ap1", "ip", "route", "del", *way)

        shell.run("zaimu-tsuno-ap1", "systemctl", "stop", "nftables.service")
        found = drift(demo)
        assert any("zaimu-tsuno-ap1: nftables.service is inactive" in one["reason"] for one in found)
        shell.run("zaimu-tsuno-ap1", "systemctl", "start", "nftables.service")
    moved = Hypervisors(demo, plan).move_card("zaimu-tsuno-ap1", to_segment=juki.segment)
    try:
        assert any("zaimu-tsuno-ap1" in one["reason"] and one["severity"] == "critical" for one in drift(demo))
    finally:
        moved()
    assert drift(demo) == []


@dataclasses.dataclass(frozen=True)
class Hypervisors:
    """The stack's hosts, as somebody with virsh changes them."""

    place: Place
    plan: Plan

    def move_card(self, node: str, to_segment: str) -> Callable[[], None]:
        """Put the first card of ``node`` behind management on another network; return what puts it back."""
        host = virsh.hypervisors(self.plan, self.plan.node_by_name[node].site)[self.plan.node_by_name[node].host]
        card = self.plan.network.node_by_name[node].interfaces[1]
        domain = names.domain(NAME, node)
        cards = host.domain_xml(domain).xpath("devices/interface[mac/@address=$mac]", mac=card.mac)
        (found,) = cast("list[etree._Element]", cards)

        def plug(segment: str) -> None:
            for gone in ("source", "target", "alias"):
                for element in found.findall(gone):
                    found.remove(element)
            found.set("type", "network")  # a running one is told by its bridge
            etree.SubElement(found, "source", network=names.network(NAME, segment))
            file = self.place.folder / "card.xml"
            file.write_bytes(etree.tostring(found))
            host.call("update-device", domain, str(file), "--live")

        plug(to_segment)
        return lambda: plug(card.segment)


ASK_STEADILY = """\
import http.client, ssl, sys, time
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=8, context=context)
try:
    while True:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        print(answer.status, flush=True)
        time.sleep(0.5)
except OSError as e:
    print(type(e).__name__, flush=True)
"""


def test_a_flow_that_is_closed_ends_its_open_session_and_opens_again(demo: Place) -> None:
    text = demo.stack_file.read_text(encoding="utf-8")
    flow = text[text.index("flows:\n") : text.index("availability:")]
    closed = demo.edited("closed", (flow, ""))
    plan = demo.plan()
    zaimu = next(e for e in plan.network.endpoints if e.name == "zaimu-nishiki")
    address = str(plan.network.vip_by_name[zaimu.vip].address.ip)
    with demo.shell(plan) as shell:
        ask = shell.argv("juki-ap1", "python3", "-I", "-S", "-c", ASK_STEADILY, address, "8443")
        with process.started(*ask) as session:
            assert session.hear() == "200"
            assert demo.kumiai("configure", stack_file=closed).code == 0
            heard = list(iter(session.hear, ""))
        assert heard[-1] == "TimeoutError", "nothing was answered any more"
        with process.started(*ask) as refused:
            assert refused.hear() in {"TimeoutError", "OSError"}  # dropped, or not even a route any more
        assert demo.kumiai("configure").code == 0
        with process.started(*ask) as again:
            assert again.hear() == "200"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of the declaration or the lock, and what it means to a node."""

    name: str
    changes: tuple[tuple[str, str], ...] = ()
    lock: tuple[str, str] | None = None
    node: str
    expected: str


EDITS = (
    Edit(
        name="memory",
        changes=(
            ("database: {count: 1, vcpus: 1, memory_gib: 1,", "database: {count: 1, vcpus: 1, memory_gib: 1.25,"),
        ),
        node="juki-db1",
        expected="restart",
    ),
    Edit(
        name="segment",
        changes=(("    zone: lgwan\n    pattern: mixed", "    zone: mynumber\n    pattern: mixed"),),
        node="zaimu-tsuno-ap1",
        expected="restart",
    ),
    Edit(name="disk", changes=(("disk_gib: 2}", "disk_gib: 3}"),), node="juki-db1", expected="replace: data loss"),
    Edit(
        name="first-boot",
        lock=("juki-ap2: 172.16.4.5", "juki-ap2: 172.16.4.200"),
        node="juki-ap2",
        expected="replace: data loss",
    ),
)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_preview_names_the_true_class_of_a_change(demo: Place, edit: Edit) -> None:
    other = demo.edited(edit.name, *edit.changes, lock=edit.lock)
    assert demo.kumiai("plan", stack_file=other).code == 0
    done = demo.kumiai("preview", "--json", stack_file=other)
    classes = {change["name"]: change["class"] for change in done.json()["changes"]}
    assert classes[edit.node] == edit.expected
    if edit.expected == "restart":
        assert done.code == 0
        return
    assert done.code == 1
    refused = demo.kumiai("up", stack_file=other)
    assert refused.code == 1
    assert edit.node in refused.err
    assert "--allow-data-loss" in refused.err
    assert demo.kumiai("verify").code == 0


def test_a_host_that_does_not_answer_is_named_before_anything_changes(demo: Place) -> None:
    process.run("kill", "-9", str(libvirtd_of("kvm03")))
    done = demo.kumiai("up")
    assert done.code == 3
    assert "kvm03" in done.err
    assert demo.kumiai("lab", "up").code == 0
    assert demo.kumiai("preview").code == 0


def test_a_missing_image_is_named(demo: Place) -> None:
    lock = demo.stack_file.with_suffix(".lock.yaml")
    text = lock.read_text(encoding="utf-8")
    pinned = text.partition("image: ")[2].split()[0]
    other = demo.edited("image", lock=(pinned, "trixie-000000000000"))
    done = demo.kumiai("up", stack_file=other)
    assert done.code in (2, 3)
    assert "trixie-000000000000" in done.err


def test_no_secret_is_in_state_logs_or_arguments(demo: Place) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo.environment.items():
            patch.setenv(name, value)
        secrets = store.load(demo.stack_file, "dc1")
    planted = [
        *secrets.passwords.values(),
        *(pair.private.splitlines()[2] for pair in secrets.hosts.values()),
        secrets.station.private.splitlines()[2],
        secrets.ca.key_pem.splitlines()[1],
    ]
    assert len(planted) > 8
    files = [
        path
        for folder in (
            demo.folder,
            places.ROOT / ".kumiai",
            places.ROOT / "stacks",
            pathlib.Path("/run/kumiai-lab") / NAME,
        )
        if folder.exists()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size < 50_000_000
    ]
    assert len(files) > 3
    texts = [path.read_bytes() for path in files]
    arguments = [path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    for secret in planted:
        assert not [f for f, text in zip(files, texts, strict=True) if secret.encode() in text]
        assert not [a for a in arguments if secret.encode() in a]


def test_destroy_is_refused_without_leave_and_then_leaves_nothing(demo: Place) -> None:
    refused = demo.kumiai("destroy")
    assert refused.code == 1
    assert "juki-db1" in refused.err
    assert made(demo, "domain") == 7
    nodes = [f"--allow-data-loss={node.name}" for node in demo.plan().nodes]
    assert demo.kumiai("destroy", *nodes).code == 0
    assert made(demo, "domain") == 0
    assert made(demo, "volume") == 0
    left = [
        path
        for path in (pathlib.Path("/var/lib/kumiai-lab") / NAME).rglob("*")
        if f"kumiai.{NAME}" in path.name and path.is_file()
    ]
    assert left == []


def test_lab_down_leaves_nothing(demo: Place) -> None:
    assert demo.kumiai("lab", "down").code == 0
    assert not [line for line in process.run("ip", "netns", "list").splitlines() if line.startswith(f"kl.{NAME}.")]
    assert not pathlib.Path(f"/run/kumiai-lab/{NAME}").exists()
    assert not pathlib.Path(f"/var/lib/kumiai-lab/{NAME}").exists()

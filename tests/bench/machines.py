"""Making and configuring machines, beside bare virsh and stock Ansible. Needs root; starts a lab of its own."""

from __future__ import annotations

import os
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping

from infra import process
from infra.hosts import access
from infra.operations import contact, virsh
from infra.plan.model import Plan
from infra.secrets import store
from infra.secrets.model import Secrets
from tests.bench import timing
from tests.lab import place as places
from tests.lab.place import Done, Place

STACK = "mixed"
SITE = "dc1"


def main() -> None:
    """Measure `up` beside virsh, then `configure` beside stock Ansible, on the same machines."""
    with tempfile.TemporaryDirectory() as name:
        place = places.make(pathlib.Path(name), STACK, "t-bench")
        try:
            _require(place.kumiai("plan"))
            _require(place.kumiai("lab", "up"))
            _require(place.kumiai("hosts"))
            with timing.machine_memory() as peak:
                bench_up(place)
                bench_configure(place)
            timing.line(
                f"peak memory of the whole machine, {len(place.plan().nodes)} guests", f"{peak[-1]:.0f} MiB", "-"
            )
            _require(place.kumiai("destroy", "--allow-data-loss=all"))
        finally:
            place.remove()


def bench_up(place: Place) -> None:
    """`kumiai up` from nothing, and the same volumes and XML by virsh, each until every machine answers on SSH."""
    plan = place.plan()
    os.environ.update(place.environment)
    _require(place.kumiai("up", "--no-wait"))  # builds the image and makes the keys, which both sides then have
    secrets = store.load(place.stack_file, SITE)
    with tempfile.TemporaryDirectory() as name:
        copies = _copy(plan, pathlib.Path(name))
        _require(place.kumiai("destroy", "--allow-data-loss=all"))
        peer_made, peer = _timed(lambda: _by_virsh(plan, copies), plan, secrets)
        _remove_by_virsh(plan)
    own_made, own = _timed(lambda: _require(place.kumiai("up", "--no-wait")), plan, secrets)
    noop = [_require(place.kumiai("up", "--no-wait")).seconds for _ in range(3)]
    preview = [_require(place.kumiai("preview")).seconds for _ in range(3)]
    count = len(plan.nodes)
    timing.line(f"up: {count} machines, until SSH answers", f"{own:.1f} s ({own_made:.1f} s made)", "-")
    timing.line("  beside virsh with the same XML", f"{peer:.1f} s ({peer_made:.1f} s)", "-")
    timing.line("  ratio", f"{own / peer:.2f}", "<= 1.15")
    timing.line("up again, nothing to do", f"{statistics.median(noop):.1f} s", "<= 10 s")
    timing.line("preview, nothing to do", f"{statistics.median(preview):.1f} s", "<= 10 s")


def bench_configure(place: Place) -> None:
    """Second runs, which change nothing on either side, and so can be repeated on the same machines."""
    first = _require(place.kumiai("configure", "--json"))
    own = [_require(place.kumiai("configure", "--json")) for _ in range(3)]
    os.environ["ANSIBLE_PIPELINING"] = "False"  # Ansible's default; ansible.cfg here says otherwise
    peer = [_require(place.kumiai("configure", "--json", "--strategy=stock"))]
    del os.environ["ANSIBLE_PIPELINING"]
    changed = [node["node"] for run in own for node in run.json()["nodes"] if node["changed"]]
    fast = statistics.median(float(run.json()["seconds"]) for run in own)
    slow = statistics.median(float(run.json()["seconds"]) for run in peer)
    timing.line("configure: first run", f"{float(first.json()['seconds']):.1f} s", "-")
    timing.line(f"configure again ({len(changed)} nodes changed)", f"{fast:.1f} s", "-")
    timing.line("  beside Ansible's defaults, same roles", f"{slow:.1f} s, ratio {fast / slow:.2f}", "<= 0.25")


def _require(done: Done) -> Done:
    if done.code != 0:
        raise RuntimeError(f"exit {done.code}\n{done.err}")
    return done


def _timed(make: Callable[[], object], plan: Plan, secrets: Secrets) -> tuple[float, float]:
    """Return seconds until made, and until every machine answered."""
    begun = time.monotonic()
    make()
    made = time.monotonic() - begun
    answers = contact.wait_ssh(plan, SITE, secrets)
    contact.require_answers(plan, answers)
    return made, time.monotonic() - begun


def _copy(plan: Plan, folder: pathlib.Path) -> Mapping[str, pathlib.Path]:
    """Keep what virsh needs to make the same again: the XML of everything, and the contents of uploaded volumes."""
    copies = {}
    pool = f"kumiai.{plan.stack}"
    for host, hypervisor in virsh.hypervisors(plan, SITE).items():
        here = copies[host] = folder / host
        here.mkdir()
        for thing in sorted(hypervisor.marked()):
            words = {
                "domain": ("dumpxml", "--inactive"),
                "network": ("net-dumpxml", "--inactive"),
                "pool": ("pool-dumpxml",),
                "volume": ("vol-dumpxml", "--pool", pool),
            }[thing.kind]
            text = hypervisor.call(*words, thing.name)
            (here / f"{thing.name}.{thing.kind}.xml").write_text(text, encoding="utf-8")
            if thing.kind == "volume" and re.search(r"\.(seed\.|image\.)", thing.name):
                hypervisor.call(
                    "vol-download", "--pool", pool, "--sparse", thing.name, str(here / thing.name), timeout_s=600
                )
    return copies


def _by_virsh(plan: Plan, copies: Mapping[str, pathlib.Path]) -> None:
    pool = f"kumiai.{plan.stack}"
    for host, here in copies.items():
        uri = access.libvirt_uri(plan, host)

        def call(*words: str, uri: str = uri) -> None:
            process.run("virsh", "-q", "-c", uri, *words, timeout_s=600)

        def files(kind: str, here: pathlib.Path = here) -> list[pathlib.Path]:
            return sorted(here.glob(f"*.{kind}.xml"), key=lambda path: ("backingStore" in path.read_text(), path.name))

        for file in files("pool"):
            call("pool-define", str(file))
            call("pool-build", pool)
            call("pool-start", pool)
        for file in files("network"):
            call("net-define", str(file))
            call("net-start", file.name.removesuffix(".network.xml"))
        for file in files("volume"):
            name = file.name.removesuffix(".volume.xml")
            call("vol-create", pool, str(file))
            if (here / name).exists():
                call("vol-upload", "--pool", pool, "--sparse", name, str(here / name))
        for file in files("domain"):
            call("define", str(file))
            call("start", file.name.removesuffix(".domain.xml"))


def _remove_by_virsh(plan: Plan) -> None:
    order = {"domain": 0, "volume": 1, "network": 2, "pool": 3}
    for hypervisor in virsh.hypervisors(plan, SITE).values():
        for thing in sorted(hypervisor.marked(), key=lambda t: order[t.kind]):
            hypervisor.remove(thing)

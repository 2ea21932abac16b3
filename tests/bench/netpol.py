"""The same question to a published program: who may open which connections to whom, for one declaration.

`np-guard/netpol-analyzer` (Apache-2.0) answers for all ordered pairs, exactly and without a cluster, from Kubernetes
network policies. Its source is built here on demand, from the module and the digests in ``netpolicy/``. Each office LAN
and each member's share of a service is one workload; whatever is not declared is denied both ways.

What it does not judge, so that its times are no verdict: addresses and who may use them, gateways, cards and routes,
ICMP and IPv6, answers and errors of open connections, the platform's own traffic (management, routing, pairs).
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping

import yaml

from infra.audit import check
from infra.audit.model import Audit
from infra.declaration.model import Declaration, Flow
from infra.engine import build as engine_build
from infra.engine import cache_folder, golang
from infra.plan import build as builder
from infra.plan.lock import Lock
from infra.plan.model import Plan
from network.errors import EnvironmentLackError
from tests.bench import network, timing
from tests.plan import factory

SIZES = (10, 31)
"""Members; at 100 the other program had not answered after some minutes, and the rest of the measurements waits."""
LIMIT_S = 600
SOURCES = pathlib.Path(__file__).with_name("netpolicy")
PROGRAM = "github.com/np-guard/netpol-analyzer/cmd/netpolicy"
_LINE = re.compile(r"default/(?P<source>\S+)\[Deployment\] => default/(?P<target>\S+)\[Deployment\] : (?P<ports>.+)")

Answer = frozenset[tuple[str, str, str, int, int]]
"""(from, to, protocol, first port, last port); parties are written ``office-m1-lgwan`` and ``service-zaimu-m1``."""


def declaration(members: int) -> Declaration:
    """Return ``members`` × 3 zones with a service in each, and one exception between two zones of each member."""
    data = network.large_group(members, services_per_zone=1)
    exception: factory.Data = {
        "from": "service:mynumber-0",
        "to": "service:lgwan-0",
        "allow": ["tcp/8443", "tcp/9000-9010"],
        "kind": "specific",
        "reason": "試験",
        "approved_by": "試験",
        "expires": "2030-03-31",
    }
    return data.model_copy(update={"flows": (Flow.model_validate(exception),)})


def plan(declared: Declaration) -> Plan:
    """Return the plan of ``declared``."""
    return builder.build("bench", declared, Lock(stack="bench"), network.DAY, clock=time.perf_counter).plan


def main() -> None:
    """Ask both, compare the answers, and print what each took."""
    try:
        program = build()
    except (EnvironmentLackError, subprocess.CalledProcessError) as e:
        print(f"audit: np-guard/netpol-analyzer cannot be built here, so nothing is compared with it: {e}", flush=True)
        return
    for members in SIZES:
        own = _finished((sys.executable, "-m", "tests.bench.netpol", str(members)))
        found = json.loads(own.output)
        ours = frozenset(tuple(row) for row in found["answer"])
        with tempfile.TemporaryDirectory() as folder:
            policies = pathlib.Path(folder) / "policies.yaml"
            policies.write_text(
                yaml.dump_all(manifests(declaration(members)), Dumper=yaml.CSafeDumper), encoding="utf-8"
            )
            peer = _finished((str(program), "list", "--quiet", "--dirpath", folder))
        theirs = answer_of(peer.output)
        what = f"audit beside netpol-analyzer: {members} members, {len(theirs)} connections"
        timing.line(what, f"{len(ours ^ theirs)} differences", "0")
        for who, rows in (("only ours", ours - theirs), ("only theirs", theirs - ours)):
            for row in sorted(rows)[:5]:
                print(f"    {who}: {row}", flush=True)
        timing.line("  ours, the declared level alone", f"{found['cpu_s']:.2f} s CPU, {found['mib']:.0f} MiB", "-")
        timing.line("  ours, planning and start-up too", f"{own.cpu_s:.2f} s CPU, {own.memory_mib:.0f} MiB", "-")
        ratio = peer.cpu_s / own.cpu_s
        value = f"{peer.cpu_s:.2f} s CPU, {peer.memory_mib:.0f} MiB"
        timing.line("  netpol-analyzer", value, f"-, {ratio:.1f} × our whole process")


def build() -> pathlib.Path:
    """Return the program, built when it is not there yet; CalledProcessError where its sources cannot be had."""
    program = pathlib.Path(".kumiai/bench/netpolicy").absolute()
    if not program.exists():
        cache = cache_folder(os.environ)
        with engine_build.lock(cache):
            go = golang.probe_path(os.environ) or golang.install_wheel(cache)
            argv = (str(go.executable), "build", "-trimpath", "-o", str(program), PROGRAM)
            subprocess.run(argv, cwd=SOURCES, env={**os.environ, **go.env}, check=True)
            golang.remove_wheel(cache)
    return program


def manifests(declared: Declaration) -> Iterator[Mapping[str, object]]:
    """Yield a declaration as Kubernetes objects: members' own services, their offices, flows between services."""
    zones = {service.id: service.zone for service in declared.services}
    if any(service.pattern == "multi_tenant" for service in declared.services):
        raise AssertionError("services of several members are not translated")
    yield _policy("nothing-else", {}, {"policyTypes": ["Ingress", "Egress"]})
    for member in declared.members:
        offices = {f"office-{member.id}-{zone}": zone for office in member.offices for zone in office.zones}
        services = {service.id: f"service-{service.id}-{member.id}" for service in declared.services}
        for name in (*offices, *services.values()):
            yield _workload(name)
        for service in declared.services:
            mine = services[service.id]
            for office, zone in offices.items():
                if zone == zones[service.id]:
                    yield from _opened(office, mine, ((p.protocol, p.first, p.last) for p in service.listen))
        for flow in declared.flows:
            source, target = (services[end.removeprefix("service:")] for end in (flow.from_, flow.to))
            yield from _opened(source, target, ((p.protocol, p.first, p.last) for p in flow.allow))


def _workload(name: str) -> Mapping[str, object]:
    template = {"metadata": {"labels": {"name": name}}, "spec": {"containers": [{"name": "it", "image": "it"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"name": name}}, "template": template},
    }


def _opened(source: str, target: str, allow: Iterable[tuple[str, int, int]]) -> Iterator[Mapping[str, object]]:
    """Both ends must agree, as the filters of both ends must here."""
    ports = [{"protocol": protocol.upper(), "port": first, "endPort": last} for protocol, first, last in allow]
    here, there = ({"podSelector": {"matchLabels": {"name": name}}} for name in (source, target))
    outward = {"policyTypes": ["Egress"], "egress": [{"to": [there], "ports": ports}]}
    yield _policy(f"{source}.{target}.out", {"name": source}, outward)
    inward = {"policyTypes": ["Ingress"], "ingress": [{"from": [here], "ports": ports}]}
    yield _policy(f"{source}.{target}.in", {"name": target}, inward)


def _policy(name: str, selected: Mapping[str, str], rules: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": selected} if selected else {}, **rules},
    }


def answer_of(text: str) -> Answer:
    """Return what the program printed; AssertionError for a line that is no connection between two workloads."""
    found = set()
    for line in filter(None, text.splitlines()):
        match = _LINE.fullmatch(line)
        assert match is not None, f"not understood: {line}"
        protocol, _, ports = match["ports"].partition(" ")
        for span in ports.split(","):
            first, _, last = span.partition("-")
            found.add((match["source"], match["target"], protocol.lower(), int(first), int(last or first)))
    return frozenset(found)


def answer_of_audit(planned: Plan, audit: Audit) -> Answer:
    """Return what offices and services open to each other, with a service's machines under its name."""
    parties = {e.name: e.name.replace(":", "-").replace("/", "-") for e in audit.endpoints if e.kind == "office"}
    for endpoint in planned.network.endpoints:
        for name in (f"service:{endpoint.name}", *endpoint.application):
            parties[name] = f"service-{endpoint.service}-{endpoint.member}"
    found = set()
    for pair in audit.pairs:
        if pair.source in parties and pair.target in parties:
            for one in (packets for passing in pair.passing for packets in passing.packets):
                first, _, last = one.ports.partition("-")
                found.add((parties[pair.source], parties[pair.target], one.protocol, int(first), int(last or first)))
    return frozenset(found)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    output: str
    cpu_s: float
    memory_mib: float


def _finished(argv: tuple[str, ...]) -> _Finished:
    """Run a program to its end within :data:`LIMIT_S`, and return what it alone took."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        limited = ("timeout", str(LIMIT_S), *argv)
        process = subprocess.Popen(limited, stdout=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, argv)
        output.seek(0)
        return _Finished(output=output.read(), cpu_s=used.ru_utime + used.ru_stime, memory_mib=used.ru_maxrss / 1024)


def _ours(members: int) -> Mapping[str, object]:
    planned = plan(declaration(members))
    with timing.work() as work:
        audit = check.audit_declared(planned, dict.fromkeys(planned.members, "alpha"))
    answer = sorted(answer_of_audit(planned, audit))
    return {"answer": answer, "cpu_s": work.cpu_s, "mib": work.peak_mib}


if __name__ == "__main__":
    print(json.dumps(_ours(int(sys.argv[1]))))

"""The running system against the plan: every machine's live XML, and nothing of ours that nobody planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from infra.hosts import check as host_check
from infra.hosts import uplinks, views
from infra.operations import contact, live, reconcile, run, state, virsh
from infra.operations.live import Finding
from infra.operations.run import Request
from infra.operations.virsh import Hypervisor, Thing
from infra.operations.workspace import Deployment
from infra.plan.model import Plan
from infra.resources import names

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was looked at, and what was found."""

    machines: int
    cards: int
    disks: int
    objects: int
    """Marked objects of libvirt on all hosts."""
    findings: tuple[Finding, ...]
    bridges: int = 0
    """Bridges of hypervisors."""
    settings: int = 0
    """Kernel settings of hypervisors."""

    @property
    def passed(self) -> bool:
        """Whether something was looked at and nothing was found."""
        return not self.findings and self.machines > 0


def check_machines(
    plan: Plan, site: str, hosts: Mapping[str, Hypervisor], present: Mapping[str, frozenset[Thing]]
) -> Report:
    """Compare every planned machine of ``site`` on ``hosts`` with what its host runs."""
    planned = [node for node in plan.nodes if node.site == site and node.host in hosts]
    running = {host: hypervisor.running() for host, hypervisor in hosts.items()}
    findings: list[Finding] = []
    xmls = {}
    existing = [
        node
        for node in planned
        if Thing(node.host, "domain", names.domain(plan.stack, node.name)) in present[node.host]
    ]
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = pool.map(lambda n: hosts[n.host].domain_xml(names.domain(plan.stack, n.name)), existing)
        xmls = {node.name: xml for node, xml in zip(existing, asked, strict=True)}
    for node in planned:
        name = names.domain(plan.stack, node.name)
        if node.name in xmls:
            is_up = name in running[node.host]
            findings += live.check_machine(plan, node, xmls[node.name], running=is_up)
        else:
            findings.append(Finding(host=node.host, subject=node.name, message="the machine does not exist"))
    return Report(
        machines=len(planned),
        cards=sum(len(xml.findall("devices/interface")) for xml in xmls.values()),
        disks=sum(len(xml.findall("devices/disk")) for xml in xmls.values()),
        objects=sum(len(things) for things in present.values()),
        findings=tuple(sorted(findings)),
    )


def check_objects(stack: str, deployment: Deployment, present: Mapping[str, frozenset[Thing]]) -> tuple[Finding, ...]:
    """Return what carries our mark and is unknown to the state, and what the state knows and does not exist."""
    found = reconcile.compare(stack, deployment, present, None)
    unknown = sorted({*found.leftover, *found.foreign})
    said = [
        Finding(host=thing.host, subject=thing.name, message=f"a {thing.kind} of ours that the state does not know")
        for thing in unknown
    ]
    held = frozenset().union(*present.values()) if present else frozenset()
    for entry in state.known(deployment):
        thing = entry.thing
        if thing.host in present and thing not in held:
            said.append(Finding(host=thing.host, subject=thing.name, message=f"the {thing.kind} is gone"))
    if found.stale_operations:
        said.append(Finding(host="-", subject=stack, message="an interrupted run left half-done operations"))
    return tuple(said)


def check_planned_domains(plan: Plan, present: Mapping[str, frozenset[Thing]]) -> tuple[Finding, ...]:
    """Return machines with our mark that the plan does not want on the host that has them."""
    wanted = {Thing(node.host, "domain", names.domain(plan.stack, node.name)) for node in plan.nodes}
    return tuple(
        Finding(host=thing.host, subject=thing.name, message="the plan has no such machine on this host")
        for things in present.values()
        for thing in sorted(things)
        if thing.kind == "domain" and thing not in wanted
    )


def check_seeds(
    plan: Plan, site: str, hosts: Mapping[str, Hypervisor], present: Mapping[str, frozenset[Thing]]
) -> tuple[Finding, ...]:
    """Return the machines whose first-boot disk still holds their host key."""
    message = "its first-boot disk still holds its SSH host key; `kumiai up` wipes it"
    disks = contact.unwiped(plan, site, hosts, present)
    return tuple(Finding(host=plan.node_by_name[node].host, subject=node, message=message) for node in disks)


def check_site(plan: Plan, site: str, hosts: Mapping[str, Hypervisor], deployment: Deployment) -> Report:
    """Compare everything that ``plan`` puts on ``site`` with what the hosts hold."""
    present = virsh.probe_all(hosts)
    machines = check_machines(plan, site, hosts, present)
    more = (
        *check_objects(plan.stack, deployment, present),
        *check_planned_domains(plan, present),
        *check_seeds(plan, site, hosts, present),
    )
    return dataclasses.replace(machines, findings=tuple(sorted({*machines.findings, *more})))


def check_hypervisors(plan: Plan, hosts: Mapping[str, Hypervisor], without: Collection[str]) -> Report:
    """Compare bridges, tunnels and kernel settings of the hypervisors with the plan."""
    planned = views.plan_views(plan, uplinks.load(plan), sorted(without))
    reports = host_check.check(plan, {name: view for name, view in planned.items() if name in hosts})
    findings = [
        Finding(host=deviation.host, subject=deviation.where, message=f"{deviation.rule}: {deviation.message}")
        for report in reports
        for deviation in report.deviations
    ]
    return Report(
        machines=0,
        cards=0,
        disks=0,
        objects=0,
        bridges=sum(report.bridges for report in reports),
        settings=sum(report.settings for report in reports),
        findings=tuple(findings),
    )


def verify_site(plan: Plan, site: str, request: Request) -> Report:
    """Verify one site of a running stack: its machines, what carries its mark, and the hypervisors themselves."""
    hosts = virsh.hypervisors(plan, site, request.lost)
    virsh.probe_all(hosts)
    place = run.open_site(request, plan, site)
    deployment = place.export() if place.exists else {}
    report, below = check_site(plan, site, hosts, deployment), check_hypervisors(plan, hosts, request.lost)
    findings = tuple(sorted({*report.findings, *below.findings}))
    return dataclasses.replace(report, bridges=below.bridges, settings=below.settings, findings=findings)

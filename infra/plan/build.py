"""Declaration and lock → plan and next lock. Pure: no clock, no network, no file."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from infra import tenancy
from infra.declaration import queries
from infra.declaration.links import Link
from infra.declaration.model import Declaration
from infra.declaration.model import Host as DeclaredHost
from infra.placement import model as placement_model
from infra.placement.bounds import minimum_hosts_per_key
from infra.placement.planner import plan_placement
from infra.plan import recovery, wishes
from infra.plan.lock import Lock, NodeEntry
from infra.plan.model import ROOT_GIB, Host, Node, PlacementSummary, Plan
from infra.plan.network import Builder
from infra.tenancy import gateways
from infra.tenancy.groups import Instance, NodeWish
from network import addressing
from network.errors import InputError
from network.flows import resolve_declared
from network.model import NetworkPlan

Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A plan and the lock that keeps it."""

    plan: Plan
    lock: Lock
    changed: bool
    """Whether the lock differs from the one that planning began with."""


def build(
    stack: str, declaration: Declaration, lock: Lock, as_of: datetime.date, clock: Clock, *, links: Sequence[Link] = ()
) -> Built:
    """Return the plan of ``declaration`` on ``as_of`` with ``links`` open between members.

    What ``lock`` holds stays where it is. ``clock`` measures the placement in seconds; its reading is the only part
    of the plan that is not determined by the input, and no part of the digest.
    Raises InputError (PlacementError among them) when no plan exists.
    """
    instances = tenancy.expand(declaration, as_of)
    if not instances:
        raise InputError(f"{stack}: no service has a participant on {as_of}; nothing is to be planned")
    shards = gateways.plan_shards(declaration, instances, lock.gateways)
    nodes = (*_gateway_wishes(declaration, instances, shards), *_service_wishes(declaration, instances))
    _require_unique(stack, nodes)
    shared = wishes.shared_segments(instances, lock.shared_segments)
    generation = lock.generation + 1
    supernet = declaration.addressing.supernet
    if supernet.version != 4:
        raise InputError(f"{stack}: addressing.supernet {supernet} is not IPv4, which is what nodes are addressed with")
    book = addressing.plan_book(
        lock.book,
        wishes.segment_wishes(declaration, instances, shards, nodes, shared),
        supernet=supernet,
        taken=wishes.taken(declaration),
        generation=generation,
    )
    network = Builder(
        stack=stack,
        declaration=declaration,
        as_of=as_of,
        instances=instances,
        shards=shards,
        nodes=nodes,
        shared=shared,
        book=book,
        cards={name: tuple(entry.cards) for name, entry in lock.nodes.items()},
        links=links,
    ).build()
    started = clock()
    placed = _place(declaration, nodes, lock)
    seconds = clock() - started
    entries = {node.name: _entry(node, placed.assignment[node.name], lock, network) for node in nodes}
    next_lock = Lock(
        stack=stack,
        generation=generation,
        gateways={shard.name: shard.members for shard in shards},
        shared_segments=shared,
        nodes=entries,
        retired=_retired(lock, entries),
        book=book,
    )
    unchanged = dataclasses.replace(
        next_lock, generation=lock.generation, book=dataclasses.replace(book, quarantine=lock.book.quarantine)
    )
    changed = unchanged != lock
    plan = _plan(
        stack=stack,
        declaration=declaration,
        as_of=as_of,
        wanted=nodes,
        entries=entries,
        network=network,
        placed=placed,
        seconds=seconds,
    )
    return Built(plan=plan, lock=next_lock if changed else lock, changed=changed)


def _gateway_wishes(
    declaration: Declaration, instances: Sequence[Instance], shards: Sequence[gateways.Shard]
) -> tuple[NodeWish, ...]:
    size = declaration.availability.gateway_size
    keyed = {instance.key for instance in instances}
    wanted: list[NodeWish] = []
    for shard in shards:
        # What is dedicated to one member counts as that member's; what serves several goes on hosts without a key.
        own = f"member:{shard.members[0]}" if declaration.availability.gateway == "dedicated" else None
        wanted += [
            NodeWish(
                name=name,
                role="gateway",
                service=None,
                instance=None,
                members=shard.members,
                zone="internet" if shard.zones == ("internet",) else None,
                site=shard.site,
                vcpus=size.vcpus,
                memory_mib=round(size.memory_gib * 1024),
                data_gib=0,
                replica_sets=(shard.name,) if len(shard.nodes) > 1 else (),
                key=own if own in keyed else None,
                allowed_hosts=None,
            )
            for name in shard.nodes
        ]
    return tuple(wanted)


def _service_wishes(declaration: Declaration, instances: Sequence[Instance]) -> tuple[NodeWish, ...]:
    services = {service.id: service for service in declaration.services}
    return tuple(
        wish
        for instance in instances
        if instance.runs_on is None
        for wish in tenancy.node_wishes(instance, services[instance.service])
    )


def _require_unique(stack: str, nodes: Sequence[NodeWish]) -> None:
    twice = [name for name, count in Counter(node.name for node in nodes).items() if count > 1]
    if twice:
        raise InputError(f"{stack}: two machines would have the name {twice[0]}; give one of the services another id")


def _capacity(host: DeclaredHost) -> placement_model.Host:
    part = host.slice or host
    return placement_model.Host(
        id=host.id,
        site=host.site,
        chassis=host.chassis,
        vcpus=int(part.vcpus * host.vcpu_overcommit),
        memory_mib=int(part.memory_gib * 1024),
        storage_gib=part.storage_gib,
    )


def _to_place(nodes: Sequence[NodeWish]) -> tuple[placement_model.Node, ...]:
    return tuple(
        placement_model.Node(
            name=node.name,
            site=node.site,
            vcpus=node.vcpus,
            memory_mib=node.memory_mib,
            storage_gib=ROOT_GIB + node.data_gib,
            key=node.key,
            # Where the declaration names the hosts, their keys are its own business.
            keyless_host=node.key is None and node.allowed_hosts is None,
            zone=node.zone,
            allowed_hosts=None if node.allowed_hosts is None else frozenset(node.allowed_hosts),
            replica_sets=node.replica_sets,
            stateful=node.data_gib > 0,
        )
        for node in nodes
    )


def _rules(declaration: Declaration) -> placement_model.Rules:
    availability = declaration.availability
    return placement_model.Rules(
        spare_hosts=availability.spare_hosts,
        after_loss=availability.after_loss,
        zone_hosts=availability.zone_separation.hosts,
    )


def _place(declaration: Declaration, nodes: Sequence[NodeWish], lock: Lock) -> placement_model.Placement:
    known = {host.id for host in declaration.hosts}
    fixed = {node.name: lock.nodes[node.name].host for node in nodes if node.name in lock.nodes}
    for name, host in fixed.items():
        if host not in known:
            raise InputError(
                f"node {name} is on host {host} in the lock, and the stack file does not declare that host any more; "
                f"declare it again, or take the node out first"
            )
    return plan_placement(
        _to_place(nodes), tuple(_capacity(host) for host in declaration.hosts), _rules(declaration), fixed
    )


def _entry(node: NodeWish, host: str, lock: Lock, network: NetworkPlan) -> NodeEntry:
    old = lock.nodes.get(node.name)
    return NodeEntry(
        host=host,
        generation=old.generation if old else lock.retired.get(node.name, 0) + 1,
        image=old.image if old else None,
        cards={card.segment: card.mac for card in network.node_by_name[node.name].interfaces},
    )


def _retired(lock: Lock, entries: Mapping[str, NodeEntry]) -> dict[str, int]:
    gone = {name: entry.generation for name, entry in lock.nodes.items() if name not in entries}
    return {name: last for name, last in {**lock.retired, **gone}.items() if name not in entries}


def _plan(
    *,
    stack: str,
    declaration: Declaration,
    as_of: datetime.date,
    wanted: Sequence[NodeWish],
    entries: Mapping[str, NodeEntry],
    network: NetworkPlan,
    placed: placement_model.Placement,
    seconds: float,
) -> Plan:
    nodes = tuple(
        Node(
            name=node.name,
            role=node.role,
            service=node.service,
            members=node.members,
            zone=node.zone,
            site=node.site,
            host=entries[node.name].host,
            vcpus=node.vcpus,
            memory_mib=node.memory_mib,
            data_gib=node.data_gib,
            replica_sets=node.replica_sets,
            generation=entries[node.name].generation,
            image=entries[node.name].image,
        )
        for node in wanted
    )
    keys = {entries[node.name].host: node.key for node in wanted if node.key is not None}
    logs = declaration.sla.logs if declaration.sla else None
    unopened = resolve_declared(network)[1]
    return Plan(
        stack=stack,
        title=declaration.group.title,
        as_of=as_of,
        members={member.id: member.name for member in declaration.members},
        services={service.id: service.title for service in declaration.services},
        nodes=nodes,
        hosts=tuple(_host(host, nodes, keys.get(host.id)) for host in declaration.hosts),
        network=network,
        placement=PlacementSummary(
            hosts_used=placed.hosts_used,
            lower_bound=placed.lower_bound,
            optimal=placed.optimal,
            seconds=round(seconds, 3),
            minimum_hosts=tuple(
                minimum_hosts_per_key(
                    _to_place(wanted), tuple(_capacity(host) for host in declaration.hosts), _rules(declaration)
                )
            ),
        ),
        survives=placed.survives,
        recovery=recovery.compute(network, declaration.sla),
        assumed=queries.assumed_paths(declaration),
        expired=tuple(
            f"flows[{index}]: {flow.from_} → {flow.to} expired on {flow.expires}"
            for index, flow in queries.expired_flows(declaration, as_of)
        ),
        unopened=tuple(
            f"flows[{index}]: {unopened[flow.from_, flow.to]}"
            for index, flow in enumerate(declaration.flows)
            if (flow.from_, flow.to) in unopened
        ),
        log_activity_months=logs.activity_months if logs else 3,
        log_security_years=logs.security_years if logs else 5,
    )


def _host(host: DeclaredHost, nodes: Sequence[Node], key: str | None) -> Host:
    capacity = _capacity(host)
    here = [node for node in nodes if node.host == host.id]
    return Host(
        id=host.id,
        site=host.site,
        libvirt=host.libvirt,
        underlay=str(host.underlay) if host.underlay else None,
        chassis=host.chassis,
        key=key,
        vcpus=capacity.vcpus,
        vcpus_used=sum(node.vcpus for node in here),
        memory_mib=capacity.memory_mib,
        memory_mib_used=sum(node.memory_mib for node in here),
        storage_gib=capacity.storage_gib,
        storage_gib_used=sum(node.disk_gib for node in here),
    )

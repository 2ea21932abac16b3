"""The management bridges as the hosts' scripts make them, for the audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from infra.audit.management import Bridge, Tunnel
from infra.hosts import access
from infra.plan.model import Plan
from network.model import Segment
from network.render import hypervisor
from network.render.hypervisor import HostView, TunnelEnd

_BASE = int(IPv4Address("192.0.2.0"))


def bridges(plan: Plan) -> Mapping[str, Bridge]:
    """Return host → its management bridge.

    Which addresses carry the tunnels does not matter here and may not be known yet: each host gets a number for one.
    """
    network = dataclasses.replace(plan.network, segments=tuple(_management(plan)))
    ends = tuple(
        TunnelEnd(id=host.id, site=host.site, underlay=IPv4Address(_BASE + number))
        for number, host in enumerate(plan.hosts)
    )
    hubs = {host.site: access.hub(plan, host.site) for host in plan.hosts}
    where = {node.name: node.host for node in plan.nodes}
    views = [hypervisor.plan_host(network, end.id, ends=ends, node_hosts=where, hubs=hubs) for end in ends]
    by_address = {end.underlay: end.id for end in ends}
    return {view.host: _bridge(plan, view, by_address) for view in views if view.bridges}


def _management(plan: Plan) -> Iterator[Segment]:
    return (segment for segment in plan.network.segments if segment.kind == "management")


def _bridge(plan: Plan, view: HostView, by_address: Mapping[IPv4Address, str]) -> Bridge:
    (bridge,) = view.bridges
    return Bridge(
        site=view.site,
        cards={
            node.name: card.isolated
            for node in plan.nodes
            if node.host == view.host
            for card in plan.network.node_by_name[node.name].interfaces
            if card.segment == bridge.segment
        },
        station=bridge.address is not None,
        tunnel=None
        if bridge.tunnel is None
        else Tunnel(
            isolated=bridge.tunnel.isolated,
            peers=frozenset(by_address[entry.underlay] for entry in bridge.tunnel.entries),
        ),
    )

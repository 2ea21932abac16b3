"""Plan → the network of one hypervisor: bridges, tunnels between hosts, the management hub, hygiene.

One :class:`HostView` per host says everything; :func:`render` lays it out as the shell script that puts it in place,
and ``kumiai hosts --check`` compares the running host with the same view.

- *Segment*: a bridge on every host of its site, joined with its twins by one VXLAN device (RFC 7348), which learns
  nothing.
- *Flood entry*: the all-zero MAC address in the forwarding table; frames without an entry of their own go there.
- *Hub*: the host with the management station. Its tunnel port on the management bridge is isolated, like the ports of
  all nodes; the other hosts' is not, and their one forwarding entry is the hub. So the station reaches every node, and
  no node reaches another over management, on the same host or across hosts.
- *Filter*: what a machine sends to its host itself. Linux answers for any of its addresses on any interface, so without
  rules a machine would reach the host's own services (SSH, libvirt) through a bridge that has no address at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Literal

from network.errors import InputError
from network.flows import NTP
from network.model import NetworkPlan, Segment
from network.render import templating

FLOOD = "00:00:00:00:00:00"
VXLAN_PORT = 4789
"""UDP port of the tunnels (IANA)."""
SEGMENT_MTU = 1500
UNDERLAY_MTU = SEGMENT_MTU + 50
"""What the underlay must carry: outer IPv4, UDP and VXLAN headers and the inner Ethernet header take 50 bytes."""

BRIDGE_SETTINGS: Mapping[str, int] = {"stp_state": 0, "forward_delay": 0, "mcast_snooping": 0}
"""No spanning tree (the tunnels form no loop), ports that forward at once, multicast like broadcast."""

HYGIENE: Mapping[str, int] = {
    # Otherwise the host's packet filter sees, and its connection tracking mixes, what bridged tenants send.
    "net/bridge/bridge-nf-call-iptables": 0,
    "net/bridge/bridge-nf-call-ip6tables": 0,
    "net/bridge/bridge-nf-call-arptables": 0,
    # A hypervisor switches frames and never routes packets.
    "net/ipv4/ip_forward": 0,
    "net/ipv6/conf/all/forwarding": 0,
    # Inherited by what appears later, the taps of virtual machines above all. Interfaces that exist keep theirs.
    "net/ipv6/conf/default/disable_ipv6": 1,
}
"""Kernel settings of every hypervisor, as paths below /proc/sys."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TunnelEnd:
    """A machine that carries segments and is in service."""

    id: str
    site: str
    underlay: IPv4Address
    """Address on which it sends tunnelled frames."""
    kind: Literal["hypervisor", "access_switch"] = "hypervisor"
    """The access switch stands in the lab only: it carries the lines, and the carriers plug into it."""
    uplinks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Line segment → the operator's interface (or VLAN interface) on which the carrier's hand-off arrives."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ForwardingEntry:
    """Frames for ``mac`` go to the host at ``underlay``."""

    mac: str
    underlay: IPv4Address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TunnelView:
    """The VXLAN device of one segment."""

    name: str
    """At most 11 characters, such as kx8409089."""
    vni: int
    isolated: bool
    """Whether its bridge port is isolated: true on the management hub only."""
    entries: tuple[ForwardingEntry, ...]
    """Sorted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BridgeView:
    """One segment on one host."""

    name: str
    segment: str
    kind: str
    about: str
    """Whom it serves, for the reader of the script."""
    address: IPv4Interface | None
    """The management station's, on the hub; every other bridge has none."""
    tunnel: TunnelView | None
    """None when no other machine carries the segment."""
    uplink: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """The whole network of one host, as planned."""

    stack: str
    host: str
    site: str
    underlay: IPv4Address
    hub: bool
    settings: Mapping[str, int]
    bridges: tuple[BridgeView, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """Every interface that the stack makes on this host."""
        tunnels = (bridge.tunnel.name for bridge in self.bridges if bridge.tunnel is not None)
        return (*(bridge.name for bridge in self.bridges), *tunnels)


def filter_name(stack: str) -> str:
    """Return the name of the stack's nftables table on a host; those of other stacks and of the operator stay alone."""
    return f"kumiai-{stack}"


def filter_table(view: HostView) -> str:
    """Return the table as ``nft -s list table`` shows it: machines ask the station on the hub for the time, no more.

    What the station itself has opened is answered.
    """
    ours = view.bridges[0].name.rpartition("-")[0] if view.bridges else "k"
    stations = [(bridge.name, bridge.address.ip) for bridge in view.bridges if bridge.address is not None]
    admitted = [
        "ct state established,related accept",
        *(f'iifname "{name}" ip daddr {station} udp dport {NTP.first} accept' for name, station in stations),
    ]
    return "\n".join(
        (
            f"table inet {filter_name(view.stack)} {{",
            "\tchain input {",
            "\t\ttype filter hook input priority filter; policy accept;",
            f'\t\tiifname != "{ours}-*" accept',
            *(f"\t\t{rule}" for rule in (admitted if stations else ())),
            '\t\tcounter drop comment "machines have no business with their host"',
            "\t}",
            "}",
        )
    )


def mark(stack: str, segment: str) -> str:
    """Return the alias that says whose a link is; only links with the stack's mark are ever changed or removed."""
    return f"kumiai:{stack}:{segment}"


def plan_host(
    network: NetworkPlan,
    host: str,
    *,
    ends: Sequence[TunnelEnd],
    node_hosts: Mapping[str, str],
    hubs: Mapping[str, str],
) -> HostView:
    """Return the network of ``host``.

    ``ends`` are the machines in service, of all sites; ``node_hosts`` says where each node runs; ``hubs`` names the
    host with the management station of each site. Raises InputError when a line's uplinks leave a host without a way.
    """
    end = next(e for e in ends if e.id == host)
    hub = hubs.get(end.site)
    bridges = []
    for segment in sorted(network.segments, key=lambda s: s.name):
        if segment.site == end.site and _carries(end, segment):
            carriers = [e for e in ends if e.site == segment.site and _carries(e, segment)]
            cards = _cards(network, segment, node_hosts)
            bridges.append(_bridge(network, segment, end, hub == host, _tunnel(segment, end, carriers, cards, hub)))
    return HostView(
        stack=network.stack,
        host=host,
        site=end.site,
        underlay=end.underlay,
        hub=hub == host,
        settings=HYGIENE,
        bridges=tuple(bridges),
    )


def render(view: HostView) -> str:
    """Return the shell script that makes ``view`` true, and changes nothing where it is true already."""
    return templating.lay_out(
        "hypervisor.sh.j2",
        view=view,
        filter_name=filter_name(view.stack),
        filter_table=filter_table(view),
        port=VXLAN_PORT,
        mtu=SEGMENT_MTU,
        bridge_settings=[f"{key} {value}" for key, value in BRIDGE_SETTINGS.items()],
    )


def _carries(end: TunnelEnd, segment: Segment) -> bool:
    return end.kind == "hypervisor" or segment.kind == "line"


def _cards(network: NetworkPlan, segment: Segment, node_hosts: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return host, node and MAC address of every planned card on ``segment``."""
    return tuple(
        (node_hosts[node.name], node.name, card.mac)
        for node in network.nodes
        for card in node.interfaces
        if card.segment == segment.name and node.name in node_hosts
    )


def _bridge(
    network: NetworkPlan, segment: Segment, end: TunnelEnd, is_hub: bool, tunnel: TunnelView | None
) -> BridgeView:
    return BridgeView(
        name=segment.bridge,
        segment=segment.name,
        kind=segment.kind,
        about=", ".join(filter(None, (segment.kind, segment.zone, " ".join(segment.members)))),
        address=network.stations[segment.site] if is_hub and segment.kind == "management" else None,
        tunnel=tunnel,
        uplink=end.uplinks.get(segment.name),
    )


def _tunnel(
    segment: Segment,
    end: TunnelEnd,
    carriers: Sequence[TunnelEnd],
    cards: Sequence[tuple[str, str, str]],
    hub: str | None,
) -> TunnelView | None:
    if _joined_outside(segment, carriers, cards):
        return None
    peers = {carrier.id: carrier.underlay for carrier in carriers if carrier.id != end.id}
    spoke = segment.kind == "management" and end.id != hub
    if spoke:  # the flood entry is the only one: even a known card of a third host is out of reach
        peers, cards = {id_: underlay for id_, underlay in peers.items() if id_ == hub}, ()
    if not peers:
        return None
    entries = {ForwardingEntry(mac=FLOOD, underlay=underlay) for underlay in peers.values()}
    entries |= {ForwardingEntry(mac=mac, underlay=peers[host]) for host, _, mac in cards if host in peers}
    return TunnelView(
        name=f"kx{segment.vni}",
        vni=segment.vni,
        isolated=segment.kind == "management" and not spoke,
        entries=tuple(sorted(entries)),
    )


def _joined_outside(segment: Segment, carriers: Sequence[TunnelEnd], cards: Sequence[tuple[str, str, str]]) -> bool:
    """Return whether the operator's switches join the hosts on ``segment``; a tunnel beside them would close a loop."""
    with_uplink = {end.id for end in carriers if segment.name in end.uplinks}
    if len(with_uplink) < 2:
        return False
    for host, node, _ in cards:
        if host not in with_uplink:
            raise InputError(
                f"host {host}: no uplink for the line {segment.name}, which {node} needs. With uplinks on several "
                f"hosts ({', '.join(sorted(with_uplink))}) every host that runs a gateway of the line needs one"
            )
    return True

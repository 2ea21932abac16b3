"""Compare a running hypervisor with its planned network: ``kumiai hosts STACK --check``."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from infra.hosts import access
from infra.plan.model import Plan
from network.render import hypervisor
from network.render.hypervisor import BRIDGE_SETTINGS, FLOOD, BridgeView, HostView, TunnelView

Link = Mapping[str, Any]
"""What `ip -json -details address` says about one interface."""
Entry = Mapping[str, Any]
"""What `bridge -json fdb` says about one forwarding entry: {"mac": …, "dst": …, "ifname": …, "flags": ["self"], …}."""
READ_SETTINGS = 'for path in "$@"; do [ ! -e "/proc/sys/$path" ] || echo "$path $(cat "/proc/sys/$path")"; done'
READ_FILTER = 'nft -s list table inet "$1" 2>/dev/null || true'
READ_IPV6 = "grep -sH . /proc/sys/net/ipv6/conf/*/disable_ipv6 || true"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What a host says about itself."""

    links: Mapping[str, Link]
    entries: Sequence[Entry]
    settings: Mapping[str, int]
    """Path below /proc/sys → value; one that the host's kernel does not have is missing."""
    ipv6_off: Mapping[str, bool]
    """Interface → whether IPv6 is switched off on it; an interface without IPv6 is missing."""
    filter_table: str
    """The stack's nftables table as ``nft -s list table`` shows it; empty when there is none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One difference between a host and the plan."""

    host: str
    rule: str
    """Stable identifier, such as ``no-address``."""
    where: str
    """Interface or kernel setting."""
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.rule}: {self.where}: {self.message}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What the check of one host looked at, and what it found."""

    host: str
    bridges: int
    tunnels: int
    entries: int
    settings: int
    deviations: tuple[Deviation, ...]


def check(plan: Plan, views: Mapping[str, HostView]) -> tuple[HostReport, ...]:
    """Look at every host of ``views``; EnvironmentLackError when one cannot be reached."""
    access.require_reachable(plan, list(views))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda view: report(view, probe(plan, view)), views.values()))


def probe(plan: Plan, view: HostView) -> Actual:
    """Ask the host for its interfaces, forwarding entries and settings; nothing is changed."""
    links = json.loads(access.run_on(plan, view.host, "ip", "-j", "-d", "address", "show"))
    entries = json.loads(access.run_on(plan, view.host, "bridge", "-j", "fdb", "show"))
    settings = access.run_on(plan, view.host, "sh", "-c", READ_SETTINGS, "sh", *view.settings)
    ipv6 = access.run_on(plan, view.host, "sh", "-c", READ_IPV6)
    table = access.run_on(plan, view.host, "sh", "-c", READ_FILTER, "sh", hypervisor.filter_name(view.stack))
    return Actual(
        links={link["ifname"]: link for link in links if link},
        entries=entries,
        settings={path: int(value) for path, value in (line.split() for line in settings.splitlines())},
        ipv6_off={
            path.split("/")[6]: value == "1" for path, value in (line.rsplit(":", 1) for line in ipv6.splitlines())
        },
        filter_table=table,
    )


def report(view: HostView, actual: Actual) -> HostReport:
    """Return what was examined and every deviation, in the order of the plan."""
    tunnels = [bridge.tunnel for bridge in view.bridges if bridge.tunnel is not None]
    found = (
        Deviation(host=view.host, rule=rule, where=where, message=message)
        for rule, where, message in (
            *_settings(view, actual),
            *_filter(view, actual),
            *_underlay(view, actual),
            *(finding for bridge in view.bridges for finding in _bridge(view, bridge, actual)),
            *(finding for t in tunnels for finding in _entries(t, actual)),
            *_unplanned(view, actual),
        )
    )
    return HostReport(
        host=view.host,
        bridges=len(view.bridges),
        tunnels=len(tunnels),
        entries=sum(len(tunnel.entries) for tunnel in tunnels),
        settings=len(view.settings),
        deviations=tuple(found),
    )


Finding = tuple[str, str, str]
"""Rule, place and message."""


def _settings(view: HostView, actual: Actual) -> Iterator[Finding]:
    for path, value in view.settings.items():
        # A kernel without the setting does not do what the setting would switch off.
        if actual.settings.get(path, value) != value:
            yield "setting", path, f"is {actual.settings[path]}, must be {value}"


def _filter(view: HostView, actual: Actual) -> Iterator[Finding]:
    where = f"table inet {hypervisor.filter_name(view.stack)}"
    wanted, found = (_rules(text) for text in (hypervisor.filter_table(view), actual.filter_table))
    if not found:
        yield "filter", where, "is missing: machines reach the host's own services"
    elif found != wanted:
        differing = next((rule for rule in (*wanted, *found) if rule not in wanted or rule not in found), "order")
        yield "filter", where, f"is not as planned: {differing}"


def _rules(table: str) -> list[str]:
    return [line.strip() for line in table.splitlines() if line.strip()]


def _underlay(view: HostView, actual: Actual) -> Iterator[Finding]:
    address = str(view.underlay)
    carrying = [link for link in actual.links.values() if address in _addresses(link, "inet", lengths=False)]
    if not carrying:
        yield "underlay", address, "is on no interface of the host"
    for link in carrying:
        if link["mtu"] < hypervisor.UNDERLAY_MTU:
            yield "underlay", link["ifname"], f"MTU {link['mtu']}, tunnelled frames need {hypervisor.UNDERLAY_MTU}"


def _bridge(view: HostView, bridge: BridgeView, actual: Actual) -> Iterator[Finding]:
    link = actual.links.get(bridge.name)
    if link is None or _kind(link) != "bridge":
        yield "bridge", bridge.name, f"missing (segment {bridge.segment})"
        return
    if link.get("ifalias") != hypervisor.mark(view.stack, bridge.segment):
        yield "mark", bridge.name, f"is marked {link.get('ifalias')!r}, not as segment {bridge.segment} of {view.stack}"
    data = link["linkinfo"].get("info_data", {})
    for key, value in BRIDGE_SETTINGS.items():
        if data.get(key) != value:
            yield "bridge", bridge.name, f"{key} is {data.get(key)}, must be {value}"
    if "UP" not in link["flags"]:
        yield "bridge", bridge.name, "is down"
    tunnel = actual.links.get(bridge.tunnel.name) if bridge.tunnel is not None else None
    # A bridge follows its thinnest port; then the port is named.
    if link["mtu"] != hypervisor.SEGMENT_MTU and (tunnel is None or tunnel["mtu"] == hypervisor.SEGMENT_MTU):
        yield "mtu", bridge.name, f"is {link['mtu']}, must be {hypervisor.SEGMENT_MTU}"
    wanted = [str(bridge.address)] if bridge.address is not None else []
    if _addresses(link, "inet") != wanted:
        found = ", ".join(_addresses(link, "inet")) or "none"
        rule = "no-address" if not wanted else "station"
        yield rule, bridge.name, f"IPv4 address {found}, must be {', '.join(wanted) or 'none'}"
    ports = {name: port for name, port in actual.links.items() if port.get("master") == bridge.name}
    yield from _no_ipv6([bridge.name, *ports], actual)
    yield from _tunnel(view, bridge, actual)
    yield from _ports(bridge, ports)


def _ports(bridge: BridgeView, ports: Mapping[str, Link]) -> Iterator[Finding]:
    planned = {bridge.tunnel.name if bridge.tunnel is not None else None, bridge.uplink}
    if bridge.uplink is not None and bridge.uplink not in ports:
        yield "uplink", bridge.name, f"{bridge.uplink} is not plugged in"
    for name, port in sorted(ports.items()):
        if name in planned:
            if _addresses(port, "inet"):
                yield "no-address", name, f"IPv4 address {', '.join(_addresses(port, 'inet'))}, must be none"
            continue
        if _kind(port) != "tun":
            yield "foreign-port", bridge.name, f"{name} is plugged in, which is no machine's card and not planned"
        if _addresses(port, "inet"):
            yield "no-address", name, f"IPv4 address {', '.join(_addresses(port, 'inet'))}, must be none"
        if bridge.kind == "management" and not _port_data(port).get("isolated"):
            yield "isolation", name, "card on the management bridge that is not isolated"


def _tunnel(view: HostView, bridge: BridgeView, actual: Actual) -> Iterator[Finding]:
    tunnel = bridge.tunnel
    if tunnel is None:
        return
    link = actual.links.get(tunnel.name)
    if link is None or _kind(link) != "vxlan":
        yield "tunnel", tunnel.name, f"missing (segment {bridge.segment})"
        return
    data = link["linkinfo"].get("info_data", {})
    wanted = {"id": tunnel.vni, "local": str(view.underlay), "port": hypervisor.VXLAN_PORT, "learning": False}
    for key, value in wanted.items():
        if data.get(key) != value:
            yield (
                "learning" if key == "learning" else "tunnel",
                tunnel.name,
                f"{key} is {data.get(key)}, must be {value}",
            )
    if link["mtu"] != hypervisor.SEGMENT_MTU:
        yield "mtu", tunnel.name, f"is {link['mtu']}, must be {hypervisor.SEGMENT_MTU}"
    if link.get("master") != bridge.name:
        yield "tunnel", tunnel.name, f"is plugged into {link.get('master', 'nothing')}, must be {bridge.name}"
    elif bool(_port_data(link).get("isolated")) is not tunnel.isolated:
        need = "must be isolated: this is the management hub" if tunnel.isolated else "must not be isolated"
        yield "isolation", tunnel.name, need
    if "UP" not in link["flags"]:
        yield "tunnel", tunnel.name, "is down"


def _entries(tunnel: TunnelView, actual: Actual) -> Iterator[Finding]:
    if tunnel.name not in actual.links:
        return
    wanted = {(entry.mac, str(entry.underlay)) for entry in tunnel.entries}
    found = {(e["mac"], e["dst"]) for e in actual.entries if e.get("ifname") == tunnel.name and "dst" in e}
    for mac, underlay in sorted(wanted - found):
        yield "forwarding", tunnel.name, f"no entry {_frames(mac)} → {underlay}"
    for mac, underlay in sorted(found - wanted):
        yield "forwarding", tunnel.name, f"entry {_frames(mac)} → {underlay} is not planned"


def _unplanned(view: HostView, actual: Actual) -> Iterator[Finding]:
    for name, link in sorted(actual.links.items()):
        if link.get("ifalias", "").startswith(hypervisor.mark(view.stack, "")) and name not in view.links:
            yield "unplanned", name, f"carries the stack's mark ({link['ifalias']}) but is not planned"


def _no_ipv6(names: Iterable[str], actual: Actual) -> Iterator[Finding]:
    for name in names:
        if not actual.ipv6_off.get(name, True) or _addresses(actual.links[name], "inet6"):
            yield "no-ipv6", name, "IPv6 is on, must be off"


def _frames(mac: str) -> str:
    return "for everything else" if mac == FLOOD else f"for {mac}"


def _kind(link: Link) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))


def _port_data(link: Link) -> Mapping[str, Any]:
    data: Mapping[str, Any] = link.get("linkinfo", {}).get("info_slave_data", {})
    return data


def _addresses(link: Link, family: str, *, lengths: bool = True) -> list[str]:
    found = (address for address in link.get("addr_info", ()) if address.get("family") == family)
    return [f"{a['local']}/{a['prefixlen']}" if lengths else str(a["local"]) for a in found]

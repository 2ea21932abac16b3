"""Make a drawing true: namespaces, bridges, cables, addresses, routes and forwarding, changing only what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra import process
from infra.lab import places, processes
from infra.lab.drawing import DEFAULT, EVERYWHERE, MAIN, OF_DAEMONS, Bridge, Cable, Drawing, Namespace, Port, Selection

ALIAS = "lab: "
"""How the alias of every interface of ours begins; others in our namespaces are left alone."""
RULE_PRIORITY = 1000
TABLE = "kumiai_lab"
PAIRS = "pairs"
"""The set of pairs (in, out) between which a namespace forwards; every pair counts what it lets through."""
IP_S = 30
BURST_S = 0.01
"""How long a limited cable may send at full speed; shorter than a tick of the kernel would starve it."""
MIN_BURST_BYTES = 1 << 16
"""A segment that the kernel has not cut into packets yet must fit."""
QUEUE_MS = 100
"""The longest wait in front of a limited cable; then packets are dropped, as a carrier does."""

TABLES = {"main": MAIN, "default": DEFAULT}
"""Names that iproute2 gives to tables."""

Link = Mapping[str, Any]
"""What iproute2 says about one interface."""
Links = Mapping[str, Link]
"""Interfaces of one namespace by name."""


def apply(stack: str, drawing: Drawing, whole: Drawing | None = None) -> tuple[str, ...]:
    """Build what ``drawing`` shows and return the changes that it took; none when everything was in place.

    When it is a part of a ``whole``, cables of the other parts stay. Namespaces of the stack that are not drawn stay,
    too; `remove` takes them away.
    """
    changes: list[str] = []
    existing = set(places.existing(stack))
    for namespace in drawing.namespaces:
        if namespace.name not in existing:
            process.run("ip", "netns", "add", namespace.name)
            changes.append(f"{namespace.name}: made")
        changes += _settings(namespace)
    mentioned = sorted(_mentioned(drawing))
    state = {name: _links(name) for name in mentioned}
    pulled = _pull(_pulling(drawing, whole or drawing, state))
    plugged = _run(_plugging(drawing, {name: _links(name) for name in mentioned} if pulled else state))
    state = {name: _links(name) for name in mentioned} if pulled or plugged else state
    changes += [*pulled, *plugged, *_run(_addressing(drawing, state)), *_run(_limits(drawing, state), "tc")]
    for namespace in drawing.namespaces:
        changes += _run({namespace.name: _routing(namespace)})
        changes += _firewall(namespace)
    return tuple(changes)


def remove(names: Sequence[str]) -> None:
    """End the processes inside the namespaces and delete them; ones that do not exist are done already."""
    processes.end_inside(names)
    for name in names:
        if (places.NETNS / name).exists():
            process.run("ip", "netns", "del", name)


def _mentioned(drawing: Drawing) -> set[str]:
    return {
        *drawing.names,
        *(bridge.namespace for bridge in drawing.bridges),
        *(port.namespace for cable in drawing.cables for port in cable.ends),
    }


def _settings(namespace: Namespace) -> list[str]:
    """Set what the kernel does in the namespace; values of namespaces, never of the machine."""
    wanted = {
        "net/ipv4/ip_forward": "1" if namespace.forwards else "0",
        # What comes back over another line than it went out must not vanish silently.
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/default/rp_filter": "0",
        "net/ipv6/conf/all/disable_ipv6": "1",
        "net/ipv6/conf/default/disable_ipv6": "1",
        "net/bridge/bridge-nf-call-iptables": "0",
        "net/bridge/bridge-nf-call-ip6tables": "0",
        "net/bridge/bridge-nf-call-arptables": "0",
    }
    paths = [f"/proc/sys/{path}" for path in wanted]
    enter = ("ip", "netns", "exec", namespace.name)
    # A setting that this kernel does not have is not printed; grep then ends with 2 for the missing file.
    found = dict(line.split(":", 1) for line in process.probe(*enter, "grep", "-sH", ".", *paths).stdout.splitlines())
    wrong = {path: value for path, value in wanted.items() if found.get(f"/proc/sys/{path}", value) != value}
    if wrong:
        script = "\n".join(f"echo {value} >/proc/sys/{path}" for path, value in wrong.items())
        process.run(*enter, "sh", "-eu", stdin=script)
    return [f"{namespace.name}: {path} = {value}" for path, value in wrong.items()]


def _links(namespace: str) -> Links:
    """Return name → what `ip -json -details address` says about an interface."""
    listed = json.loads(process.run("ip", "-n", namespace, "-j", "-d", "address", "show", timeout_s=IP_S))
    return {link["ifname"]: link for link in listed if link}


def _pulling(drawing: Drawing, whole: Drawing, state: Mapping[str, Links]) -> dict[str, list[str]]:
    """Return the commands per namespace that remove cables which are not drawn, or have lost their other end."""
    drawn = {(port.namespace, port.name) for cable in whole.cables for port in cable.ends}
    doomed = {
        (name, link)
        for name in drawing.names
        for link, about in state[name].items()
        if about.get("ifalias", "").startswith(ALIAS) and (name, link) not in drawn and _kind(about) == "veth"
    }
    for cable in drawing.cables:
        present = [(port.namespace, port.name) for port in cable.ends if port.name in state[port.namespace]]
        if len(present) == 1:
            doomed.add(present[0])
    batches: dict[str, list[str]] = {name: [] for name in state}
    for name, link in sorted(doomed):
        batches[name].append(f"link del dev {link}")
    return batches


def _pull(batches: Mapping[str, Sequence[str]]) -> list[str]:
    """Run the commands of `_pulling`; a cable whose other end's namespace is just going away goes by itself."""
    changes = []
    for namespace, commands in batches.items():
        if commands:
            argv = ("ip", "-n", namespace, "-force", "-batch", "-")
            done = process.probe(*argv, stdin="\n".join(commands) + "\n", timeout_s=IP_S)
            left = {f"link del dev {link}" for link in _links(namespace)} & set(commands)
            if left:
                raise process.CommandError(argv, done.returncode, done.stderr)
            changes += [f"{namespace}: {command}" for command in commands]
    return changes


def _plugging(drawing: Drawing, state: Mapping[str, Links]) -> dict[str, list[str]]:
    """Return the commands per namespace that make the missing bridges and cables."""
    batches: dict[str, list[str]] = {name: [] for name in state}
    for bridge in drawing.bridges:
        if bridge.name not in state[bridge.namespace]:
            batches[bridge.namespace].append(
                f"link add name {bridge.name} mtu {bridge.mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            )
    for cable in drawing.cables:
        one, other = cable.ends
        if one.name not in state[one.namespace]:
            batches[one.namespace].append(
                f"link add name {one.name} mtu {cable.mtu} type veth "
                f"peer name {other.name} mtu {cable.mtu} netns {other.namespace}"
            )
    return batches


def _kind(link: Link) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))


def _addressing(drawing: Drawing, state: Mapping[str, Links]) -> dict[str, list[str]]:
    """Return the commands per namespace that give every interface its alias, bridge, addresses and upness."""
    batches: dict[str, list[str]] = {name: [] for name in state}
    for name in drawing.names:
        if "UP" not in state[name]["lo"]["flags"]:
            batches[name].append("link set dev lo up")
    for bridge in drawing.bridges:
        batches[bridge.namespace] += _interface(state[bridge.namespace][bridge.name], bridge, f"{ALIAS}switch")
    for cable in drawing.cables:
        for port in cable.ends:
            batches[port.namespace] += _interface(state[port.namespace][port.name], port, _alias(cable))
    return batches


def _interface(found: Link, wanted: Bridge | Port, alias: str) -> list[str]:
    """Return the commands that turn ``found`` into ``wanted``."""
    commands = []
    if found.get("ifalias") != alias:
        commands.append(f'link set dev {wanted.name} alias "{alias}"')
    if isinstance(wanted, Port) and wanted.bridge is not None and found.get("master") != wanted.bridge:
        commands.append(f"link set dev {wanted.name} master {wanted.bridge}")
    here = [f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"] if a.get("family") == "inet"]
    addresses = [str(address) for address in wanted.addresses]
    if here != addresses:
        commands += [f"address del {address} dev {wanted.name}" for address in reversed(here)]
        commands += [f"address add {address} dev {wanted.name}" for address in addresses]
    if "UP" not in found["flags"]:
        commands.append(f"link set dev {wanted.name} up")
    return commands


def _limits(drawing: Drawing, state: Mapping[str, Links]) -> dict[str, list[str]]:
    """Return the commands per namespace that limit what is sent into cables with a rate."""
    batches: dict[str, list[str]] = {name: [] for name in state}
    for cable in drawing.cables:
        for port in cable.ends:
            found = state[port.namespace][port.name]
            # The alias names the rate, so that another rate is seen as well as a limit that is gone.
            if cable.rate_mbps is not None and (found.get("ifalias"), found["qdisc"]) != (_alias(cable), "tbf"):
                burst = max(MIN_BURST_BYTES, round(cable.rate_mbps * 1e6 / 8 * BURST_S))
                batches[port.namespace].append(
                    f"qdisc replace dev {port.name} root tbf "
                    f"rate {cable.rate_mbps}mbit burst {burst} latency {QUEUE_MS}ms"
                )
    return batches


def _alias(cable: Cable) -> str:
    rate = "" if cable.rate_mbps is None else f", {cable.rate_mbps} Mbit/s"
    return f"{ALIAS}{cable.about}{rate}"


def _routing(namespace: Namespace) -> list[str]:
    """Return the commands that change rules and routes; routes of other protocols (a routing daemon's) stay."""
    rules = json.loads(process.run("ip", "-n", namespace.name, "-j", "rule", "show", timeout_s=IP_S))
    routes = json.loads(process.run("ip", "-n", namespace.name, "-j", "route", "show", "table", "all", timeout_s=IP_S))
    selections = {
        Selection(interface=rule["iif"], table=int(rule["table"]))
        for rule in rules
        if rule["priority"] == RULE_PRIORITY and "iif" in rule
    }
    seen = [_seen(route) for route in routes if route.get("protocol") == "static"]
    ways = {_way_line(*way) for way in seen if way[2] != OF_DAEMONS}
    wanted = {
        _way_line(str(way.prefix), None if way.via is None else str(way.via), way.table) for way in namespace.ways
    }
    lines = [_rule_line("del", s) for s in sorted(selections - set(namespace.selections))]
    lines += [f"route del {way}" for way in sorted(ways - wanted)]
    lines += [f"route add {way}" for way in sorted(wanted - ways)]
    return lines + [_rule_line("add", s) for s in sorted(set(namespace.selections) - selections)]


def _seen(route: Mapping[str, Any]) -> tuple[str, str | None, int]:
    prefix = str(EVERYWHERE) if route["dst"] == "default" else route["dst"]
    prefix = prefix if "/" in prefix else f"{prefix}/32"
    table = route.get("table", MAIN)
    return prefix, route.get("gateway"), TABLES[table] if table in TABLES else int(table)


def _way_line(prefix: str, via: str | None, table: int) -> str:
    target = f"{prefix} via {via}" if via is not None else f"unreachable {prefix}"
    return f"{target} table {table} proto static"


def _rule_line(verb: str, selection: Selection) -> str:
    return f"rule {verb} pref {RULE_PRIORITY} iif {selection.interface} lookup {selection.table}"


def _run(batches: Mapping[str, Iterable[str]], program: str = "ip") -> list[str]:
    """Run the commands, one `ip -batch` (or `tc -batch`) per namespace, and return them as changes."""
    changes = []
    for namespace, commands in batches.items():
        lines = list(commands)
        if lines:
            process.run(program, "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n", timeout_s=IP_S)
            changes += [f"{namespace}: {line}" for line in lines]
    return changes


def _firewall(namespace: Namespace) -> list[str]:
    """Forward between the drawn pairs only and count; loaded in one step, so that there is no moment without it."""
    if not namespace.forwards:
        return []
    pairs = sorted({pair for a, b in namespace.forwards for pair in ((a, b), (b, a))})
    elements = ", ".join(f'"{a}" . "{b}"' for a, b in pairs)
    redirects = "".join(
        f"  ip saddr {r.source} ip daddr {r.target} udp dport {{ 500, 4500 }} dnat ip to {r.to}\n"
        for r in sorted(namespace.redirects)
    )
    digest = hashlib.sha256((elements + redirects).encode()).hexdigest()[:16]
    enter = ("ip", "netns", "exec", namespace.name, "nft")
    loaded = process.probe(*enter, "list", "table", "inet", TABLE)
    if f'comment "{digest}"' in loaded.stdout:
        return []
    rules = (
        f"table inet {TABLE}\ndelete table inet {TABLE}\n"
        f'table inet {TABLE} {{\n comment "{digest}"\n'
        f" set {PAIRS} {{\n  type ifname . ifname\n  counter\n  elements = {{ {elements} }}\n }}\n chain forward {{\n"
        "  type filter hook forward priority filter; policy drop;\n"
        f"  iifname . oifname @{PAIRS} accept\n }}\n"
    )
    if redirects:
        rules += f" chain redirects {{\n  type nat hook prerouting priority dstnat;\n{redirects} }}\n"
    rules += "}\n"
    process.run(*enter, "-f", "-", stdin=rules)
    return [f"{namespace.name}: forwards between {len(namespace.forwards)} pairs of interfaces"]

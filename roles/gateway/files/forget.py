#!/usr/bin/python3
"""End the tracked connections that the rules in force do not allow any more.

A rule decides about the first packet of a connection; the later ones pass as a part of it. So after every change of
the rules (and after the partner's connections were taken over) each tracked connection is compared with the sets of
the table ``inet kumiai``, and the ones that no element would let in today are deleted. Cards are not compared: who may
speak on which card is checked for each packet by the set ``partners``.

Prints how many connections were looked at and ended; exit status 1 when rules or connections cannot be read.
"""

from __future__ import annotations

import collections
import ipaddress
import json
import re
import subprocess
import time
from typing import Any

Range = tuple[int, int]
Rules = dict[tuple[str, str, int], list[tuple[Range, Range, Range]]]
"""(kind, protocol, destination) → destination, source and port ranges; :data:`WIDE` for more than one destination."""
WIDE = -1
ANY: Range = (0, 2**32 - 1)
FIELD = re.compile(r"\b(src|dst|sport|dport|type|code|id)=(\S+)")
PROTOCOLS = ("tcp", "udp", "icmp")
DESTINATION = {"passed": 3, "public": 3, "admitted": 2, "sent": 1}
"""Place of the destination in an element: card, source, card, destination; card, source, own; card, destination."""
OWN = (3784, 500, 4500)
"""UDP ports of BFD and IKE, which have rules of their own."""
NAMED = ("named_targets", "named_sources")
"""Sets of card and prefix: whom a line leads to that is no part of the public Internet."""
ECHO_REQUEST = "8"
LOOPBACK = 127


def main() -> None:
    """Compare and delete."""
    rules = read_rules(json.loads(output("nft", "-j", "list", "table", "inet", "kumiai")), time.time())
    links = json.loads(output("ip", "-j", "-4", "address"))
    own = {number(info["local"]) for link in links for info in link["addr_info"]}
    looked = ended = 0
    for line in output("conntrack", "-L", "-f", "ipv4", "-o", "extended").splitlines():
        protocol, connection = read_connection(line)
        if protocol in PROTOCOLS:
            looked += 1
            if not allowed(rules, own, protocol, connection):
                ended += end(protocol, connection)
    print(f"{ended} of {looked} connections are no longer allowed and were ended")


def read_rules(document: dict[str, Any], now: float) -> Rules:
    """Return what the sets ``passed_*``, ``public_*``, ``admitted_*`` and ``sent_*`` let in at ``now``.

    ``named_targets`` and ``named_sources``, without a protocol, hold who is no part of the public Internet.

    One whose name ends in a number, such as ``passed_tcp_1795359600``, is open until that moment (seconds since 1970).
    """
    rules: Rules = collections.defaultdict(list)
    for item in document["nftables"]:
        found = item.get("set", {})
        if found.get("name") in NAMED:
            rules[found["name"], "", WIDE] = [(span(e["concat"][1]), ANY, ANY) for e in found.get("elem", ())]
            continue
        kind, _, rest = found.get("name", "").partition("_")
        protocol, _, until = rest.partition("_")
        if kind not in DESTINATION or (until and int(until) <= now):
            continue
        for element in found.get("elem", ()):
            fields = element["elem"]["val"]["concat"]
            target, *port = fields[DESTINATION[kind] :]
            targets, sources = span(target), ANY if kind == "sent" else span(fields[1])
            single = targets[0] if targets[0] == targets[1] else WIDE
            rules[kind, protocol, single].append((targets, sources, span(port[0]) if port else ANY))
    return rules


def allowed(rules: Rules, own: set[int], protocol: str, connection: dict[str, str]) -> bool:
    """Say whether the rules would let the first packet of ``connection`` in."""
    source, target = number(connection["src"]), number(connection["answers"])
    port = int(connection.get("dport", 0))
    if source >> 24 == LOOPBACK or (protocol == "udp" and port in OWN and own & {source, target}):
        return True
    if protocol == "icmp" and connection.get("type") != ECHO_REQUEST:
        return False
    kinds = ("admitted",) if target in own else ("sent",) if source in own else ("passed", "public")
    return any(
        targets[0] <= target <= targets[1]
        and sources[0] <= source <= sources[1]
        and ports[0] <= port <= ports[1]
        and not (kind == "public" and named(rules, source if targets[0] == targets[1] else target))
        for kind in kinds
        for key in (target, WIDE)
        for targets, sources, ports in rules.get((kind, protocol, key), ())
    )


def named(rules: Rules, address: int) -> bool:
    """Say whether the plan knows ``address`` by name, so that it is no part of the public Internet."""
    return any(first <= address <= last for name in NAMED for (first, last), _, _ in rules.get((name, "", WIDE), ()))


def end(protocol: str, connection: dict[str, str]) -> int:
    """Delete one connection; return 0 when it had ended by itself meanwhile."""
    argv = ["conntrack", "-D", "-f", "ipv4", "-p", protocol]
    argv += ["--orig-src", connection["src"], "--orig-dst", connection["dst"]]
    if protocol == "icmp":
        argv += ["--icmp-type", connection["type"], "--icmp-code", connection["code"], "--icmp-id", connection["id"]]
    else:
        argv += ["--orig-port-src", connection["sport"], "--orig-port-dst", connection["dport"]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode and " 0 flow entries" not in done.stderr:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")
    return 0 if done.returncode else 1


def read_connection(line: str) -> tuple[str, dict[str, str]]:
    """Return protocol and first direction of a line of ``conntrack -L -o extended``, and who ``answers``.

    That is the destination as the rules see it, which differs from ``dst`` where it is translated.
    """
    fields: dict[str, str] = {}
    for name, value in FIELD.findall(line):
        fields.setdefault("answers" if name == "src" and "src" in fields else name, value)
    return line.split()[2], fields


def span(field: str | int | dict[str, Any]) -> Range:
    """Return the first and last value of one field of an element."""
    if isinstance(field, dict) and "prefix" in field:
        network = ipaddress.IPv4Network((field["prefix"]["addr"], field["prefix"]["len"]))
        return int(network.network_address), int(network.broadcast_address)
    first, last = field["range"] if isinstance(field, dict) else (field, field)
    return number(first), number(last)


def number(value: str | int) -> int:
    """Return an address or a port as a number."""
    return value if isinstance(value, int) else int(ipaddress.IPv4Address(value))


def output(*argv: str) -> str:
    """Run a program; its failure ends this one."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

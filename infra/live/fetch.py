"""Reads all machines at once."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from infra.audit.nft import read
from infra.configure.services import services
from infra.live import on_node
from infra.live.model import MAIN_TABLE, Live, LiveRoute, Socket
from infra.operations.shell import Shell, python
from infra.plan.model import Plan
from network.errors import OperationError

PROGRAM = pathlib.Path(on_node.__file__)
LIMIT_S = 300.0
"""An emulated machine takes 20 s when it is alone, and all are asked at once."""
AT_ONCE = 8
KERNEL_RULES = frozenset(f"from all lookup {table}" for table in ("local", "main", "default"))


def fetch(plan: Plan, shell: Shell) -> Mapping[str, Live | OperationError]:
    """Return every machine of ``plan`` as it is, or why it could not be read."""
    units = services(plan)
    with futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = pool.map(lambda node: _read(shell, node.name, units[node.name]), plan.nodes)
        return dict(zip((node.name for node in plan.nodes), found, strict=True))


def _read(shell: Shell, node: str, units: Sequence[str]) -> Live | OperationError:
    program = python(PROGRAM.read_text(encoding="utf-8"), *units)
    try:
        return parse(node, json.loads(shell.run(node, *program, timeout_s=LIMIT_S)))
    except OperationError as error:
        return error


def parse(node: str, said: Mapping[str, Any]) -> Live:
    """Return what the program on a machine said."""
    return Live(
        node=node,
        rules=said["rules"],
        dormant=read.asleep(said["terse"]),
        addresses={
            card["ifname"]: frozenset(
                f"{a['local']}/{a['prefixlen']}"
                for a in card["addr_info"]
                if (a["family"], a["scope"]) != ("inet6", "link")
            )
            for card in said["addresses"]
            if card["ifname"] != "lo"
        },
        routes=tuple(sorted(_routes(said["routes"]))),
        policies=tuple(sorted(_policies(said["policies"]))),
        sockets=tuple(
            sorted(
                Socket(protocol=protocol, address=address, port=port, program=program)
                for protocol, address, port, program in said["listening"]
                if not address.startswith("127.") and address != "::1"
            )
        ),
        forwards=said["forwards"],
        units=said["units"],
    )


def _routes(listed: Iterable[Mapping[str, Any]]) -> Iterable[LiveRoute]:
    for route in listed:
        table = str(route.get("table", MAIN_TABLE))
        if table == "local":
            continue
        hops = route.get("nexthops", [route])
        target = "0.0.0.0/0" if route["dst"] == "default" else route["dst"]
        yield LiveRoute(
            table=table,
            prefix=IPv4Network(target),
            vias=tuple(sorted(IPv4Address(hop["gateway"]) for hop in hops if "gateway" in hop)),
            card=", ".join(sorted({str(hop["dev"]) for hop in hops if "dev" in hop})),
            kind=route.get("type", "unicast"),
        )


def _policies(listed: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for rule in listed:
        words = {key: value for key, value in rule.items() if key not in {"priority", "protocol"}}
        source, target = (_prefix(words, end) for end in ("src", "dst"))
        table = words.pop("table", "")
        extra = "".join(f" {key} {value}" for key, value in sorted(words.items()))
        text = f"from {source}{f' to {target}' if target else ''}{extra} lookup {table}"
        if text not in KERNEL_RULES:
            yield text


def _prefix(words: dict[str, Any], end: str) -> str:
    address, length = words.pop(end, ""), words.pop(f"{end}len", None)
    return f"{address}/{length}" if length is not None else address

"""What the lines of a lab have carried: what provider edges forwarded, without the routers' own sessions."""

from __future__ import annotations

import dataclasses
import json

from infra import process
from infra.lab import namespaces, places


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One hand-off of a line since its provider edge was made; bytes are those of IP packets."""

    line: str
    zone: str
    """``all`` for a hand-off of all zones."""
    packets_up: int
    """From the offices to the data center."""
    bytes_up: int
    packets_down: int
    bytes_down: int


def traffic(stack: str) -> tuple[Traffic, ...]:
    """Return the counters of all hand-offs of the stack's lab, by line and zone."""
    names = [(places.parts(name), name) for name in places.existing(stack)]
    found = (_read(parts[1], parts[2], name) for parts, name in names if parts[0] == "pe")
    return tuple(one for one in found if one is not None)


def _read(line: str, zone: str, namespace: str) -> Traffic | None:
    """Return the counters of one provider edge; None when it has none, which `lab up` repairs."""
    argv = ("ip", "netns", "exec", namespace, "nft", "-j", "list", "set", "inet", namespaces.TABLE, namespaces.PAIRS)
    asked = process.probe(*argv)
    if not asked.ok:
        return None
    up, down = {"packets": 0, "bytes": 0}, {"packets": 0, "bytes": 0}
    for item in json.loads(asked.stdout)["nftables"]:
        for element in item.get("set", {}).get("elem", ()):
            incoming, outgoing = element["elem"]["val"]["concat"]
            # Named by `carriers`: c leads to the core. What passes between a hand-off and the far end of a tunnel is
            # the tunnel itself, with its routers' sessions in it.
            side = up if incoming.startswith("c") else down if outgoing.startswith("c") else None
            if side is not None:
                side["packets"] += element["elem"]["counter"]["packets"]
                side["bytes"] += element["elem"]["counter"]["bytes"]
    return Traffic(
        line=line,
        zone=zone,
        packets_up=up["packets"],
        bytes_up=up["bytes"],
        packets_down=down["packets"],
        bytes_down=down["bytes"],
    )

"""What a machine's network is now: ``on_node.py``, as root, with nothing but Python, and without changing anything.

stdout: ``{"rules", "terse", "addresses", "routes", "policies", "listening", "forwards", "units"}``: the rule set as
``nft -n -j`` prints it, and as text without elements, since nftables 1.0.6 does not say in JSON that a table sleeps;
addresses, routes of all tables and policy rules as ``ip -j`` prints them; sockets that take connections (``[protocol,
address, port, program]``); whether the kernel forwards; the state of the units in ``sys.argv``.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

LIMIT_S = 120
PROGRAM = re.compile(r'\(\("([^"]*)"')


def said(*argv: str, check: bool = True) -> str:
    """Return what a program prints; with ``check`` the failure of the program ends this one."""
    utc = {**os.environ, "TZ": "UTC"}  # rules with a time are listed in the time zone of who asks
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=check, env=utc).stdout


def listening() -> list[tuple[str, str, int, str]]:
    """Return the sockets that take connections or datagrams."""
    found = []
    for protocol, letter in (("tcp", "t"), ("udp", "u")):
        for line in said("ss", "-H", "-n", "-l", "-p", f"-{letter}").splitlines():
            words = line.split()
            address, _, port = words[3].rpartition(":")
            program = PROGRAM.search(line)
            found.append((protocol, address.split("%")[0].strip("[]"), int(port), program[1] if program else ""))
    return sorted(found)


def states(units: list[str]) -> dict[str, str]:
    """Return the state of each unit; a stopped one makes systemctl exit with 3, and still say so."""
    shown = said("systemctl", "is-active", *units, check=False).split() if units else []
    return dict(zip(units, shown))  # noqa: B905 - a silent systemctl leaves units unknown


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "rules": said("nft", "-n", "-j", "list", "ruleset"),
                "terse": said("nft", "-t", "list", "ruleset"),
                "addresses": json.loads(said("ip", "-j", "address", "show")),
                "routes": json.loads(said("ip", "-j", "-4", "route", "show", "table", "all")),
                "policies": json.loads(said("ip", "-j", "-4", "rule", "show")),
                "listening": listening(),
                "forwards": pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1",
                "units": states(sys.argv[1:]),
            }
        )
    )

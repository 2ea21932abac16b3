"""What a machine says about itself: ``on_node.py < ORDERS``, as root, with nothing but Python.

stdin: ``{"units": […], "addresses": […], "sessions": bool}``. stdout: ``{"units": {unit: state}, "held": […],
"sessions": {peer: state}}``.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

LIMIT_S = 20


def said(*argv: str) -> str:
    """Return what a program prints, whatever it exits with; empty when it does not answer."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def own(address: str) -> bool:
    """Say whether ``address`` is one of this machine's: Linux sends what goes to one of its own from that address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, 9))
        except OSError:
            return False
        return bool(asked.getsockname()[0] == address)


def sessions() -> dict[str, str]:
    """Return the state of each session of BGP."""
    try:
        document: dict[str, Any] = json.loads(said("vtysh", "-c", "show bgp ipv4 unicast summary json"))
    except ValueError:
        return {}
    return {peer: found["state"] for peer, found in document.get("peers", {}).items()}


def main() -> None:
    """Answer."""
    orders = json.load(sys.stdin)
    units = orders["units"]
    states = said("systemctl", "is-active", *units).split() if units else []
    print(
        json.dumps(
            {
                "units": dict(zip(units, states)),  # noqa: B905 - a silent systemctl leaves units unknown
                "held": [address for address in orders["addresses"] if own(address)],
                "sessions": sessions() if orders["sessions"] else {},
            }
        )
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Wait until every BGP session of this machine is established, or for the seconds of the first argument.

After FRR was started again, so that the partner's turn comes when this gateway has its routes back. A line that is
down must not stop a configuration: the exit status is 0 then too, and the output says which sessions are missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time


def missing() -> list[str]:
    """Return the peers without an established session; all is missing while bgpd does not answer."""
    asked = ["vtysh", "-c", "show bgp ipv4 unicast summary json"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    try:
        peers = json.loads(done.stdout).get("peers", {})
    except ValueError:
        return ["bgpd"]
    return sorted(peer for peer, found in peers.items() if found["state"] != "Established")


def main() -> None:
    """Ask twice a second."""
    end = time.monotonic() + float(sys.argv[1])
    while (silent := missing()) and time.monotonic() < end:
        time.sleep(0.5)
    print("no session with " + ", ".join(silent) if silent else "all sessions are established")


if __name__ == "__main__":
    main()

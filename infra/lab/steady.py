"""The program that knocks steadily from a terminal of an office: ``steady.py ADDRESS PORT SECONDS INTERVAL``.

It needs nothing but Python. Every INTERVAL seconds it opens a connection, whatever became of the one before, and prints
one JSON document: for each the second at which it was begun, and whether it opened within `PATIENCE_S`.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

PATIENCE_S = 0.9
"""Below the second after which TCP asks again (RFC 6298): a knock is one packet, and tells of one moment."""


def main(argv: list[str]) -> None:
    """Knock for the given time."""
    address, port, seconds, interval = argv[0], int(argv[1]), float(argv[2]), float(argv[3])
    knocks: list[tuple[float, bool]] = []
    began = time.monotonic()

    def knock(at: float) -> None:
        try:
            socket.create_connection((address, port), timeout=PATIENCE_S).close()
            opened = True
        except OSError:
            opened = False
        knocks.append((round(at, 3), opened))

    waiting = []
    while (at := time.monotonic() - began) < seconds:
        waiting.append(threading.Thread(target=knock, args=(at,)))
        waiting[-1].start()
        time.sleep(max(0.0, len(waiting) * interval - (time.monotonic() - began)))
    for thread in waiting:
        thread.join()
    print(json.dumps(sorted(knocks)))


if __name__ == "__main__":
    main(sys.argv[1:])

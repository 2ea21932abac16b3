"""The program that measures from a terminal of an office. It needs nothing but Python, and prints one JSON document.

``connect SECONDS ADDRESS:PORT…`` opens every address five times and prints it with the milliseconds of each; an
address that does not answer within SECONDS gets an empty list. ``receive PORT SECONDS`` takes one connection, reads
what comes for SECONDS, then sends for SECONDS; ``send ADDRESS PORT SECONDS`` is its other half. Both print the Mbit/s
that they received. Every wait is bounded.
"""

from __future__ import annotations

import json
import socket
import sys
import time

TRIES = 5
CHUNK = 1 << 16
PATIENCE_S = 3.0
"""How long the halves of a transfer wait for each other."""


def connect(limit_s: float, targets: list[str]) -> dict[str, list[float]]:
    """Return target → milliseconds of each connection."""
    found: dict[str, list[float]] = {}
    for target in targets:
        address, _, port = target.rpartition(":")
        times = found[target] = []
        for _ in range(TRIES):
            began = time.monotonic()
            try:
                socket.create_connection((address, int(port)), timeout=limit_s).close()
            except OSError:
                times.clear()
                break
            times.append(1000 * (time.monotonic() - began))
    return found


def receive(port: int, seconds: float) -> float:
    """Take one connection, read, then send; return the Mbit/s read."""
    with socket.create_server(("", port)) as server:
        server.settimeout(PATIENCE_S)
        link, _ = server.accept()
        with link:
            rate = _read(link)
            _write(link, seconds)
            return rate


def send(address: str, port: int, seconds: float) -> float:
    """Open a connection, send, then read; return the Mbit/s read."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            link = socket.create_connection((address, port), timeout=PATIENCE_S)
            break
        except ConnectionRefusedError:  # the other half is just starting
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    with link:
        _write(link, seconds)
        return _read(link)


def _write(link: socket.socket, seconds: float) -> None:
    link.settimeout(PATIENCE_S)
    block = bytes(CHUNK)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        link.sendall(block)
    link.shutdown(socket.SHUT_WR)


def _read(link: socket.socket) -> float:
    """Return the Mbit/s from the first to the last byte."""
    link.settimeout(PATIENCE_S)
    began = last = time.monotonic()
    first = total = len(link.recv(CHUNK))
    if total:
        began = last = time.monotonic()
    while data := link.recv(CHUNK):
        total += len(data)
        last = time.monotonic()
    return 8e-6 * (total - first) / (last - began) if last > began else 0.0


def main(argv: list[str]) -> None:
    """Run one command."""
    command, *rest = argv
    try:
        if command == "connect":
            print(json.dumps(connect(float(rest[0]), rest[1:])))
        elif command == "receive":
            print(json.dumps({"mbps": receive(int(rest[0]), float(rest[1]))}))
        else:
            print(json.dumps({"mbps": send(rest[0], int(rest[1]), float(rest[2]))}))
    except OSError as e:
        sys.exit(f"{command}: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])

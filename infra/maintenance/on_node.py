"""Gives HAProxy on a machine its orders: ``on_node.py < ORDERS``, as root, with nothing but Python.

stdin: ``["set server BACKEND/SERVER state drain", …]``. stdout: order → what HAProxy said to it, empty when it obeyed.
"""

from __future__ import annotations

import json
import socket
import sys

HAPROXY = "/run/haproxy/admin.sock"
ANSWER_S = 5


def told(order: str) -> str:
    """Return what HAProxy says to one order."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(ANSWER_S)
        asked.connect(HAPROXY)
        asked.sendall(order.encode() + b"\n")
        return b"".join(iter(lambda: asked.recv(65536), b"")).decode().strip()


if __name__ == "__main__":
    print(json.dumps({order: told(order) for order in json.load(sys.stdin)}))

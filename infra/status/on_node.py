"""What a machine says about itself: ``on_node.py < ORDERS``, as root, with nothing but Python.

stdin: ``{"units": […], "addresses": […], "sessions": bool, "balances": bool, "server": ASKED, "voter": ASKED}``, where
ASKED is ``null`` or ``{"url": "https://…", "authority": FILE, "certificate": FILE, "key": FILE}``.
stdout: ``{"units": {unit: state}, "held": […], "sessions": {peer: state}, "backends": {backend: {server: {"status":
…, "sessions": N}}}, "server": …, "voter": …}``; the last two are null when nothing answers, or nobody was asked.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
from typing import Any

LIMIT_S = 20
ANSWER_S = 5
"""How long a program on this machine may take to answer."""
HAPROXY = "/run/haproxy/admin.sock"
DATA = "/srv"
"""Where a machine's data volume is mounted."""
PROGRAMS = "/usr/lib/postgresql/*/bin/psql"
SERVER = "2"
"""What a line of HAProxy's statistics is about: 0 and 1 are front and back ends."""
STANDBYS = """\
SELECT json_object_agg(application_name, json_build_object('state', state, 'sync', sync_state,
 'bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 'seconds', extract(epoch FROM replay_lag)))
 FROM pg_stat_replication"""

Asked = dict[str, str]
Document = dict[str, Any]


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


def backends() -> dict[str, dict[str, dict[str, Any]]]:
    """Return what HAProxy thinks of the servers behind it (management guide, 9.1: the first words of a status)."""
    import csv  # noqa: PLC0415 - what a machine does not need takes a second of an emulated one

    found: dict[str, dict[str, dict[str, Any]]] = {}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(ANSWER_S)
            asked.connect(HAPROXY)
            asked.sendall(b"show stat\n")
            text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    except OSError:
        return {}
    for line in csv.DictReader(text.removeprefix("# ").splitlines()):
        if line["type"] == SERVER:
            about = {"status": line["status"], "sessions": int(line["scur"] or 0)}
            found.setdefault(line["pxname"], {})[line["svname"]] = about
    return found


def get(asked: Asked, path: str, body: bytes | None = None) -> Document:
    """Return the document that a program of this machine answers; whatever its status, it is one."""
    import ssl  # noqa: PLC0415 - as above
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    trust = ssl.create_default_context(cafile=asked["authority"])
    trust.load_cert_chain(asked["certificate"], asked["key"])
    request = urllib.request.Request(asked["url"] + path, data=body)  # noqa: S310 - https, by the plan
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=trust) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def server(asked: Asked) -> Document | None:
    """Return what Patroni says of its PostgreSQL, what a primary says of its standbys, and the free share of the disk.

    None without an answer.
    """
    try:
        found = get(asked, "/patroni")
    except (OSError, ValueError):
        return None
    room = os.statvfs(DATA)
    found["room"] = room.f_bavail / room.f_blocks
    for program in sorted(glob.glob(PROGRAMS))[-1:]:
        rows = said("runuser", "-u", "postgres", "--", program, "-AtqX", "-h", "/run/postgresql", "-c", STANDBYS)
        found["standbys"] = json.loads(rows.strip() or "null") or {}
    return found


def voter(asked: Asked) -> Document | None:
    """Return what etcd says of itself and the others (its JSON gateway); None: no answer.

    A health is an answer of the majority, which a voter may wait for longer than anybody has time.
    """
    try:
        health = get(asked, "/health")
    except (OSError, ValueError):
        health = {"health": "false"}
    try:
        return {
            "health": health,
            "status": get(asked, "/v3/maintenance/status", b"{}"),
            "members": get(asked, "/v3/cluster/member/list", b"{}"),
        }
    except (OSError, ValueError):
        return None


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
                "backends": backends() if orders["balances"] else {},
                "server": server(orders["server"]) if orders["server"] else None,
                "voter": voter(orders["voter"]) if orders["voter"] else None,
            }
        )
    )


if __name__ == "__main__":
    main()

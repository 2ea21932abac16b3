"""Writes numbered rows through the local HAProxy until its input ends: ``writer.py PASSWORD FIRST``.

For each acknowledged one it prints number and time. A number is used once, whatever becomes of it, so that a row that
was written without being acknowledged is not taken for another one. Ends by itself after `LIMIT_S`.
"""

from __future__ import annotations

import json
import pathlib
import select
import sys
import time

import psycopg2

LIMIT_S = 900.0
CONFIG = pathlib.Path("/etc/kumiai/application/juki.json")


def main() -> None:
    """Write until told to stop."""
    told = json.loads(CONFIG.read_text(encoding="utf-8"))["members"][0]["database"]
    names = {"host", "hostaddr", "port", "user", "sslmode", "sslrootcert"}
    settings = {name: value for name, value in told.items() if name in names} | {"dbname": told["name"]}
    end, number, connection = time.monotonic() + LIMIT_S, int(sys.argv[2]), None
    while time.monotonic() < end and not select.select([sys.stdin], [], [], 0.02)[0]:
        number += 1
        try:
            if connection is None:
                connection = psycopg2.connect(**settings, password=sys.argv[1], connect_timeout=3)
                connection.autocommit = True
                connection.cursor().execute("CREATE TABLE IF NOT EXISTS numbers (number int PRIMARY KEY)")
            connection.cursor().execute("INSERT INTO numbers VALUES (%s)", (number,))
            print(number, time.monotonic(), flush=True)
        except psycopg2.Error as error:
            print(number, str(error).strip(), file=sys.stderr, flush=True)
            if connection is not None:
                connection.close()
            connection = None


main()

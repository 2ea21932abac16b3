#!/usr/bin/python3
"""Make PostgreSQL's roles and databases as planned: ``database_roles.py FILE [--servers]``, run as postgres.

FILE is JSON, ``[{"database", "role", "verifier"}]``. The verifier is what PostgreSQL keeps of a SCRAM password, so the
password itself never comes to this machine. What is not in the file is left alone: data is never dropped here.

``--servers`` makes also the roles by which the servers of a replicated database enter each other, by certificate. Of
several servers only the primary can be written to. Run on a standby, it waits until it has everything from there, so
that on each of them it ends well only when the databases are as planned. Nothing waits longer than `LIMIT_S`.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

Cursor = psycopg2.extensions.cursor

REPLICATION, REWIND = "replicator", "rewind"
REWINDING = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""Functions that pg_rewind calls (PostgreSQL's manual, pg_rewind, notes)."""
LIMIT_S = 240
"""For a server that is just being made, or copied from another one."""


def main() -> None:
    """Create what is missing and set what differs."""
    entries = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            if done(entries, servers="--servers" in sys.argv[2:]):
                return
            trouble = "the primary has not made the roles and databases yet, or this standby does not get its changes"
        except (psycopg2.OperationalError, psycopg2.errors.ReadOnlySqlTransaction) as error:
            trouble = str(error).strip()  # no server yet, or one that has just become a standby
        if time.monotonic() > until:
            sys.exit(f"database roles: not as planned after {LIMIT_S} s: {trouble}")
        time.sleep(1)


def done(entries: list[dict[str, str]], servers: bool) -> bool:
    """Do what is to be done on this server; say whether everything is as planned now."""
    connection = psycopg2.connect(dbname="postgres")
    try:
        connection.autocommit = True  # CREATE DATABASE allows no transaction around it
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            if cursor.fetchone() == (True,):
                return all(exists(cursor, entry["database"], entry["role"], entry["verifier"]) for entry in entries)
            cursor.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            if servers:
                ensure_servers(cursor)
            for entry in entries:
                ensure(cursor, entry["database"], entry["role"], entry["verifier"])
            return True
    finally:
        connection.close()


def exists(cursor: Cursor, database: str, role: str, verifier: str) -> bool:
    """Say whether the role has this verifier and its database is there."""
    cursor.execute("SELECT 1 FROM pg_authid WHERE rolname = %s AND rolpassword = %s", (role, verifier))
    known = cursor.fetchone() is not None
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    return known and cursor.fetchone() is not None


def ensure_servers(cursor: Cursor) -> None:
    """Make the roles of the other servers: Patroni does so only where it has begun the database itself."""
    for role, right in ((REPLICATION, "REPLICATION"), (REWIND, "NOREPLICATION")):
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {role} LOGIN {right}")
    cursor.execute(f"GRANT CONNECT ON DATABASE postgres TO {REWIND}")
    for function in REWINDING:
        cursor.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {REWIND}")


def ensure(cursor: Cursor, database: str, role: str, verifier: str) -> None:
    """Make ``role`` and its ``database``, which nobody else may enter."""
    names = {"role": sql.Identifier(role), "database": sql.Identifier(database)}
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE ROLE {role}").format(**names))
    rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    cursor.execute(sql.SQL(f"ALTER ROLE {{role}} {rights} PASSWORD %s").format(**names), (verifier,))
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    if cursor.fetchone() is None:
        made_as = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
        cursor.execute(sql.SQL(f"CREATE DATABASE {{database}} OWNER {{role}} {made_as}").format(**names))
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))


if __name__ == "__main__":
    main()

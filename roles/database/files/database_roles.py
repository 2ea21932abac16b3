#!/usr/bin/python3
"""Make PostgreSQL's roles and databases as planned: ``database_roles.py FILE``, run as the account postgres.

FILE is JSON, ``[{"database", "role", "verifier"}]``. The verifier is what PostgreSQL keeps of a SCRAM password, so the
password itself never comes to this machine. What is not in the file is left alone: data is never dropped here.
"""

from __future__ import annotations

import json
import pathlib
import sys

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

Cursor = psycopg2.extensions.cursor


def main() -> None:
    """Create what is missing and set what differs."""
    entries = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True  # CREATE DATABASE allows no transaction around it
    with connection.cursor() as cursor:
        cursor.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        for entry in entries:
            ensure(cursor, entry["database"], entry["role"], entry["verifier"])
    connection.close()


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

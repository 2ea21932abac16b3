"""Visits in PostgreSQL: every member has a database of its own, or all of them share one.

In a shared one the column ``member`` tells them apart; it stands in every query, wherever the data lies. A thread keeps
one connection per member and renews it when it broke.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions

from kumiai_application.config import Config, Member

Connection = psycopg2.extensions.connection
Result = TypeVar("Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS visits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    member text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    client inet NOT NULL,
    node text NOT NULL,
    note text NOT NULL,
    run text,
    number bigint,
    UNIQUE (member, run, number)
)
"""
INSERT = """
INSERT INTO visits (member, client, node, note, run, number) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (member, run, number) DO NOTHING RETURNING id, at::text, host(client), node, note, run, number
"""
SELECT_NUMBER = """
SELECT id, at::text, host(client), node, note, run, number FROM visits WHERE member = %s AND run = %s AND number = %s
"""
SELECT_LATEST = """
SELECT id, at::text, host(client), node, note, run, number FROM visits WHERE member = %s ORDER BY id DESC LIMIT %s
"""
SELECT_NUMBERS = "SELECT number FROM visits WHERE member = %s AND run = %s AND number IS NOT NULL ORDER BY number"
SELECT_COUNT = "SELECT count(*) FROM visits WHERE member = %s"
SCHEMA_LOCK = 20111001
"""Advisory lock: two nodes that start at the same moment must not create the table twice."""


class StoreError(Exception):
    """The database did not do what was asked; the message carries no secret."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One line of the book."""

    id: int
    at: str
    client: str
    node: str
    note: str
    run: str | None
    number: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewVisit:
    """What a client writes; ``run`` and ``number`` make the write repeatable without a second line."""

    client: str
    node: str
    note: str
    run: str | None = None
    number: int | None = None


class Store:
    """Reads and writes the visits of all members."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._prepared: set[str] = set()
        self._local = threading.local()

    def add(self, member: Member, visit: NewVisit) -> Visit:
        """Write ``visit`` and return it as the database has it; a number that is there already stays as it is."""

        def write(connection: Connection) -> Visit:
            values = (member.id, visit.client, visit.node, visit.note, visit.run, visit.number)
            rows = _rows(connection, INSERT, values)
            rows = rows or _rows(connection, SELECT_NUMBER, (member.id, visit.run, visit.number))
            return _visit(rows[0])

        # Without a number a second try could write a second line, so it is left to the client.
        return self._with_connection(member, write, repeatable=visit.number is not None)

    def count(self, member: Member) -> int:
        """Return the number of visits."""
        return self._with_connection(member, lambda connection: _rows(connection, SELECT_COUNT, (member.id,))[0][0])

    def latest(self, member: Member, limit: int) -> list[Visit]:
        """Return the last visits, the newest first."""
        return self._with_connection(
            member, lambda connection: [_visit(row) for row in _rows(connection, SELECT_LATEST, (member.id, limit))]
        )

    def numbers(self, member: Member, run: str) -> list[int]:
        """Return the numbers written in ``run``, ascending."""
        return self._with_connection(
            member, lambda connection: [row[0] for row in _rows(connection, SELECT_NUMBERS, (member.id, run))]
        )

    def database_node(self, member: Member) -> str:
        """Return the node whose server answers."""
        address = self._with_connection(
            member, lambda connection: _rows(connection, "SELECT host(inet_server_addr())")[0][0]
        )
        return self._config.database_nodes.get(address, address or "unix socket")

    def check(self) -> None:
        """Raise `StoreError` unless every member's database answers."""
        for member in self._config.members:
            self._with_connection(member, lambda connection: _rows(connection, "SELECT 1"))

    def _with_connection(self, member: Member, work: Callable[[Connection], Result], repeatable: bool = True) -> Result:
        """Do ``work`` on the kept connection; one that broke since its last use is renewed, once.

        Work that must not happen twice is begun only on a connection that has just answered.
        """
        kept = self._connections().pop(member.id, None)
        try:
            if kept is not None and not repeatable and not _answers(kept):
                kept = None
            connection = kept or self._connect(member)
            try:
                result = work(connection)
            except psycopg2.OperationalError:
                connection.close()
                if kept is None or not repeatable:
                    raise
                connection = self._connect(member)
                result = work(connection)
        except psycopg2.Error as error:
            raise StoreError(f"{member.database.name} on {member.database.host}: {_cause(error)}") from None
        self._connections()[member.id] = connection
        return result

    def _connections(self) -> dict[str, Connection]:
        if not hasattr(self._local, "connections"):
            self._local.connections = {}
        return self._local.connections

    def _connect(self, member: Member) -> Connection:
        database = member.database
        connection = psycopg2.connect(
            host=database.host,
            hostaddr=database.hostaddr,
            sslmode=database.sslmode,
            sslrootcert=database.sslrootcert,
            port=database.port,
            dbname=database.name,
            user=database.user,
            password=database.password,
            connect_timeout=3,
            application_name=f"kumiai-{self._config.endpoint}-{self._config.node}"[:63],
            options="-c statement_timeout=5000",
            keepalives_idle=2,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=4000,  # ms: a server that vanished is noticed before the load balancer gives up
        )
        if member.id not in self._prepared:
            with connection, connection.cursor() as cursor:  # one transaction
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                cursor.execute(SCHEMA)
            self._prepared.add(member.id)
        connection.autocommit = True
        return connection


def _rows(connection: Connection, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def _answers(connection: Connection) -> bool:
    try:
        _rows(connection, "SELECT 1")
    except psycopg2.Error:
        connection.close()
        return False
    return True


def _visit(row: tuple[int, str, str, str, str, str | None, int | None]) -> Visit:
    return Visit(id=row[0], at=row[1], client=row[2], node=row[3], note=row[4], run=row[5], number=row[6])


def _cause(error: psycopg2.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

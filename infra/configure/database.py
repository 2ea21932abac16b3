"""PostgreSQL on one node: databases that only their own role enters, from that service's application nodes only.

Each member has a database of its own, or all participants share one (``data: common``).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Iterable
from ipaddress import IPv4Address

from infra.plan.model import Plan
from infra.secrets.generate import password_name
from network import flows
from network.model import NetworkPlan, ServiceEndpoint

DIRECTORY = "/etc/kumiai/database"
DATA = "/srv/postgresql/data"
ROLES_PATH = f"{DIRECTORY}/roles.json"
SCRAM_ITERATIONS = 4096
"""PostgreSQL's default; the passwords are generated with full entropy, so more would only slow logins."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Database:
    """One data area of one endpoint."""

    name: str
    """Name of the database and of the one role that may enter it."""
    password_name: str
    """Key of the role's password among the stack's secrets."""


def name_of(endpoint: ServiceEndpoint, member: str) -> str:
    """Return the name of the database, and of its role, with a member's data: ``juki_nishiki``, or ``juki`` for all.

    Ids hold no underscore and at most 31 characters, so the name is unique and fits PostgreSQL's 63.
    """
    return endpoint.service if endpoint.common_data else f"{endpoint.service}_{member}"


def address_of(network: NetworkPlan, node: str, endpoint: ServiceEndpoint) -> IPv4Address:
    """Return the address of ``node`` on the endpoint's segment."""
    return network.node_by_name[node].interface(endpoint.segment).address.ip


def kept_by(network: NetworkPlan, node: str) -> tuple[ServiceEndpoint, ...]:
    """Return the endpoints whose databases ``node`` serves."""
    return tuple(endpoint for endpoint in network.endpoints if node in flows.database_nodes(endpoint))


def databases_on(network: NetworkPlan, node: str) -> tuple[Database, ...]:
    """Return the databases of ``node``, in plan order."""
    found = (
        Database(name=name_of(endpoint, member), password_name=password_name(endpoint, member))
        for endpoint in kept_by(network, node)
        for member in endpoint.participants
    )
    return tuple(dict.fromkeys(found))


def render_node(plan: Plan, node: str) -> dict[str, str]:
    """Return PostgreSQL's settings on ``node``; empty when it serves no database, or one of several servers of it."""
    kept = kept_by(plan.network, node)
    if not kept or any(len(endpoint.database) > 1 for endpoint in kept):
        return {}
    return {
        f"{DIRECTORY}/postgresql.conf": _settings(plan, node),
        f"{DIRECTORY}/pg_hba.conf": _access(plan.network, node),
    }


def scram_verifier(role: str, password: str) -> str:
    """Return what PostgreSQL stores for ``password`` (RFC 5803): with it a server can check, but nobody can log in.

    The salt is made from the role's name: the same password gives the same text, and a second run changes nothing.
    """
    salt = hashlib.sha256(f"kumiai {role}".encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(value).decode() for value in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def settings(plan: Plan, node: str) -> dict[str, str]:
    """Return the settings that every server has, whoever starts it."""
    planned = plan.node_by_name[node]
    # A quarter of the memory on a machine of its own (PostgreSQL's manual, 19.4.1), half of that beside an application.
    share = 4 if planned.role == "database" else 8
    return {
        "unix_socket_directories": "/run/postgresql",
        "shared_buffers": f"{planned.memory_mib // share}MB",
        "password_encryption": "scram-sha-256",
        "timezone": "Asia/Tokyo",
        "log_timezone": "Asia/Tokyo",
        # To stderr, which is the journal; time and process stand there already.
        "log_line_prefix": "user=%u,db=%d,client=%h ",
        "log_connections": "on",
        "log_disconnections": "on",
    }


def connections(kept: Iterable[ServiceEndpoint]) -> int:
    """Return how many connections the applications may hold (8 threads each, one per member), and 20 for people."""
    return 20 + sum(8 * len(endpoint.application) * len(endpoint.participants) for endpoint in kept)


def members(network: NetworkPlan, kept: Iterable[ServiceEndpoint], kind: str) -> list[str]:
    """Return the lines of pg_hba.conf that let each application into its members' databases; ``kind`` as there."""
    lines = []
    for endpoint in kept:
        for name in dict.fromkeys(name_of(endpoint, member) for member in endpoint.participants):
            for application in endpoint.application:
                address = address_of(network, application, endpoint)
                lines.append(f'{kind} "{name}" "{name}" {address}/32 scram-sha-256')
    return lines


def _settings(plan: Plan, node: str) -> str:
    kept = kept_by(plan.network, node)
    addresses = sorted({address_of(plan.network, node, endpoint) for endpoint in kept})
    found = {
        "data_directory": DATA,
        "hba_file": f"{DIRECTORY}/pg_hba.conf",
        "listen_addresses": ",".join(map(str, addresses)),
        "port": str(flows.POSTGRESQL.first),
        "max_connections": str(connections(kept)),
        **settings(plan, node),
    }
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in found.items())


def _access(network: NetworkPlan, node: str) -> str:
    lines = ["# Who is not named here does not get in.", "local all postgres peer"]
    return "\n".join([*lines, *members(network, kept_by(network, node), "host")]) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""What the application is told: one JSON file without secrets, and one with the passwords."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One member's database and the role that may use it."""

    host: str
    port: int
    name: str
    user: str
    password: str = dataclasses.field(repr=False)
    hostaddr: str | None = None
    """Where the server is, when ``host`` is only the name that its certificate shows."""
    sslmode: str = "prefer"
    """As libpq names it; ``prefer`` is libpq's own default."""
    sslrootcert: str | None = None
    """File with the certificate that the server's one must be signed by."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One constituent body with the source prefixes that tell it from the others."""

    id: str
    name: str
    prefixes: tuple[ipaddress.IPv4Network, ...]
    database: Database


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One running application: one service on one node."""

    service: str
    title: str
    endpoint: str
    node: str
    address: str
    port: int
    proxies: frozenset[ipaddress.IPv4Address]
    """Load balancers: from them alone the header X-Forwarded-For is believed."""
    database_nodes: Mapping[str, str]
    """Address of a database server → name of its node."""
    members: tuple[Member, ...]


def load(config_file: pathlib.Path, password_file: pathlib.Path) -> Config:
    """Return the configuration; the passwords (member id → password) come from their own file."""
    data = json.loads(config_file.read_text(encoding="utf-8"))
    passwords = json.loads(password_file.read_text(encoding="utf-8"))
    members = tuple(
        Member(
            id=entry["id"],
            name=entry["name"],
            prefixes=tuple(ipaddress.IPv4Network(prefix) for prefix in entry["prefixes"]),
            database=Database(**entry["database"], password=passwords[entry["id"]]),
        )
        for entry in data["members"]
    )
    return Config(
        service=data["service"],
        title=data["title"],
        endpoint=data["endpoint"],
        node=data["node"],
        address=data["address"],
        port=data["port"],
        proxies=frozenset(ipaddress.IPv4Address(address) for address in data["proxies"]),
        database_nodes=data["database_nodes"],
        members=members,
    )

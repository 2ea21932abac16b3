"""Pattern ④マルチテナント方式: one node set for all participants, told apart inside database and application."""

from __future__ import annotations

from infra.declaration.model import Service
from infra.tenancy.groups import Instance


def expand(service: Service, participants: tuple[str, ...], site: str) -> tuple[Instance, ...]:
    """Return the one instance that all participants share."""
    return (
        Instance(
            service=service.id,
            member=None,
            participants=participants,
            zone=service.zone,
            site=site,
            key=None,
            allowed_hosts=service.hosts,
            runs_on=service.runs_on,
        ),
    )

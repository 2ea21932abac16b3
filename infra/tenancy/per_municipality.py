"""Pattern ②地方公共団体内業務統合型: one node set per member; hosts carry one member only, its many businesses."""

from __future__ import annotations

from infra.declaration.model import Service
from infra.tenancy.groups import Instance


def expand(service: Service, participants: tuple[str, ...], site: str) -> tuple[Instance, ...]:
    """Return one instance per participating member."""
    return tuple(
        Instance(
            service=service.id,
            member=member,
            participants=(member,),
            zone=service.zone,
            site=site,
            key=f"member:{member}",
            allowed_hosts=None,
            runs_on=None if service.runs_on is None else f"{service.runs_on}-{member}",
        )
        for member in participants
    )

"""Pattern ③複数地方公共団体／多種業務統合型: one node set per member, on the hosts that nobody reserves."""

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
            key=None,
            allowed_hosts=None,
            runs_on=None if service.runs_on is None else f"{service.runs_on}-{member}",
        )
        for member in participants
    )

"""The four tenancy patterns: what each makes of a service (one file per pattern)."""

from __future__ import annotations

import datetime

from infra.declaration import queries
from infra.declaration.model import Declaration
from infra.tenancy import mixed, multi_tenant, per_municipality, same_business
from infra.tenancy.groups import Instance, NodeWish, node_wishes

__all__ = ["Instance", "NodeWish", "expand", "node_wishes"]

_EXPAND = {
    "same_business": same_business.expand,
    "per_municipality": per_municipality.expand,
    "mixed": mixed.expand,
    "multi_tenant": multi_tenant.expand,
}


def expand(declaration: Declaration, as_of: datetime.date) -> tuple[Instance, ...]:
    """Return the node sets of every service that has a participant on ``as_of``, in declared order."""
    instances: list[Instance] = []
    for service in declaration.services:
        participants = tuple(member.id for member in queries.participants(declaration, service, as_of))
        if participants:
            site = queries.service_site(declaration, service)
            instances += _EXPAND[service.pattern](service, participants, site)
    return tuple(instances)

"""Look-ups for checks: unlike the queries, they leave out what the declaration does not determine."""

from __future__ import annotations

from infra.declaration.model import Declaration


def service_sites(declaration: Declaration) -> dict[str, str]:
    """Return the site of every service that has one which exists, by service id."""
    known = {site.id for site in declaration.sites}
    centers = [site.id for site in declaration.sites if site.kind == "data_center"]
    default = centers[0] if len(centers) == 1 else None
    services = {service.id: service for service in declaration.services}
    sites: dict[str, str] = {}
    for service in declaration.services:
        host = services.get(service.runs_on or service.id)
        site = (host.site or service.site or default) if host is not None else None
        if site in known:
            sites[service.id] = site
    return sites

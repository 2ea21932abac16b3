"""The bandwidth that services need against what lines and the networks behind them carry (R8)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from infra.declaration import queries
from infra.declaration.checks import places
from infra.declaration.findings import Problem
from infra.declaration.model import Declaration, Service

Need = tuple[Service, queries.Period]


def check_bandwidth(declaration: Declaration) -> Iterator[Problem]:
    """The sum that a line's services require fits the line and every hop of its path, on the busiest day.

    A backup line is compared too: when the main line is cut, all of it moves there. It may be best effort, a main line
    may not as long as a service states what it requires, for a best-effort class promises none of it.
    """
    needs: dict[tuple[str, str, str], list[Need]] = {}
    sites = places.service_sites(declaration)
    for service in declaration.services:
        site = sites.get(service.id)
        if site is None or service.required_mbps is None:
            continue
        for member, period in queries.participation_periods(declaration, service).items():
            needs.setdefault((member, site, service.zone), []).append((service, period))
    networks = {network.id: (index, network) for index, network in enumerate(declaration.closed_networks)}
    for index, line in enumerate(declaration.lines):
        on_line = [need for zone in dict.fromkeys(line.zones) for need in needs.get((line.member, line.site, zone), ())]
        total, services = busiest(on_line)
        if not services:
            continue
        named = ", ".join(f"{service.id} {service.required_mbps:g}" for service in services[:6])
        named += f" and {len(services) - 6} more" if len(services) > 6 else ""
        asked = f"the services on {line.id} require {total:g} Mbit/s ({named})"
        if line.role == "main" and line.class_ == "best_effort":
            message = f"{asked}, but a best-effort line promises none; a main line is guaranteed or reserved (R1)"
            yield Problem(("lines", index, "class"), message)
        if total > line.mbps:
            moved = "; when the main line is cut, all of it moves here" if line.role == "backup" else ""
            yield Problem(("lines", index, "mbps"), f"{asked}, but the line carries {line.mbps}{moved}")
        position, network = networks.get(line.closed_network, (0, None))
        for number, hop in enumerate(network.path if network is not None else ()):
            if total > hop.mbps:
                message = f"{asked}, but the hop {hop.hop} of {line.closed_network} carries {hop.mbps} (R8)"
                yield Problem(("closed_networks", position, "path", number, "mbps"), message)


def busiest(needs: Sequence[Need]) -> tuple[float, list[Service]]:
    """Return the largest sum of Mbit/s on any day, and the services of that day; it is one on which somebody starts."""
    starts = {period.first or datetime.date.min for _, period in needs}
    best: tuple[float, list[Service]] = (0.0, [])
    for day in sorted(starts):
        services = [service for service, period in needs if period.holds(day)]
        total = sum(service.required_mbps or 0.0 for service in services)
        if total > best[0]:
            best = (total, services)
    return best

"""Rules about services: participants, sites, nodes, and what each tenancy pattern allows."""

from __future__ import annotations

from collections.abc import Iterator

from infra.declaration import queries
from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration, Service


def check_participants(declaration: Declaration) -> Iterator[Problem]:
    """A member takes part once, from before until after, and only while it belongs to the group."""
    members = {member.id: member for member in declaration.members}
    for index, service in enumerate(declaration.services):
        seen: set[str] = set()
        for position, part in enumerate(service.participants or ()):
            at: Path = ("services", index, "participants", position)
            if part.member in seen:
                yield Problem(at, f"{part.member} stands in the participants of {service.id} a second time")
            seen.add(part.member)
            if part.from_ and part.until and part.until <= part.from_:
                yield Problem((*at, "until"), f"until {part.until} is not after from {part.from_}")
            member = members.get(part.member)
            if member is None:
                continue
            if part.from_ and member.joins and part.from_ < member.joins:
                yield Problem((*at, "from"), f"{part.from_} is before {member.id} joins the group ({member.joins})")
            for key, day in (("from", part.from_), ("until", part.until)):
                if day and member.leaves and (day > member.leaves or (key == "from" and day == member.leaves)):
                    message = (
                        f"{key} {day} is not within the membership of {member.id}, which leaves on {member.leaves}"
                    )
                    yield Problem((*at, key), message)


def check_sites(declaration: Declaration) -> Iterator[Problem]:
    """Every service has one site, and the site has hosts."""
    centers = [site.id for site in declaration.sites if site.kind == "data_center"]
    known = {site.id for site in declaration.sites}
    with_hosts = {host.site for host in declaration.hosts}
    for index, service in enumerate(declaration.services):
        at: Path = ("services", index)
        if service.runs_on is not None:
            continue
        if service.site is None and len(centers) != 1:
            found = (
                f"{len(centers)} data centers are declared ({', '.join(centers)})" if centers else "no data center is"
            )
            yield Problem(at, f"{service.id} needs `site`: {found}{' declared' if not centers else ''}")
            continue
        site = service.site or centers[0]
        if site in known and site not in with_hosts and declaration.hosts:
            where = (*at, "site") if service.site is not None else at
            yield Problem(where, f"{service.id} runs at {site}, but no host is declared there")


def check_nodes(declaration: Declaration) -> Iterator[Problem]:
    """A service has application nodes of its own, or runs on another one's; voters and balancers make sense."""
    for index, service in enumerate(declaration.services):
        at: Path = ("services", index)
        if service.runs_on is not None:
            if service.nodes:
                message = f"{service.id} runs on the nodes of {service.runs_on}; remove `nodes` or `runs_on`"
                yield Problem((*at, "nodes"), message, at_key=True)
            continue
        if not service.nodes:
            yield Problem(at, f"{service.id} needs `nodes`, or `runs_on` with the service whose nodes it uses")
            continue
        yield from _check_roles((*at, "nodes"), service)


def _check_roles(at: Path, service: Service) -> Iterator[Problem]:
    application = service.nodes.get("application")
    if application is None:
        yield Problem(at, f"{service.id} has no application nodes; nothing would answer", at_key=True)
    balancer = service.nodes.get("load_balancer")
    if balancer is not None and application is not None and application.count < 2:
        message = "a load balancer in front of one application node balances nothing; declare two, or remove it"
        yield Problem((*at, "load_balancer"), message, at_key=True)
    witness, database = service.nodes.get("witness"), service.nodes.get("database")
    if witness is None:
        return
    if database is None or database.count != 2:
        count = "none" if database is None else str(database.count)
        message = f"a witness is the third voter beside two database nodes; {service.id} has {count}"
        yield Problem((*at, "witness"), message, at_key=True)
    if witness.count != 1:
        yield Problem((*at, "witness", "count"), f"one witness is the third voter; {witness.count} are declared")


def check_runs_on(declaration: Declaration) -> Iterator[Problem]:
    """A service runs on the nodes of one that has nodes, with its zone, pattern and site, for members it has."""
    services = {service.id: service for service in declaration.services}
    for index, service in enumerate(declaration.services):
        if service.runs_on is None:
            continue
        at: Path = ("services", index)
        if service.runs_on == service.id:
            yield Problem((*at, "runs_on"), f"{service.id} cannot run on itself")
            continue
        if service.pattern == "same_business":
            message = "with pattern same_business (①) hosts carry one business only; give the service nodes of its own"
            yield Problem((*at, "runs_on"), message)
        target = services.get(service.runs_on)
        if target is None:
            continue
        if target.runs_on is not None:
            message = f"{target.id} runs on {target.runs_on} itself; name a service that has nodes of its own"
            yield Problem((*at, "runs_on"), message)
            continue
        for key in ("zone", "pattern"):
            mine, its = getattr(service, key), getattr(target, key)
            if mine != its:
                yield Problem((*at, key), f"{service.id} runs on {target.id}, whose {key} is {its}, not {mine}")
        if service.site is not None and service.site != target.site:
            message = f"{service.id} runs where {target.id} runs; remove `site`"
            yield Problem((*at, "site"), message)
        missing = [
            member
            for member in queries.participation_periods(declaration, service)
            if member not in queries.participation_periods(declaration, target)
        ]
        if missing:
            message = f"{', '.join(missing)} {'take' if len(missing) > 1 else 'takes'} part in {service.id}, "
            yield Problem((*at, "runs_on"), f"{message}but not in {target.id}, on whose nodes it runs")


def check_pattern_keys(declaration: Declaration) -> Iterator[Problem]:
    """``data: common`` and ``hosts`` belong to pattern ④, and its hosts stand at its site."""
    sites = {host.id: host.site for host in declaration.hosts}
    centers = [site.id for site in declaration.sites if site.kind == "data_center"]
    for index, service in enumerate(declaration.services):
        at: Path = ("services", index)
        if service.pattern != "multi_tenant":
            if service.data == "common":
                message = "`data: common` is for pattern multi_tenant (④) only; every other keeps members' data apart"
                yield Problem((*at, "data"), message)
            if service.hosts is not None:
                message = (
                    f"`hosts` is for pattern multi_tenant (④) only; with {service.pattern} the pattern chooses them"
                )
                yield Problem((*at, "hosts"), message, at_key=True)
            continue
        if service.runs_on is not None and service.hosts is not None:
            message = f"{service.id} runs on the nodes of {service.runs_on}; remove `hosts`"
            yield Problem((*at, "hosts"), message, at_key=True)
        site = service.site or (centers[0] if len(centers) == 1 else None)
        for position, host in enumerate(service.hosts or ()):
            if host in (service.hosts or ())[:position]:
                yield Problem((*at, "hosts", position), f"{host} stands here a second time")
            if site is not None and sites.get(host, site) != site:
                message = f"host {host} stands at {sites[host]}, but {service.id} runs at {site}"
                yield Problem((*at, "hosts", position), message)


def check_listen(declaration: Declaration) -> Iterator[Problem]:
    """A service listens on TCP or UDP ports, each named once."""
    for index, service in enumerate(declaration.services):
        for position, port in enumerate(service.listen):
            at: Path = ("services", index, "listen", position)
            if port.protocol == "icmp":
                yield Problem(at, "icmp has no port to listen on; write one such as tcp/443")
            for earlier in service.listen[:position]:
                if port.overlaps(earlier):
                    yield Problem(at, f"{port} overlaps {earlier}, which stands before it")

"""Ids that stand twice, and references to ids that do not exist."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from typing import Protocol

from infra.declaration.findings import Path, Problem
from infra.declaration.model import Declaration
from network import endpoints


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids that a file names; None where an object does not tell its id, so that nothing can be called missing."""

    members: frozenset[str] | None
    sites: frozenset[str] | None
    hosts: frozenset[str] | None
    closed_networks: frozenset[str] | None
    services: frozenset[str] | None

    @classmethod
    def of(cls, declaration: Declaration) -> Ids:
        """Return the ids of a declaration whose shape is good throughout."""
        return cls(
            members=frozenset(member.id for member in declaration.members),
            sites=frozenset(site.id for site in declaration.sites),
            hosts=frozenset(host.id for host in declaration.hosts),
            closed_networks=frozenset(network.id for network in declaration.closed_networks),
            services=frozenset(service.id for service in declaration.services),
        )


class _Named(Protocol):
    @property
    def id(self) -> str: ...


def check_duplicates(declaration: Declaration) -> Iterator[Problem]:
    """No two objects of one kind share an id."""
    lists: tuple[tuple[str, Sequence[_Named]], ...] = (
        ("members", declaration.members),
        ("sites", declaration.sites),
        ("hosts", declaration.hosts),
        ("closed_networks", declaration.closed_networks),
        ("lines", declaration.lines),
        ("services", declaration.services),
    )
    for key, objects in lists:
        yield from _repeated((key,), objects, "one of the " + key.replace("_", " "))
    for index, member in enumerate(declaration.members):
        yield from _repeated(("members", index, "offices"), member.offices, f"an office of {member.id}")


def _repeated(at: Path, objects: Sequence[_Named], what: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in enumerate(objects):
        if item.id in seen:
            yield Problem((*at, index, "id"), f"id {item.id} is taken: {what} before this one has it")
        seen.add(item.id)


def check_references(declaration: Declaration, ids: Ids) -> Iterator[Problem]:
    """Every reference names something that exists."""
    yield from _check_members(declaration, ids)
    for index, host in enumerate(declaration.hosts):
        yield from _exists(("hosts", index, "site"), host.site, ids.sites, "site")
    for index, line in enumerate(declaration.lines):
        yield from _exists(("lines", index, "member"), line.member, ids.members, "member")
        yield from _exists(("lines", index, "site"), line.site, ids.sites, "site")
        at = ("lines", index, "closed_network")
        yield from _exists(at, line.closed_network, ids.closed_networks, "closed network")
    for index, service in enumerate(declaration.services):
        at_service: Path = ("services", index)
        if service.site is not None:
            yield from _exists((*at_service, "site"), service.site, ids.sites, "site")
        if service.runs_on is not None:
            yield from _exists((*at_service, "runs_on"), service.runs_on, ids.services, "service")
        for position, name in enumerate(service.hosts or ()):
            yield from _exists((*at_service, "hosts", position), name, ids.hosts, "host")
        for position, participation in enumerate(service.participants or ()):
            at_participant = (*at_service, "participants", position, "member")
            yield from _exists(at_participant, participation.member, ids.members, "member")
    for index, translation in enumerate(declaration.translations):
        at = ("translations", index, "closed_network")
        yield from _exists(at, translation.closed_network, ids.closed_networks, "closed network")
        if translation.member is not None:
            yield from _exists(("translations", index, "member"), translation.member, ids.members, "member")
    for index, flow in enumerate(declaration.flows):
        for key, text in (("from", flow.from_), ("to", flow.to)):
            yield from _end_exists(("flows", index, key), text, ids)


def _check_members(declaration: Declaration, ids: Ids) -> Iterator[Problem]:
    for index, member in enumerate(declaration.members):
        if member.link_server is not None:
            yield from _exists(("members", index, "link_server"), member.link_server, ids.services, "service")


def _end_exists(at: Path, text: str, ids: Ids) -> Iterator[Problem]:
    try:
        end = endpoints.parse(text)
    except ValueError as error:
        yield Problem(at, str(error))
        return
    match end:
        case endpoints.OfficeEnd():
            yield from _exists(at, end.member, ids.members, "member")
        case endpoints.ServiceEnd():
            yield from _exists(at, end.service, ids.services, "service")
            if end.member is not None:
                yield from _exists(at, end.member, ids.members, "member")
        case endpoints.NetworkEnd():
            yield from _exists(at, end.network, ids.closed_networks, "closed network")
        case endpoints.ExternalEnd():
            pass


def _exists(at: Path, name: str, known: frozenset[str] | None, what: str) -> Iterator[Problem]:
    if known is None or name in known:
        return
    close = difflib.get_close_matches(name, sorted(known), n=1)
    if close:
        hint = f"did you mean {close[0]}?"
    elif known:
        hint = f"declared are {', '.join(sorted(known))}" if len(known) <= 12 else f"{len(known)} others are declared"
    else:
        hint = "none is declared"
    yield Problem(at, f"no {what} {name}; {hint}")

"""Rules about single members: dates, codes, models."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.declaration import queries
from infra.declaration.findings import Problem
from infra.declaration.model import Declaration
from network import zones

_GUIDELINE = "soumu-guideline"
_EDITION = re.compile(r"(?P<era>[HR])(?P<year>\d{1,2})-(?P<month>\d{2})")


def check_dates(declaration: Declaration) -> Iterator[Problem]:
    """A member joins before it leaves."""
    for index, member in enumerate(declaration.members):
        if member.joins and member.leaves and member.leaves <= member.joins:
            message = f"{member.id} leaves on {member.leaves}, which is not after it joins ({member.joins})"
            yield Problem(("members", index, "leaves"), message)


def check_codes(declaration: Declaration) -> Iterator[Problem]:
    """A 団体コード belongs to one member, and says whether it is a prefecture (its digits 3 to 5 are 000)."""
    owners: dict[str, str] = {}
    for index, member in enumerate(declaration.members):
        if member.lg_code is None:
            continue
        at = ("members", index, "lg_code")
        if member.lg_code in owners:
            yield Problem(at, f"{member.lg_code} is the code of {owners[member.lg_code]} already")
        owners.setdefault(member.lg_code, member.id)
        is_prefecture = member.lg_code[2:5] == "000"
        if is_prefecture and member.kind == "municipality":
            yield Problem(at, f"{member.lg_code} is the code of a prefecture; write `kind: prefecture`, or correct it")
        if not is_prefecture and member.kind == "prefecture":
            yield Problem(at, f"{member.lg_code} is not the code of a prefecture; those end in 000 and a check digit")


def check_models(declaration: Declaration) -> Iterator[Problem]:
    """The edition of the guideline that the group follows knows the models of its members."""
    basis = declaration.group.policy_basis
    if basis is None or basis.doc != _GUIDELINE:
        return
    edition = _month(basis.edition)
    if edition is None:
        message = f'"{basis.edition}": not an edition; write era, year and month, such as R7-03'
        yield Problem(("group", "policy_basis", "edition"), message)
        return
    for index, member in enumerate(declaration.members):
        first = zones.MODEL_EDITIONS[member.model]
        if edition < (_month(first) or 0):
            message = f"model {member.model} came with edition {first}; the group's policy_basis is {basis.edition}"
            yield Problem(("members", index, "model"), message)


def check_link_servers(declaration: Declaration) -> Iterator[Problem]:
    """A member's link server is a service that it takes part in, on nodes of its own: one per member (R16)."""
    services = {service.id: service for service in declaration.services}
    for index, member in enumerate(declaration.members):
        service = services.get(member.link_server or "")
        if service is None:
            continue
        at = ("members", index, "link_server")
        if member.id not in queries.participation_periods(declaration, service):
            yield Problem(at, f"{member.id} takes no part in {service.id}, which it calls its link server")
        elif service.pattern == "multi_tenant":
            message = f"{service.id} serves several members from the same nodes; every member has a link server of its "
            yield Problem(at, f"{message}own (R16)")


def _month(edition: str) -> int | None:
    """Return the month of ``R7-03`` counted from year 0; Heisei began in 1989, Reiwa in 2019."""
    match = _EDITION.fullmatch(edition)
    if match is None:
        return None
    year = int(match["year"]) + (1988 if match["era"] == "H" else 2018)
    return year * 12 + int(match["month"])

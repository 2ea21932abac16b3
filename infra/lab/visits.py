"""A person at an office: opens the business system from a terminal of the lab, and tries what must not open."""

from __future__ import annotations

import dataclasses
import json
import time
from concurrent import futures

from infra import process
from infra.lab import reach
from infra.plan.model import Plan
from network import gateways
from network.model import OfficeLan, ServiceEndpoint

CONNECT_S = 3.0
"""How long a terminal waits for a connection; what is dropped never answers."""
ANSWER_S = 15.0
"""How long it waits for an answer; the first one of an emulated machine takes its time."""
PATH = "/api/visits"
"""Where the reference application keeps its records."""
AT_ONCE = 4
"""How many terminals are in use at a time: most of them wait for an answer that never comes."""
READY_S = 90.0
"""How long a person tries again before saying that the system is out of order."""
_UNREACHED = (7, 28)
"""curl: could not connect, timed out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a terminal saw."""

    office: OfficeLan
    endpoint: ServiceEndpoint
    url: str
    expected: bool
    """Whether the plan lets this LAN reach this service."""
    reached: bool
    answer: str
    """What the business system said, or why there was no answer."""

    @property
    def as_planned(self) -> bool:
        """Whether the terminal saw what the plan says."""
        return self.reached == self.expected


def visit_all(plan: Plan, authority: str) -> tuple[Visit, ...]:
    """Try every service from every office LAN; ``authority`` is the PEM certificate that signs the services' own."""
    pairs = [(office, endpoint) for endpoint in plan.network.endpoints for office in plan.network.offices]
    with futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return tuple(pool.map(lambda pair: visit(plan, pair[0], pair[1], authority), pairs))


def visit(plan: Plan, office: OfficeLan, endpoint: ServiceEndpoint, authority: str) -> Visit:
    """Write a record from one LAN over HTTPS, checking the service's certificate, and read it back."""
    expected = office.member in endpoint.participants and office.zone == endpoint.zone
    url = url_of(plan, office, endpoint)
    post = ("--header", "Content-Type: application/json", "--data", json.dumps({"note": "見本の訪問"}))
    end = time.monotonic() + (READY_S if expected else 0)
    done = _fetch(plan, office, url, authority, *post)
    while not done.ok and time.monotonic() < end:  # a service that was started a moment ago is not ready yet
        done = _fetch(plan, office, url, authority, *post)
    if done.ok:
        done = _fetch(plan, office, url, authority)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return Visit(
        office=office,
        endpoint=endpoint,
        url=url,
        expected=expected,
        reached=done.returncode not in _UNREACHED,
        answer=_words(done.stdout) if done.ok else last,
    )


def answering_node(plan: Plan, office: OfficeLan, endpoint: ServiceEndpoint, authority: str) -> str | None:
    """Return which node answers one request from a LAN; None when none does."""
    done = _fetch(plan, office, url_of(plan, office, endpoint), authority)
    return str(json.loads(done.stdout)["node"]) if done.ok else None


def url_of(plan: Plan, office: OfficeLan, endpoint: ServiceEndpoint) -> str:
    """Return the address at which an office reaches the service's interface for programs."""
    return f"https://{gateways.reached_at(plan.network, endpoint, office.member)}:{endpoint.listen[0].first}{PATH}"


def _fetch(plan: Plan, office: OfficeLan, url: str, authority: str, *options: str) -> process.Completed:
    terminal = reach.office_exec(plan.stack, office.member, office.office, office.zone)
    return process.probe(
        *terminal, "curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--cacert", "/dev/stdin",
        "--connect-timeout", f"{CONNECT_S:g}", "--max-time", f"{ANSWER_S:g}", *options, url,
        stdin=authority, timeout_s=2 * ANSWER_S,
    )  # fmt: skip


def _words(body: str) -> str:
    document = json.loads(body)
    return f"{document['node']} answered, database {document['database_node']}, records: {document['count']}"

"""The WSGI application.

``GET /`` page, ``POST /`` its form · ``GET /api/visits`` (``?run=R``: the numbers kept of that run) and
``POST /api/visits`` ``{"note", "run", "number"}`` · ``GET /health``: 200 when the databases answer, else 503.
"""

from __future__ import annotations

import dataclasses
import http
import json
import time
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from kumiai_application import members, page
from kumiai_application.config import Config, Member
from kumiai_application.health import Health
from kumiai_application.journal import INFO, WARNING, Journal
from kumiai_application.store import NewVisit, Store, StoreError, Visit

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]

MAX_BODY = 64 * 1024
"""Bytes of a request that are read at most."""
MAX_NOTE = 200
SHOWN = 10
"""Visits on the page and in the JSON answer."""
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class Visits(Protocol):
    """What the application needs of its store."""

    add: Callable[[Member, NewVisit], Visit]
    count: Callable[[Member], int]
    latest: Callable[[Member, int], list[Visit]]
    numbers: Callable[[Member, str], list[int]]
    database_node: Callable[[Member], str]


class RequestError(Exception):
    """The request cannot be served; ``status`` says why to machines, the message to people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: str
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


class Application:
    """Serves one service on one node."""

    def __init__(self, config: Config, store: Store | Visits, journal: Journal, health: Health) -> None:
        self._config = config
        self._store = store
        self._journal = journal
        self._health = health

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        begun = time.monotonic()
        address = members.client_address(
            self._config, environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR")
        )
        member = members.member_of(self._config, address)
        path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
        try:
            answer = self._answer(environ, path, method, member, str(address))
        except RequestError as error:
            answer = self._refusal(path, error.status, str(error))
        except StoreError as error:
            self._journal.write(f"database: {error}", WARNING, member=member and member.id, event="database_error")
            answer = self._refusal(path, 503, "データベースが応答しません。しばらくしてからもう一度お試しください。")
        if path != "/health":
            self._journal.write(
                f"{method} {path} {answer.status}",
                INFO if answer.status < 400 else WARNING,
                event="request",
                member=member and member.id,
                client=str(address),
                service=self._config.service,
                method=method,
                path=path,
                status=answer.status,
                milliseconds=round((time.monotonic() - begun) * 1000),
            )
        body = answer.body.encode()
        start_response(
            f"{answer.status} {http.HTTPStatus(answer.status).phrase}",
            [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(body))),
                ("X-Kumiai-Node", self._config.node),
                *SECURITY_HEADERS,
                *answer.headers,
            ],
        )
        return [] if method == "HEAD" else [body]

    def _answer(self, environ: Environ, path: str, method: str, member: Member | None, client: str) -> Answer:
        if path == "/health":
            return self._healthy()
        if path not in ("/", "/api/visits"):
            raise RequestError(404, "このページはありません。")
        if method not in ("GET", "HEAD", "POST"):
            raise RequestError(405, "この操作はできません。")
        if member is None:
            raise RequestError(403, "この端末の接続元は、本業務を利用する団体のネットワークではありません。")
        if path == "/":
            return self._form(environ, member, client) if method == "POST" else self._page(member, client)
        return self._write(environ, member, client) if method == "POST" else self._read(environ, member)

    def _healthy(self) -> Answer:
        trouble = self._health.trouble()
        if trouble is not None:
            return _json(503, {"status": "database", "node": self._config.node, "reason": trouble})
        return _json(200, {"status": "ok", "node": self._config.node})

    def _page(self, member: Member, client: str) -> Answer:
        self._store.add(member, NewVisit(client=client, node=self._config.node, note="閲覧"))
        view = page.View(
            config=self._config,
            member=member,
            database_node=self._store.database_node(member),
            client=client,
            count=self._store.count(member),
            visits=self._store.latest(member, SHOWN),
        )
        return Answer(200, page.render(view), "text/html; charset=utf-8")

    def _form(self, environ: Environ, member: Member, client: str) -> Answer:
        # Another site's page may make the browser post here; browsers say so, and programs do not send the header.
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
            raise RequestError(403, "他のページからの書き込みは受け付けません。")
        fields = urllib.parse.parse_qs(_body(environ), max_num_fields=10)
        self._store.add(
            member, NewVisit(client=client, node=self._config.node, note=_note(fields.get("note", [""])[0]))
        )
        return Answer(303, "", "text/plain; charset=utf-8", (("Location", "/"),))

    def _read(self, environ: Environ, member: Member) -> Answer:
        query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=10)
        head = self._head(member)
        if "run" in query:
            run = query["run"][0]
            return _json(200, {**head, "run": run, "numbers": self._store.numbers(member, run)})
        visits = [dataclasses.asdict(visit) for visit in self._store.latest(member, SHOWN)]
        return _json(200, {**head, "count": self._store.count(member), "visits": visits})

    def _write(self, environ: Environ, member: Member, client: str) -> Answer:
        # JSON cannot be posted by a foreign page without a preflight, which is never answered.
        if not environ.get("CONTENT_TYPE", "").startswith("application/json"):
            raise RequestError(415, "Content-Type: application/json で送ってください。")
        try:
            data = json.loads(_body(environ))
            note, run, number = data.get("note", ""), data.get("run"), data.get("number")
        except (ValueError, AttributeError):
            raise RequestError(400, "JSON のオブジェクトを送ってください。") from None
        if (run is None) != (number is None):
            raise RequestError(400, "run と number は両方とも必要です。")
        if run is not None and not (isinstance(run, str) and 0 < len(run) <= 100 and type(number) is int):
            raise RequestError(400, "run は100字までの文字列、number は整数です。")
        if number is not None and not 0 <= number < 2**63:
            raise RequestError(400, "number は0以上の64ビット整数です。")
        visit = self._store.add(
            member, NewVisit(client=client, node=self._config.node, note=_note(note), run=run, number=number)
        )
        return _json(201, {**self._head(member), **dataclasses.asdict(visit)})

    def _head(self, member: Member) -> dict[str, object]:
        return {
            "service": self._config.service,
            "member": member.id,
            "node": self._config.node,
            "database_node": self._store.database_node(member),
        }

    def _refusal(self, path: str, status: int, text: str) -> Answer:
        if path.startswith("/api/") or path == "/health":
            return _json(status, {"error": text, "node": self._config.node})
        heading = f"{status} {http.HTTPStatus(status).phrase}"
        return Answer(status, page.refusal(self._config, heading, text), "text/html; charset=utf-8")


def _body(environ: Environ) -> str:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise RequestError(400, "Content-Length が数ではありません。") from None
    if length > MAX_BODY:
        raise RequestError(413, "書き込みが長すぎます。")
    try:
        return bytes(environ["wsgi.input"].read(length)).decode()
    except UnicodeDecodeError:
        raise RequestError(400, "UTF-8 で送ってください。") from None


def _note(text: object) -> str:
    if not isinstance(text, str) or "\x00" in text:
        raise RequestError(400, "note は文字列です。")
    if len(text) > MAX_NOTE:
        raise RequestError(400, f"note は{MAX_NOTE}字までです。")
    return text


def _json(status: int, document: dict[str, object]) -> Answer:
    return Answer(status, json.dumps(document, ensure_ascii=False) + "\n", "application/json; charset=utf-8")

"""The client of a drill against a business system on the loopback."""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import ipaddress
import json
import pathlib
import ssl
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import infra.plan
from infra import process
from infra.drills import client
from infra.secrets import authority, generate
from tests.network.render import demo

NOW = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)


class System(http.server.ThreadingHTTPServer):
    """A business system that keeps numbers, except those that it is told to forget, and may hang up."""

    daemon_threads = True

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        now = datetime.datetime.now(tz=datetime.UTC)
        self.authority = authority.authority("test", now)
        network = infra.plan.compute(demo.STACK, demo.AS_OF).plan.network
        endpoint = network.endpoints[0]
        here = dataclasses.replace(network.vip_by_name[endpoint.vip], address=ipaddress.IPv4Interface("127.0.0.1/8"))
        own = generate.service_certificate(dataclasses.replace(network, vips=(here,)), endpoint, self.authority, now)
        pem = folder / "own.pem"
        pem.write_text(own.certificate_pem + own.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.kept: list[int] = []
        self.forgets: set[int] = set()
        self.hangs_up_after: int | None = None
        self.questions = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: System

    def do_POST(self) -> None:
        number = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["number"]
        if number not in self.server.forgets:
            self.server.kept.append(number)
        self._answer(201, {})

    def do_GET(self) -> None:
        self.server.questions += 1
        if "run=" not in self.path and self.server.questions == self.server.hangs_up_after:
            self.close_connection = True
            return
        self._answer(200, {"numbers": self.server.kept})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of its parent
        """Say nothing."""


@pytest.fixture
def system(tmp_path: pathlib.Path) -> Iterator[System]:
    server = System(tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def work(system: System, until: int) -> dict[str, Any]:
    """Let the client work until the business system was asked ``until`` times, and return what it saw."""
    orders = {
        "address": "127.0.0.1", "port": system.server_address[1], "path": "/api/visits", "run": "r",
        "authority": system.authority.certificate_pem, "knock_s": 0.02, "write_s": 0.02, "limit_s": 30,
    }  # fmt: skip
    with process.started(sys.executable, "-I", "-S", client.__file__) as child:
        child.tell(json.dumps(orders))
        waiting = threading.Event()
        for _ in range(1000):
            if system.questions >= until and len(system.kept) > 3:
                break
            waiting.wait(0.01)
        done = child.finish(30)
    assert done.ok, done.stderr
    return dict(json.loads(done.stdout))


def test_everything_is_seen_and_what_was_acknowledged_is_read_back(system: System) -> None:
    system.forgets = {1}
    seen = work(system, 5)
    assert all(opened for _, opened in seen["knocks"])
    assert [why for *_, alive, why in seen["talks"] if not alive] == []
    acknowledged = {number for number, _, _, kept, _ in seen["writes"] if kept}
    assert acknowledged >= {0, 1, 2}
    assert acknowledged - set(seen["kept"]) == {1}


def test_a_connection_that_was_closed_is_told_and_opened_anew(system: System) -> None:
    system.hangs_up_after = 3
    seen = work(system, 6)
    broken = [why for *_, alive, why in seen["talks"] if not alive]
    assert len(broken) == 1
    assert "RemoteDisconnected" in broken[0]
    assert seen["talks"][-1][2], "the next one works"


def test_a_business_system_with_a_foreign_certificate_is_not_written_to(system: System) -> None:
    system.authority = authority.authority("another", NOW)
    orders = {
        "address": "127.0.0.1", "port": system.server_address[1], "path": "/", "run": "r", "limit_s": 0.3,
        "authority": system.authority.certificate_pem, "knock_s": 0.05, "write_s": 0,
    }  # fmt: skip
    with process.started(sys.executable, "-I", "-S", client.__file__) as child:
        child.tell(json.dumps(orders))
        seen = json.loads(child.finish(30).stdout)
    assert any(opened for _, opened in seen["knocks"])
    assert (seen["writes"], seen["kept"], system.kept) == ([], [], [])

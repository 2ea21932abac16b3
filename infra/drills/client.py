"""The program that works from a terminal of an office while something is broken.

It needs nothing but Python. The first line of stdin is a JSON object with its orders; it works until stdin ends, or for
``limit_s``, reads back what it wrote, and prints one JSON document. All moments are seconds of CLOCK_MONOTONIC, which
the namespaces of one machine share.

- a *knock* opens a TCP connection, whatever became of the one before: one packet, so it tells of one moment
- a *write* is a numbered record over a new HTTPS connection, tried once
- the *talk* is one HTTPS connection that is kept open, with a question at a time; it is opened anew only when it broke
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

KNOCK_PATIENCE_S = 0.9
"""Below the second after which TCP asks again (RFC 6298)."""
WRITE_PATIENCE_S = 15.0
TALK_PATIENCE_S = 30.0
"""A connection that survives may be silent for as long as TCP repeats; it counts as broken only after this."""
AT_ONCE = 40
"""Most writes that wait for an answer at a time; the next ones are left out until one has ended."""
READ_BACK_S = 120.0
"""How long the client asks for what was kept, after the last write."""


class Client:
    """One drill's client."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.context = ssl.create_default_context(cadata=orders["authority"])
        self.ended = threading.Event()
        self.knocks: list[tuple[float, bool]] = []
        self.writes: list[tuple[int, float, float, bool, str]] = []
        self.talks: list[tuple[float, float, bool, str]] = []
        self._waiting = threading.Semaphore(AT_ONCE)

    def work(self) -> dict[str, Any]:
        """Work until stdin ends; return everything that was seen."""
        threads = [threading.Thread(target=self._every, args=(self.orders["knock_s"], self._knock))]
        if self.orders["write_s"]:
            threads.append(threading.Thread(target=self._every, args=(self.orders["write_s"], self._write)))
            threads.append(threading.Thread(target=self._talk))
        for thread in threads:
            thread.start()
        threading.Thread(target=self._await_end, daemon=True).start()
        self.ended.wait(self.orders["limit_s"])
        self.ended.set()
        for thread in threads:
            thread.join()
        numbers = self._kept() if self.orders["write_s"] else []
        return {
            "knocks": sorted(self.knocks),
            "writes": sorted(self.writes),
            "talks": self.talks,
            "kept": numbers,
        }

    def _await_end(self) -> None:
        sys.stdin.read()
        self.ended.set()

    def _every(self, interval: float, act: Callable[[int], None]) -> None:
        """Start ``act`` every ``interval`` seconds in a thread of its own, and wait for the last ones."""
        began = time.monotonic()
        started: list[threading.Thread] = []
        while not self.ended.is_set():
            number = len(started)
            started.append(threading.Thread(target=act, args=(number,)))
            started[-1].start()
            self.ended.wait(max(0.0, began + (number + 1) * interval - time.monotonic()))
        for thread in started:
            thread.join()

    def _knock(self, _: int) -> None:
        at = time.monotonic()
        try:
            socket.create_connection((self.orders["address"], self.orders["port"]), KNOCK_PATIENCE_S).close()
            opened = True
        except OSError:
            opened = False
        self.knocks.append((at, opened))

    def _write(self, number: int) -> None:
        if not self._waiting.acquire(blocking=False):
            return
        at = time.monotonic()
        try:
            status = self._post(number)
            kept, why = status == 201, f"HTTP {status}"
        except (OSError, http.client.HTTPException) as e:
            kept, why = False, f"{type(e).__name__}: {e}"
        finally:
            self._waiting.release()
        self.writes.append((number, at, time.monotonic(), kept, "" if kept else why))

    def _post(self, number: int) -> int:
        connection = self._connect(WRITE_PATIENCE_S)
        try:
            body = json.dumps({"note": "訓練", "run": self.orders["run"], "number": number})
            connection.request("POST", self.orders["path"], body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _talk(self) -> None:
        connection = self._connect(TALK_PATIENCE_S)
        while not self.ended.is_set():
            at = time.monotonic()
            try:
                connection.request("GET", self.orders["path"])
                answer = connection.getresponse()
                answer.read()
                alive, why = not answer.will_close, "closed by the other side"
            except (OSError, http.client.HTTPException) as e:
                alive, why = False, f"{type(e).__name__}: {e}"
            self.talks.append((at, time.monotonic(), alive, "" if alive else why))
            if not alive:
                connection.close()
                connection = self._connect(TALK_PATIENCE_S)
            self.ended.wait(self.orders["write_s"])
        connection.close()

    def _kept(self) -> list[int]:
        """Return the numbers that the business system has of this run; raise the last error when it does not tell."""
        end = time.monotonic() + READ_BACK_S
        while True:
            connection = self._connect(WRITE_PATIENCE_S)
            try:
                connection.request("GET", f"{self.orders['path']}?run={self.orders['run']}")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    return [int(number) for number in json.loads(body)["numbers"]]
                raise OSError(f"HTTP {answer.status}: {body[:200]!r}")
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
                time.sleep(1)  # a service that has just failed over is asked again, for two minutes at most
            finally:
                connection.close()

    def _connect(self, patience: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self.orders["address"], self.orders["port"], timeout=patience, context=self.context
        )


if __name__ == "__main__":
    print(json.dumps(Client(json.loads(sys.stdin.readline())).work()))

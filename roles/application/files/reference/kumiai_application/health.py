"""Whether the databases answer, asked once a second in the background.

A load balancer asks every node every second. If each of its questions were a database query, a machine short of
processor time would answer ever later, be taken out, and be asked again: here the answer costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kumiai_application.store import StoreError

INTERVAL_S = 1.0
STALE_S = 15.0
"""An answer older than this counts for nothing: connecting and a statement have shorter limits of their own."""


class Health:
    """Keeps the last answer of ``check``, which raises StoreError when a database does not answer."""

    def __init__(self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._last: tuple[float, str | None] | None = None

    def start(self) -> None:
        """Ask from now on, until the process ends."""
        threading.Thread(target=self._run, name="health", daemon=True).start()

    def ask(self) -> None:
        """Ask once."""
        try:
            self._check()
        except StoreError as error:
            self._last = self._clock(), str(error)
        else:
            self._last = self._clock(), None

    def trouble(self) -> str | None:
        """Return what is wrong; None when the databases answered lately."""
        if self._last is None:
            return "not asked yet"
        asked, reason = self._last
        age_s = self._clock() - asked
        return f"no answer for {age_s:.0f} s" if age_s > STALE_S else reason

    def _run(self) -> None:
        while True:
            self.ask()
            time.sleep(INTERVAL_S)

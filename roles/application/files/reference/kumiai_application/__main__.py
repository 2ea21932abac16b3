"""Run the application: ``python3 -m kumiai_application CONFIG PASSWORDS``."""

from __future__ import annotations

import pathlib
import sys

import waitress

from kumiai_application import config, health, journal, store, web

THREADS = 8


def main() -> None:
    """Serve until the process is ended."""
    settings = config.load(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    log = journal.Journal(f"kumiai-application-{settings.endpoint}")
    log.write(f"{settings.title}: listening on {settings.address}:{settings.port}", event="start")
    visits = store.Store(settings)
    asking = health.Health(visits.check)
    asking.start()
    waitress.serve(
        web.Application(settings, visits, log, asking),
        listen=f"{settings.address}:{settings.port}",
        threads=THREADS,
        ident=None,  # says nothing about the software to clients
        # The header is judged in members.py, where the reason stands; waitress must neither drop nor believe it.
        clear_untrusted_proxy_headers=False,
        channel_timeout=30,
    )


if __name__ == "__main__":
    main()

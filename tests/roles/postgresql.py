"""A PostgreSQL server of the test's own: a directory and a Unix socket, no network."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

ACCOUNT = "postgres"


def programs() -> pathlib.Path | None:
    """Return the folder of PostgreSQL's programs, of the newest version that is installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    return pathlib.Path(initdb).resolve().parent if initdb else None


@contextlib.contextmanager
def server(access: str) -> Iterator[pathlib.Path]:
    """Run a server whose pg_hba.conf is ``access``; return its socket's directory. ``postgres`` is superuser."""
    folder = programs()
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    # PostgreSQL refuses to run as root; pytest's own directories are closed to other accounts.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="kumiai-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, ACCOUNT, ACCOUNT)
        data = directory / "data"
        as_server("initdb", folder, "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        (data / "pg_hba.conf").write_text(access)
        options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
        as_server("pg_ctl", folder, "-D", str(data), "-w", "-l", str(directory / "log"), "-o", options, "start")
        try:
            yield directory
        finally:
            as_server("pg_ctl", folder, "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def as_server(program: str, folder: pathlib.Path, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the account that may."""
    prefix = ("runuser", "-u", ACCOUNT, "--") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*prefix, str(folder / program), *arguments], capture_output=True, text=True, timeout=120, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr or done.stdout

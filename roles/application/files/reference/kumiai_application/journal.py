"""User activity as fields of the journal: ``journalctl KUMIAI_MEMBER=nishiki`` finds what one member's users did.

One datagram in systemd's native protocol per record. Contents that users write, and passwords, are never logged.
"""

from __future__ import annotations

import pathlib
import socket
import struct
import sys

SOCKET = pathlib.Path("/run/systemd/journal/socket")
INFO = 6
WARNING = 4


class Journal:
    """Writes records to the journal, or as lines to stderr where there is none."""

    def __init__(self, identifier: str, path: pathlib.Path = SOCKET) -> None:
        self._identifier = identifier
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path.is_socket() else None

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()

    def write(self, message: str, priority: int = INFO, **fields: str | int | None) -> None:
        """Write ``message`` with ``fields``; a field ``member`` becomes KUMIAI_MEMBER."""
        named = {f"KUMIAI_{name.upper()}": str(value) for name, value in fields.items() if value is not None}
        if self._socket is None:
            print(message, *(f"{name}={value!r}" for name, value in named.items()), file=sys.stderr, flush=True)
            return
        record = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": self._identifier, **named}
        try:
            self._socket.sendto(b"".join(_field(*item) for item in record.items()), str(self._path))
        except OSError as error:  # a journal that restarts must not stop the service
            print(f"journal: {error}: {message}", file=sys.stderr, flush=True)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" in data:  # the form with an explicit length, so that a value cannot forge a field
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"

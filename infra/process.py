"""Run other programs: the one place where Kumiai starts a process.

Arguments are lists, never shell strings. Secrets travel in ``stdin`` or ``env``, never in ``argv``, which every user of
the machine can read. ``run`` wants success and returns the output; ``probe`` asks a question whose answer may be "no".
"""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from network import errors

TIMED_OUT = 124
"""Return code for "no answer in time", as coreutils' ``timeout`` gives it."""
NOT_EXECUTABLE = 126
"""Return code for "found, but cannot be started", as shells give it."""
NOT_FOUND = 127
"""Return code for "no such program", as shells give it."""

STDERR_LINES = 20
"""How many of the last lines of a failed program's stderr an error message carries."""


class CommandError(errors.OperationError):
    """A program failed, did not answer in time or could not be started."""

    def __init__(self, argv: tuple[str, ...], returncode: int, stderr: str, redact: Collection[str] = ()) -> None:
        self.argv = tuple(_redacted(a, redact) for a in argv)
        self.returncode = returncode
        """The exit status; -N when signal N ended the program; 124, 126, 127 as the constants of this module say."""
        self.stderr = _redacted(stderr, redact)
        lines = self.stderr.strip().splitlines()[-STDERR_LINES:]
        super().__init__(f"{shlex.join(self.argv)}: {_cause(returncode)}" + "".join(f"\n  {line}" for line in lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended; ``returncode`` as in `CommandError`."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the program exited with status 0."""
        return self.returncode == 0


def run(
    *argv: str,
    stdin: str | None = None,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    redact: Collection[str] = (),
) -> str:
    """Run ``argv`` and return its stdout; raise `CommandError` unless it exits with 0 within ``timeout_s``.

    ``env`` is laid over this process's environment. Strings in ``redact`` read ``***`` in the error.
    """
    done = probe(*argv, stdin=stdin, timeout_s=timeout_s, env=env, cwd=cwd)
    if not done.ok:
        raise CommandError(argv, done.returncode, done.stderr, redact)
    return done.stdout


def probe(
    *argv: str,
    stdin: str | None = None,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
) -> Completed:
    """Run ``argv`` and return how it ended, whatever that is; parameters as for `run`."""
    try:
        child = subprocess.Popen(
            argv,
            # Without input of ours the program gets none: it must not swallow what a person types to us.
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            # Its own process group, so that a time-out or Ctrl-C ends the program's children as well.
            start_new_session=True,
        )
    except OSError as e:
        if cwd is not None and not cwd.is_dir():
            return Completed(argv=argv, returncode=NOT_FOUND, stdout="", stderr=f"no such directory: {cwd}")
        code = NOT_FOUND if isinstance(e, FileNotFoundError) else NOT_EXECUTABLE
        return Completed(argv=argv, returncode=code, stdout="", stderr=e.strerror or str(e))
    with child:
        try:
            stdout, stderr = child.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            return Completed(argv=argv, returncode=TIMED_OUT, stdout="", stderr=f"no answer in {timeout_s:g} s")
        except BaseException:
            _kill(child)
            raise
    return Completed(argv=argv, returncode=child.returncode, stdout=stdout, stderr=stderr)


class Child:
    """A program that runs beside us."""

    def __init__(self, popen: subprocess.Popen[str], argv: tuple[str, ...]) -> None:
        self._popen = popen
        self._argv = argv

    def tell(self, line: str) -> None:
        """Write one line to its stdin; BrokenPipeError when it has ended."""
        assert self._popen.stdin is not None  # noqa: S101 - `started` opens it
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def hear(self) -> str:
        """Return the next line of its stdout, however long that takes; empty when it has ended."""
        assert self._popen.stdout is not None  # noqa: S101 - `started` opens it
        return self._popen.stdout.readline().rstrip("\n")

    def finish(self, timeout_s: float) -> Completed:
        """Close its stdin, and return how it ended and what it still said."""
        try:
            out, err = self._popen.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(self._popen)
            return Completed(argv=self._argv, returncode=TIMED_OUT, stdout="", stderr=f"no end in {timeout_s:g} s")
        return Completed(argv=self._argv, returncode=self._popen.returncode, stdout=out, stderr=err)


@contextlib.contextmanager
def started(*argv: str) -> Iterator[Child]:
    """Yield a program with its streams open; with the block it ends, and its children with it.

    CommandError when it cannot be started.
    """
    try:
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as e:
        code = NOT_FOUND if isinstance(e, FileNotFoundError) else NOT_EXECUTABLE
        raise CommandError(argv, code, e.strerror or str(e)) from None
    try:
        yield Child(popen, argv)
    finally:
        if popen.poll() is None:
            _kill(popen)
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            with contextlib.suppress(OSError):  # what it did not read any more
                if stream is not None:
                    stream.close()


def leave_behind(*argv: str) -> int:
    """Start a program that nobody waits for, apart from our terminal, streams and environment; return its pid."""
    nothing = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    return os.posix_spawn(argv[0], argv, {}, file_actions=nothing, setsid=True)


def _kill(child: "subprocess.Popen[str]") -> None:
    """End ``child`` and its process group. The leader is not yet waited for, so the group's id is still its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()  # after Ctrl-C nobody else does


def _redacted(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # the longer first: one may contain another
        text = text.replace(secret, "***")
    return text


def _cause(returncode: int) -> str:
    if returncode == NOT_FOUND:
        return "command not found (127)"
    if returncode == TIMED_OUT:
        return "timed out (124)"
    if returncode < 0:
        return f"ended by signal {-returncode}"
    return f"exit status {returncode}"

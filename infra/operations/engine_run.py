"""Runs the Pulumi engine through the Automation API and keeps what its events say.

The engine runs in a process group of its own: Ctrl-C reaches only Kumiai, which passes it on once, so that the engine
finishes the step under way and writes it down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from infra import process
from infra.engine import pins
from infra.operations import state
from infra.operations.changes import Step
from infra.operations.workspace import RUN_MARK, Workspace
from network import errors

if TYPE_CHECKING:
    from pulumi import automation
    from pulumi.automation import events

LIMIT_S = 4 * 3600.0
"""No run of the engine takes longer; a hung one must not hold the stack for ever."""
IGNORE_PROTECT = {"PULUMI_OPTION_IGNORE_PROTECT": "true"}
"""Lets the engine plan, or do, what `protect` forbids: Kumiai itself decides about data loss, node by node."""

Progress = Callable[[str], None]
"""Gets one line about what is going on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a resource, or the run as a whole (``urn`` empty), failed."""

    urn: str
    message: str


@dataclasses.dataclass(slots=True)
class Record:
    """What the events of a run said."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    done: int = 0
    hosts: dict[str, str] = dataclasses.field(default_factory=dict)
    """URN → host."""


def preview(place: Workspace) -> Record:
    """Ask the engine what it would do; data loss is planned like everything else, so that it can be shown."""
    return _run(place, "preview", lambda _: None, IGNORE_PROTECT)


def up(place: Workspace, progress: Progress = lambda _: None) -> Record:
    """Let the engine make it so."""
    return _run(place, "up", progress, {})


def destroy(place: Workspace, progress: Progress = lambda _: None) -> Record:
    """Let the engine remove everything, protected or not."""
    return _run(place, "destroy", progress, IGNORE_PROTECT)


def _run(place: Workspace, operation: str, progress: Progress, settings: Mapping[str, str]) -> Record:
    from pulumi import automation  # noqa: PLC0415  # slow to import, and most commands do without

    record = Record()
    stack = _open(place, settings)
    observe = _observer(record, progress)
    with _interruptible(place, progress) as stop:
        try:
            match operation:
                case "preview":
                    stack.preview(on_event=observe)
                case "up":
                    stack.up(on_event=observe, suppress_outputs=True)
                case _:
                    stack.destroy(on_event=observe, suppress_outputs=True)
        except automation.ConcurrentUpdateError:
            raise errors.OperationError(
                f"{place.name}: another run is changing this stack; wait until it ends"
            ) from None
        except automation.CommandError as e:
            if not record.failures:
                record.failures.append(Failure(urn="", message=_last_words(str(e))))
    if stop.asked:
        raise errors.OperationError(f"{place.name}: stopped on request; the next run continues from here")
    return record


def require_success(place: Workspace, record: Record, what: str) -> None:
    """Raise an error that names host, resource and cause of every failure."""
    if not record.failures:
        return
    lines = []
    for failure in record.failures:
        host = record.hosts.get(failure.urn)
        where = f"host {host}: " if host else ""
        name = f"{state.resource_name(failure.urn)}: " if failure.urn else ""
        lines.append(f"  {where}{name}{failure.message}")
    raise errors.OperationError("\n".join([f"{place.name}: {what}", *dict.fromkeys(lines)]))


def _open(place: Workspace, settings: Mapping[str, str]) -> automation.Stack:
    import semver  # noqa: PLC0415
    from pulumi import automation  # noqa: PLC0415

    class Command(automation.PulumiCommand):
        """The engine through Kumiai's own process wrapper, apart from the terminal's process group."""

        def __init__(self) -> None:
            self.command = str(place.pulumi)
            # At least this one: `ensure_engine` has looked, and asking again takes time.
            self.version = semver.VersionInfo(*pins.PULUMI_VERSION)

        def run(
            self,
            args: list[str],
            cwd: str,
            additional_env: Mapping[str, str],
            on_output: Callable[[str], Any] | None = None,
            on_error: Callable[[str], Any] | None = None,
        ) -> automation.CommandResult:
            environment = {**place.environment, **additional_env, **settings, "PULUMI_AUTOMATION_API": "true"}
            argv = (self.command, "--non-interactive", *args)
            done = _apart(lambda: process.probe(*argv, timeout_s=LIMIT_S, env=environment, cwd=place.root))
            result = automation.CommandResult(stdout=done.stdout, stderr=done.stderr, code=done.returncode)
            if not done.ok:
                raise automation.errors.create_command_error(result)
            return result

    workspace = automation.LocalWorkspace(
        work_dir=str(place.root), env_vars=dict(place.environment), pulumi_command=Command()
    )
    return automation.Stack.select(place.name, workspace)


def _apart(call: Callable[[], process.Completed]) -> process.Completed:
    """Run ``call`` in a thread: the wrapper ends its program at an interrupt, which reaches the main thread only."""
    outcome: list[process.Completed | BaseException] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as e:  # noqa: BLE001  # handed on to the caller's thread
            outcome.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


class _Stop:
    """Whether a person has asked the run to stop."""

    asked = False


@contextlib.contextmanager
def _interruptible(place: Workspace, progress: Progress) -> Iterator[_Stop]:
    """Pass the first Ctrl-C on to the engine, which then stops after the steps under way."""
    stop = _Stop()

    def pass_on(signum: int, frame: FrameType | None) -> None:
        if stop.asked:
            progress("still stopping: the steps under way have to be written down")
            return
        stop.asked = True
        progress("stopping after the steps under way")
        for pid in _engines_of(place.environment[RUN_MARK]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def marks(prefix: str) -> Iterator[tuple[int, str]]:
    """Yield the processes of this user whose environment marks them as part of a run, with the whole mark."""
    key = f"{RUN_MARK}={prefix}".encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry.name}/environ", "rb") as file:
            for setting in file.read().split(b"\0"):
                if setting.startswith(key):
                    yield int(entry.name), setting.decode(errors="replace").partition("=")[2]


def is_engine(pid: int) -> bool:
    """Say whether a process is the engine itself, not one of its plugins."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip() == "pulumi"
    return False


def _engines_of(mark: str) -> Iterator[int]:
    return (pid for pid, found in marks(mark) if found == mark and is_engine(pid))


def _observer(record: Record, progress: Progress) -> Callable[[events.EngineEvent], None]:
    def observe(event: events.EngineEvent) -> None:
        note(record, event)
        text = say(event)
        if text:
            progress(text)

    return observe


def note(record: Record, event: events.EngineEvent) -> None:
    """Keep what an event says about steps and failures."""
    if event.resource_pre_event is not None:
        meta = event.resource_pre_event.metadata
        new, old = meta.new, meta.old
        operation = getattr(meta.op, "value", str(meta.op))
        keys = [*(meta.detailed_diff or {}), *(meta.diffs or []), *(meta.keys or [])]
        step = Step(
            operation=operation,
            urn=meta.urn,
            type=meta.type,
            keys=tuple(dict.fromkeys(str(key) for key in keys)),
            old=dict(old.inputs or {}) if old is not None else {},
            new=dict(new.inputs or {}) if new is not None else {},
        )
        record.steps.append(step)
        host = state.host_of({"provider": meta.provider})
        if host:
            record.hosts[meta.urn] = host
    elif event.res_outputs_event is not None:
        record.done += 1
    elif event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
        diagnostic = event.diagnostic_event
        message = _clean(diagnostic.message)
        if message and not message.startswith(("update failed", "preview failed")):
            record.failures.append(Failure(urn=diagnostic.urn or "", message=message))


_VERBS = {"create": "made", "create-replacement": "made anew", "update": "changed", "delete": "removed"}
_NOUNS = {"Domain": "machine", "Volume": "volume", "Network": "network", "Pool": "storage pool"}


def say(event: events.EngineEvent) -> str | None:
    """Return what a person wants to read of an event, if anything."""
    if event.res_outputs_event is None:
        return None
    meta = event.res_outputs_event.metadata
    verb = _VERBS.get(getattr(meta.op, "value", str(meta.op)))
    noun = _NOUNS.get(meta.type.rsplit(":", 1)[-1])
    if verb is None or noun is None:
        return None
    return f"{noun} {state.resource_name(meta.urn)} {verb}"


def _clean(message: str) -> str:
    """Return the cause in the provider's message: "sdk-v2/provider2.go:572: …: CAUSE: provider=libvirt@0.5.4"."""
    text = re.sub(r"<\{%[^%]*%\}>", "", message).strip()
    text = re.sub(r"^\s*sdk-v2/\S+: sdk\.helper_schema: ", "", text)
    text = re.sub(r": provider=\S+$", "", text)
    text = re.sub(r"^\d+ errors? occurred:\s*", "", text)
    lines = [line.strip().removeprefix("* ") for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted = [line for line in lines if line.startswith("error:")] or lines[-3:]
    return "; ".join(dict.fromkeys(_clean(line.removeprefix("error:").strip()) for line in wanted))

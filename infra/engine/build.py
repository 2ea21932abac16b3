"""Build a unit of the engine into the cache: once, whole or not at all, one builder at a time."""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import IO

from infra import process
from infra.engine import golang, pins, progress
from network import errors

BUILD_TIMEOUT_S = 3600.0
"""A first build takes minutes on two cores; an hour covers a slow line."""


def location(unit: pins.Unit, cache: pathlib.Path) -> pathlib.Path:
    """Return the folder in which ``unit`` stands once it is built."""
    return cache / f"{unit.name}-{unit.digest()[:16]}"


def build(units: Sequence[pins.Unit], go: golang.Go, cache: pathlib.Path) -> None:
    """Build ``units`` unless they are in ``cache``; the caller holds its lock."""
    _check_pins()
    missing = [unit for unit in units if not location(unit, cache).is_dir()]
    count = sum(len(unit.programs) for unit in missing)
    number = 0
    for unit in missing:
        with _workshop(cache) as workshop:
            result = workshop / "result"
            result.mkdir()
            for program in unit.programs:
                number += 1
                label = f"engine {number}/{count}: building {program.name}"
                with progress.shown(label, f"about {program.minutes} the first time"):
                    _compile(program, go, result, workshop)
            if pins.LANGUAGE_HOST in unit.programs:
                _copy_script(go, result)
            # The one step that makes the unit visible: a build that was interrupted before leaves none.
            result.rename(location(unit, cache))


@contextlib.contextmanager
def lock(cache: pathlib.Path) -> Iterator[None]:
    """Hold the cache's lock. The kernel frees it when its holder ends, however that happens."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        if not _try_lock(file):
            with progress.shown("engine: waiting", "another process is building it"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _workshop(cache: pathlib.Path) -> Iterator[pathlib.Path]:
    """Make an empty folder for one build, in the cache's file system; what a killed build left there goes first."""
    workshop = cache / "building"
    shutil.rmtree(workshop, ignore_errors=True)
    (workshop / "tmp").mkdir(parents=True)
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _compile(program: pins.Program, go: golang.Go, result: pathlib.Path, workshop: pathlib.Path) -> None:
    argv = ("build", "-trimpath", "-ldflags", program.ldflags, "-o", str(result / program.name), program.package)
    # Go's temporary files stand in the workshop too: /tmp may be small, and a killed build would leave them there.
    env = {**go.env, "GOTMPDIR": str(workshop / "tmp")}
    try:
        process.run(str(go.executable), *argv, cwd=program.module, env=env, timeout_s=BUILD_TIMEOUT_S)
    except process.CommandError as e:
        raise errors.EnvironmentLackError(
            f"{program.name} could not be built. It needs access to a Go module proxy (`go env GOPROXY`) and about"
            f" 5 GiB of free space for Go's caches and {workshop.parent}.\n{e}"
        ) from None


def _copy_script(go: golang.Go, result: pathlib.Path) -> None:
    """Put the language host's script beside it, from the SDK module whose hash go.sum states."""
    argv = (str(go.executable), "mod", "download", "-json", pins.SCRIPT_MODULE)
    try:
        answer = process.run(*argv, cwd=pins.PULUMI.module, env=go.env, timeout_s=600)
    except process.CommandError as e:
        raise errors.EnvironmentLackError(f"{pins.LANGUAGE_HOST_SCRIPT} could not be fetched.\n{e}") from None
    script = result / pins.LANGUAGE_HOST_SCRIPT
    shutil.copyfile(pathlib.Path(json.loads(answer)["Dir"]) / pins.SCRIPT_IN_MODULE, script)
    script.chmod(0o755)


def _check_pins() -> None:
    """Refuse a checkout without the pins: Go would then choose versions by itself or fail in words of its own."""
    for program in (*pins.ENGINE.programs, *pins.LIBVIRT.programs):
        for name in ("go.mod", "go.sum"):
            if not os.path.isfile(program.module / name):
                raise errors.EnvironmentLackError(f"{program.module / name} is missing: the checkout is not complete")

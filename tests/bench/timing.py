"""Measuring whole commands: medians of several runs, and the ratio to a peer that runs in turn with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished run."""

    seconds: float
    memory_mib: float
    """Peak resident memory of the largest single process so far."""


def run(argv: Sequence[str], **env: str) -> Run:
    """Run ``argv`` once; a failure raises CalledProcessError with its output."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        argv, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
    )
    _, stderr = process.communicate()
    seconds = time.perf_counter() - begun
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, argv, stderr=stderr)
    return Run(seconds=seconds, memory_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


@dataclasses.dataclass(slots=True)
class Work:
    """What a piece of this process's own work took; filled in at its end."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    """The most that was resident meanwhile, beyond what was at the beginning."""


@contextlib.contextmanager
def work() -> Iterator[Work]:
    """Measure what happens in the ``with``."""
    found = Work()
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew: proc(5)
    before, begun, cpu = _status_mib("VmRSS"), time.perf_counter(), time.process_time()
    yield found
    found.seconds, found.cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    found.peak_mib = _status_mib("VmHWM") - before


def _status_mib(name: str) -> float:
    """Return a value of proc(5)'s status of this process, which are in KiB."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def median(runs: Sequence[Run]) -> float:
    """Return the median seconds."""
    return statistics.median(one.seconds for one in runs)


def beside(argv: Sequence[str], peer: Sequence[str], count: int = 5) -> tuple[float, float, float]:
    """Run both in turn, after a warm-up of each, and return the medians and the median of the pairwise ratios."""
    run(argv)
    run(peer)
    pairs = [(run(argv), run(peer)) for _ in range(count)]
    ratios = statistics.median(own.seconds / other.seconds for own, other in pairs)
    return median([own for own, _ in pairs]), median([other for _, other in pairs]), ratios


def line(what: str, value: str, target: str) -> None:
    """Print one figure beside its target."""
    print(f"{what:<58} {value:>22}   target {target}", flush=True)


@contextlib.contextmanager
def machine_memory() -> Iterator[list[float]]:
    """Yield a list whose last entry is, after the ``with``, the peak of what the whole machine used more, in MiB."""
    samples = [_memory_in_use_mib()]
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.5):
            samples.append(_memory_in_use_mib())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    result: list[float] = []
    try:
        yield result
    finally:
        stop.set()
        thread.join()
        result.append(max(samples) - samples[0])


def _memory_in_use_mib() -> float:
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kib["MemTotal"] - kib["MemAvailable"]) / 1024

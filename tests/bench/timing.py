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

"""Say what takes so long, on stderr: a living line with the seconds on a terminal, else two plain ones."""

import contextlib
import time
from collections.abc import Iterator

from rich import console, progress


@contextlib.contextmanager
def shown(label: str, remark: str) -> Iterator[None]:
    """Show ``label`` while the body runs, and afterwards how long it took."""
    err = console.Console(stderr=True, highlight=False)
    started = time.monotonic()
    if err.is_terminal:
        columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}"), progress.TimeElapsedColumn())
        with progress.Progress(*columns, console=err, transient=True) as bar:
            bar.add_task(f"{label} ({remark})", total=None)
            yield
    else:
        err.print(f"{label} ({remark})", markup=False)
        yield
    err.print(f"{label}: {time.monotonic() - started:.0f} s", markup=False)

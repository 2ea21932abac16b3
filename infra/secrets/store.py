"""Where the secrets are kept: one encrypted value in the stack's Pulumi configuration."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping

from infra.operations import workspace
from infra.plan.model import Plan
from infra.secrets import generate, model
from infra.secrets.model import Secrets
from network import errors

KEY = "kumiai:secrets"


def load(stack_file: pathlib.Path, site: str) -> Secrets:
    """Return the secrets of a stack on ``site``; an error when they were not made yet."""
    place = workspace.open_workspace(stack_file.stem, site)
    found = read(place)
    if found is None:
        raise errors.InputError(f"{place.name}: no keys yet; run `kumiai up {stack_file.stem}`, which makes them")
    return found


def load_all(stack_file: pathlib.Path, plan: Plan) -> Mapping[str, Secrets]:
    """Return the secrets of every site of ``plan``, by site; errors as of `load`."""
    return {site: load(stack_file, site) for site in plan.sites}


def ensure(plan: Plan, stack_file: pathlib.Path, site: str) -> Secrets:
    """Return the secrets, after making what the plan needs and nobody has made yet."""
    return ensure_in(workspace.open_workspace(stack_file.stem, site), plan)


def ensure_in(place: workspace.Workspace, plan: Plan) -> Secrets:
    """As `ensure`, in an open workspace."""
    place.create()
    known = read(place)
    complete = generate.complete(plan.network, place.site, known, datetime.datetime.now(tz=datetime.UTC))
    if complete is not known:
        _write(place, complete)
    return complete


def put(plan: Plan, stack_file: pathlib.Path, site: str, name: str, value: str) -> None:
    """Store a password that somebody else gave us, beside what the plan needs."""
    put_in(workspace.open_workspace(stack_file.stem, site), plan, name, value)


def put_in(place: workspace.Workspace, plan: Plan, name: str, value: str) -> None:
    """As `put`, in an open workspace."""
    known = ensure_in(place, plan)
    _write(place, dataclasses.replace(known, passwords={**known.passwords, name: value}))


def _write(place: workspace.Workspace, secrets: Secrets) -> None:
    # On stdin: an argument could be read by every user of this machine.
    place.run("config", "set", "--secret", "--stack", place.name, KEY, stdin=model.dump(secrets))


def read(place: workspace.Workspace) -> Secrets | None:
    """Return the secrets of an open workspace, or None when there are none."""
    if not place.exists:
        return None
    try:
        text = place.run("config", "get", "--stack", place.name, KEY)
    except errors.OperationError as e:
        if "not found" in str(e):
            return None
        raise
    return model.parse(text)

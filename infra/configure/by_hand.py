"""Ansible by hand: prepare what a run needs, and remove it when the program that asked for it ends."""

from __future__ import annotations

import datetime
import pathlib

import infra.hosts.access
import infra.plan
import infra.secrets.store
from infra import memory
from infra.configure import private
from network.errors import InputError


def prepare(stack: str, as_of: str | None, user_pid: int) -> str:
    """Return the inventory of ``stack`` as JSON, its private directory standing until process ``user_pid`` ends."""
    stack_file = pathlib.Path(stack) if "/" in stack else private.ROOT / "stacks" / f"{stack}.yaml"
    if not stack_file.is_file():
        raise InputError(f"{stack}: no such stack ({stack_file} does not exist)")
    day = datetime.date.fromisoformat(as_of) if as_of else datetime.datetime.now(tz=datetime.UTC).astimezone().date()
    plan = infra.plan.current(stack_file, day)
    secrets = infra.secrets.store.load_all(stack_file, plan)
    ssh_args = {site: infra.hosts.access.station_ssh_args(plan, site) for site in plan.sites}
    directory = memory.folder_of(user_pid, private.PURPOSE)
    private.fill(directory, plan, secrets, ssh_args, {})
    return (directory / private.INVENTORY).read_text(encoding="utf-8")

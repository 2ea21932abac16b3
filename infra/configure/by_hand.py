"""Ansible by hand: prepare what a run needs, and remove it when the program that asked for it ends."""

from __future__ import annotations

import datetime
import os
import pathlib
import select
import shutil

import infra.hosts.access
import infra.plan
import infra.secrets.store
from infra.configure import private
from network.errors import InputError


def prepare(stack: str, as_of: str | None, user_pid: int) -> str:
    """Return the inventory of ``stack`` as JSON, its private directory standing until process ``user_pid`` ends."""
    stack_file = pathlib.Path(stack) if "/" in stack else private.ROOT / "stacks" / f"{stack}.yaml"
    if not stack_file.is_file():
        raise InputError(f"{stack}: no such stack ({stack_file} does not exist)")
    day = datetime.date.fromisoformat(as_of) if as_of else datetime.datetime.now(tz=datetime.UTC).astimezone().date()
    plan = infra.plan.current(stack_file, day)
    secrets = {site: infra.secrets.store.load(stack_file, site) for site in plan.sites}
    ssh_args = {site: infra.hosts.access.station_ssh_args(plan, site) for site in plan.sites}
    directory = private.make()
    remove_after(directory, user_pid)  # first: from here on nothing written can stay behind
    private.fill(directory, plan, secrets, ssh_args)
    return (directory / private.INVENTORY).read_text(encoding="utf-8")


def remove_after(directory: pathlib.Path, pid: int) -> None:
    """Leave a process behind that removes ``directory`` when process ``pid`` ends, by whatever means."""
    watched = os.pidfd_open(pid)
    if os.fork() != 0:
        os.close(watched)
        return
    try:
        os.setsid()  # Ctrl-C at the terminal ends the watched program, not the one who cleans up after it
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # else whoever reads our output would wait for this process too
            os.dup2(nowhere, stream)
        select.select([watched], [], [])
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os._exit(0)

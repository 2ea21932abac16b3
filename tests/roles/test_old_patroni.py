"""Which Patroni the role takes: its own tasks, run by Ansible on a node whose image pretends to have one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

TASKS = pathlib.Path(__file__).parents[2] / "roles" / "database" / "tasks" / "patroni.yml"


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("3.0.2-1", False),  # bookworm
        ("2.1.7-1~bpo11+1", False),
        ("3.0.3-1", True),
        ("3.3.10-1", True),
        ("4.0.5-1", True),  # trixie
        ("4.1.0-1.pgdg13+1", True),
    ],
)
def test_one_that_takes_the_lock_from_another_is_refused(tmp_path: pathlib.Path, version: str, taken: bool) -> None:
    program = tmp_path / "bin" / "dpkg-query"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf %s '{version}'\n")
    program.chmod(0o755)
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    tasks = yaml.safe_load(TASKS.read_text(encoding="utf-8"))
    book = [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(book))
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "-i", "juki-db1,", "play.yml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "tmp"),
        },
    )
    assert (done.returncode == 0) is taken, done.stdout + done.stderr
    if not taken:
        assert f"Patroni {version} is in this node's image; before 3.0.3 it loses writes" in done.stdout
        assert "kumiai reimage STACK juki-db1" in done.stdout

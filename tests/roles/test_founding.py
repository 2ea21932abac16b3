"""When voters found a new cluster: the role's own tasks, run by Ansible on three pretended nodes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

TASKS = pathlib.Path(__file__).parents[2] / "roles" / "database" / "tasks" / "voter.yml"
VOTERS = ("juki-db1", "juki-db2", "juki-ap1")


def play(folder: pathlib.Path, *limit: str) -> set[str]:
    """Run what looks for data and what founds; return the voters that may found a cluster."""
    looks, founds = yaml.safe_load(TASKS.read_text(encoding="utf-8"))[:2]
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "database_voters": list(VOTERS),
        "database_voter_data": f"{folder}/{{{{ inventory_hostname }}}}",
    }
    book = [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": [looks, founds]}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    (folder / "hosts").write_text("\n".join(VOTERS) + "\n")
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "-i", str(folder / "hosts"), str(folder / "play.yml")]
    done = subprocess.run(
        [*argv, *(["--limit", ",".join(limit)] if limit else [])],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_REMOTE_TEMP": str(folder / "tmp")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {voter for voter in VOTERS if (folder / f"{voter}.founding").exists()}


@pytest.mark.parametrize(
    ("with_data", "limit", "founders"),
    [
        ((), (), set(VOTERS)),
        (("juki-ap1",), (), set()),
        (VOTERS, (), set()),
        ((), VOTERS[:2], set()),  # of the third one nobody knows whether it has data
    ],
)
def test_a_cluster_is_founded_only_where_all_voters_are_seen_to_be_empty(
    tmp_path: pathlib.Path, with_data: tuple[str, ...], limit: tuple[str, ...], founders: set[str]
) -> None:
    for voter in VOTERS:
        (tmp_path / voter / ("member" if voter in with_data else "other")).mkdir(parents=True)
    assert play(tmp_path, *limit) == founders

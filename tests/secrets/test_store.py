"""Keeping secrets, with a program named pulumi that keeps what it gets on stdin and logs its arguments."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from infra.operations import workspace
from infra.operations.workspace import Workspace
from infra.secrets import model, store
from network import errors
from tests.resources import examples

PLAN = examples.demo_plan()


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Workspace:
    program = tmp_path / "pulumi"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/log
env >> {tmp_path}/log
case "$*" in
  *"stack ls --json"*)
    if [ -f {tmp_path}/stack ]; then echo '[{{"name": "organization/kumiai/demo.dc1"}}]'; else echo '[]'; fi;;
  *"stack init"*) touch {tmp_path}/stack;;
  *"config set"*) cat > {tmp_path}/value;;
  *"config get"*)
    cat {tmp_path}/value 2>/dev/null || {{ echo "error: configuration key 'kumiai:secrets' not found" >&2; exit 1; }};;
  *) exit 9;;
esac
"""
    )
    program.chmod(0o755)
    return Workspace(stack="demo", site="dc1", pulumi=program, environment={}, root=tmp_path)


def test_missing_secrets_are_made_once_and_come_back(place: Workspace) -> None:
    assert store.read(place) is None
    made = store.ensure_in(place, PLAN)
    assert set(made.hosts) == {node.name for node in PLAN.nodes}
    assert store.ensure_in(place, PLAN) == made
    log = (place.root / "log").read_text()
    assert log.count("config set --secret") == 1


def test_secrets_are_never_arguments_nor_environment(place: Workspace) -> None:
    made = store.ensure_in(place, PLAN)
    log = (place.root / "log").read_text()
    values = [*made.passwords.values(), made.station.private.splitlines()[2], made.ca.key_pem.splitlines()[1]]
    assert values[0] in (place.root / "value").read_text()
    assert not [value for value in values if value in log]


def test_a_failing_program_is_an_error_and_not_missing_secrets(place: Workspace) -> None:
    store.ensure_in(place, PLAN)
    place.pulumi.write_text("#!/bin/sh\necho 'error: the bucket burns' >&2\nexit 1\n")
    with pytest.raises(errors.OperationError, match="the bucket burns"):
        store.read(place)


def test_a_wrong_passphrase_says_which_file(place: Workspace) -> None:
    store.ensure_in(place, PLAN)
    place.pulumi.write_text("#!/bin/sh\necho 'error: incorrect passphrase' >&2\nexit 1\n")
    with pytest.raises(errors.EnvironmentLackError, match="KUMIAI_PASSPHRASE_FILE"):
        store.read(place)


def test_the_value_is_what_parse_reads(place: Workspace) -> None:
    made = store.ensure_in(place, PLAN)
    assert model.parse((place.root / "value").read_text()) == made


def test_a_passphrase_is_made_private_and_kept(tmp_path: pathlib.Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    (name,) = workspace.passphrase(environ).values()
    path = pathlib.Path(name)
    assert path == tmp_path / "kumiai" / "passphrase"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert len(text.strip()) == 64
    assert workspace.passphrase(environ) == {"PULUMI_CONFIG_PASSPHRASE_FILE": name}
    assert path.read_text() == text


def test_a_passphrase_that_others_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(errors.EnvironmentLackError, match=f"chmod 600 {path}"):
        workspace.passphrase({"KUMIAI_PASSPHRASE_FILE": str(path)})


def test_a_passphrase_given_otherwise_is_left_to_pulumi(tmp_path: pathlib.Path) -> None:
    assert workspace.passphrase({"PULUMI_CONFIG_PASSPHRASE": "x", "XDG_CONFIG_HOME": str(tmp_path)}) == {}
    assert list(tmp_path.iterdir()) == []
    named = tmp_path / "mine"
    assert workspace.passphrase({"PULUMI_CONFIG_PASSPHRASE_FILE": str(named)}) == {
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(named)
    }
    assert named.exists()
    assert os.stat(named).st_size > 0

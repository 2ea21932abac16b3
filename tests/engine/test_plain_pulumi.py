"""Plain ``pulumi`` with the project's own Pulumi.yaml: the language host, the local state, Python's own modules."""

import pathlib
import shutil

import pytest

from infra import process
from infra.engine import Engine, ensure_engine, pins

PROGRAM = """
import secrets, sys
import pulumi
import infra.engine
pulumi.export("secrets", secrets.__file__)
pulumi.export("executable", sys.executable)
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copy(pins.PROJECT / "Pulumi.yaml", tmp_path)
    (tmp_path / ".venv").symlink_to(pins.PROJECT / ".venv")
    (tmp_path / ".kumiai" / "state").mkdir(parents=True)
    (tmp_path / "stacks").mkdir()
    (tmp_path / "infra" / "secrets").mkdir(parents=True)
    (tmp_path / "infra" / "secrets" / "__init__.py").write_text("raise SystemExit('taken for the module of Python')")
    (tmp_path / "infra" / "__main__.py").write_text(PROGRAM)
    return tmp_path


def test_up_runs_the_program_with_our_python_and_local_state(engine: Engine, project: pathlib.Path) -> None:
    env = {**engine.env, "PULUMI_CONFIG_PASSPHRASE": "test", "PULUMI_HOME": str(project / "home")}

    def pulumi(*argv: str) -> str:
        return process.run(str(engine.pulumi), *argv, "--non-interactive", env=env, cwd=project, timeout_s=120)

    pulumi("stack", "init", "demo.dc1")
    pulumi("up", "--yes", "--skip-preview")
    assert "infra/secrets" not in pulumi("stack", "output", "secrets")
    assert pulumi("stack", "output", "executable").startswith(str(pins.PROJECT / ".venv" / "bin"))
    assert (project / "stacks" / "Pulumi.demo.dc1.yaml").is_file()
    assert list((project / ".kumiai" / "state").rglob("demo.dc1.json"))


def test_run_from_elsewhere_it_refuses_instead_of_starting_a_second_state(
    engine: Engine, project: pathlib.Path
) -> None:
    env = {**engine.env, "PULUMI_HOME": str(project / "home")}
    done = process.probe(str(engine.pulumi), "stack", "ls", env=env, cwd=project / "infra")
    assert not done.ok
    assert ".kumiai/state: no such file" in done.stderr

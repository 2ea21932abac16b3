"""What is used from PATH, what is built, and that a build is whole or not there."""

import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest

from infra.engine import Engine, build, cache_folder, ensure_engine, parse_version, pins
from network import errors
from tests.engine import fakes

ALL = [program.package for unit in (pins.ENGINE, pins.LIBVIRT) for program in unit.programs]


class Machine:
    """A machine with a home of its own and nothing but fake programs on PATH."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.programs = fakes.Programs(root)
        self.environ = {"HOME": str(root / "home"), "PATH": str(self.programs.folder)}
        self.cache = root / "home" / ".cache" / "kumiai" / "engine"

    def add_pulumi(self, version: str = "v3.258.0") -> None:
        self.programs.add("pulumi", f"echo {version}")
        self.programs.add("pulumi-language-python")

    def ensure(self) -> Engine:
        return ensure_engine(self.environ)

    def built(self) -> list[str]:
        """Return the files of the cache that a later run could use."""
        return sorted(str(p.relative_to(self.cache)) for p in self.cache.rglob("*") if p.is_file() and p.name != "lock")


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


def test_everything_is_built_once(machine: Machine) -> None:
    machine.programs.add_go()
    engine = machine.ensure()
    assert machine.programs.builds() == ALL
    assert engine.pulumi == build.location(pins.ENGINE, machine.cache) / "pulumi"
    assert os.access(engine.pulumi, os.X_OK)
    assert os.access(engine.pulumi.parent / "pulumi-language-python-exec", os.X_OK)
    assert os.access(build.location(pins.LIBVIRT, machine.cache) / "pulumi-resource-libvirt", os.X_OK)
    assert len(machine.built()) == 4

    assert machine.ensure() == engine
    assert machine.programs.builds() == ALL, "the second time nothing is built"


def test_builds_never_change_the_pins_or_fetch_a_toolchain(machine: Machine) -> None:
    machine.programs.add_go()
    engine = machine.ensure()
    built = engine.pulumi.read_text().split()
    assert built == [pins.PULUMI.package, "0", "-mod=readonly", "local", "off", str(pins.PULUMI.module)]
    assert all("-mod=mod" not in call for call in machine.programs.calls("go"))


def test_path_has_our_python_first_then_the_engine_then_the_rest(machine: Machine) -> None:
    machine.programs.add_go()
    engine = machine.ensure()
    assert engine.env["PATH"].split(":") == [
        str(pathlib.Path(sys.executable).parent),
        str(build.location(pins.ENGINE, machine.cache)),
        str(build.location(pins.LIBVIRT, machine.cache)),
        str(machine.programs.folder),
    ]
    assert engine.env["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_new_enough_pulumi_of_path_is_used_and_only_the_plugin_built(machine: Machine) -> None:
    machine.programs.add_go()
    machine.add_pulumi("v3.300.1")
    engine = machine.ensure()
    assert engine.pulumi == machine.programs.folder / "pulumi"
    assert machine.programs.builds() == [pins.PLUGIN.package]


def test_whole_engine_of_path_needs_no_go(machine: Machine) -> None:
    machine.add_pulumi()
    machine.programs.add("pulumi-resource-libvirt")
    assert machine.ensure().pulumi == machine.programs.folder / "pulumi"
    assert not machine.cache.exists()


@pytest.mark.parametrize("home", ["", "elsewhere"])
def test_plugin_installed_in_pulumis_home_is_used(machine: Machine, home: str) -> None:
    machine.add_pulumi()
    folder = machine.root / "home" / ".pulumi"
    if home:
        folder = machine.root / home
        machine.environ["PULUMI_HOME"] = str(folder)
    plugin = folder / "plugins" / "resource-libvirt-v0.5.4" / "pulumi-resource-libvirt"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    machine.ensure()
    assert not machine.cache.exists()


@pytest.mark.parametrize("version", ["v3.257.9", "v2.0.0", "dev"])
def test_old_pulumi_of_path_is_left_alone(machine: Machine, version: str) -> None:
    machine.programs.add_go()
    machine.add_pulumi(version)
    assert machine.ensure().pulumi.parent == build.location(pins.ENGINE, machine.cache)


def test_pulumi_without_its_language_host_is_left_alone(machine: Machine) -> None:
    machine.programs.add_go()
    machine.add_pulumi()
    (machine.programs.folder / "pulumi-language-python").unlink()
    assert machine.ensure().pulumi.parent == build.location(pins.ENGINE, machine.cache)


def test_shell_that_carries_an_older_build_does_not_get_it_again(machine: Machine) -> None:
    machine.programs.add_go()
    old = machine.cache / "pulumi-0123456789abcdef"
    old.mkdir(parents=True)
    for name in ("pulumi", "pulumi-language-python", "pulumi-resource-libvirt"):
        (old / name).write_text("#!/bin/sh\necho v3.258.0\n")
        (old / name).chmod(0o755)
    machine.environ["PATH"] += f":{old}"
    engine = machine.ensure()
    assert engine.pulumi.parent != old
    assert str(old) not in engine.env["PATH"]


def test_failed_build_is_exit_3_with_the_reason_and_leaves_nothing(machine: Machine) -> None:
    machine.programs.add_go(on_build='[ "$1" != . ] || { echo dial tcp: no route to host >&2; exit 1; }')
    with pytest.raises(errors.EnvironmentLackError) as caught:
        machine.ensure()
    assert caught.value.exit_code == 3
    assert "pulumi-resource-libvirt could not be built" in str(caught.value)
    assert "dial tcp: no route to host" in str(caught.value)
    assert not [name for name in machine.built() if "libvirt" in name]
    assert not (machine.cache / "building").exists()

    machine.programs.add_go()
    machine.ensure()
    assert machine.programs.builds() == [*ALL, pins.PLUGIN.package], "what was done is not done again"


SNIPPET = "import os; from infra.engine import ensure_engine; ensure_engine(dict(os.environ))"


def start(machine: Machine) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SNIPPET], env=machine.environ, cwd=pins.PROJECT, stderr=subprocess.PIPE, encoding="utf-8"
    )


def wait_for_writer(fifo: pathlib.Path) -> None:
    """Return once somebody has opened ``fifo`` for writing."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    readable, _, _ = select.select([reader], [], [], 60)
    os.close(reader)
    assert readable, f"nobody opened {fifo} within 60 s"


def test_killed_build_leaves_no_half_program(machine: Machine) -> None:
    ready, go_on = machine.root / "ready", machine.root / "go-on"
    os.mkfifo(ready)
    os.mkfifo(go_on)
    machine.programs.add_go(on_build=f": >{ready}; : <{go_on}")
    with start(machine) as builder:
        wait_for_writer(ready)  # the first program is half written now
        builder.send_signal(signal.SIGKILL)
    go_on.write_bytes(b"")  # lets the orphaned go end
    assert not [name for name in machine.built() if not name.startswith("building/")]

    machine.programs.add_go()
    engine = machine.ensure()
    assert "half" not in engine.pulumi.read_text()
    assert not (machine.cache / "building").exists()


def test_two_builders_build_once(machine: Machine) -> None:
    ready, go_on = machine.root / "ready", machine.root / "go-on"
    os.mkfifo(ready)
    os.mkfifo(go_on)
    first_only = f"[ -e {machine.root}/first ] || {{ : >{machine.root}/first; : >{ready}; : <{go_on}; }}"
    machine.programs.add_go(on_build=first_only)
    with start(machine) as first:
        wait_for_writer(ready)
        with start(machine) as second:
            assert second.stderr is not None
            readable, _, _ = select.select([second.stderr], [], [], 60)
            said = second.stderr.readline() if readable else "nothing in 60 s"
            go_on.write_bytes(b"")
            assert first.wait(60) == 0
            assert second.wait(60) == 0
    assert "waiting" in said
    assert machine.programs.builds() == ALL


def test_cache_follows_xdg(tmp_path: pathlib.Path) -> None:
    home = {"HOME": str(tmp_path)}
    default = tmp_path / ".cache" / "kumiai" / "engine"
    assert cache_folder(home) == default
    assert cache_folder({**home, "XDG_CACHE_HOME": "/var/x"}) == pathlib.Path("/var/x/kumiai/engine")
    assert cache_folder({**home, "XDG_CACHE_HOME": "relative"}) == default
    assert cache_folder({**home, "XDG_CACHE_HOME": ""}) == default


@pytest.mark.parametrize(
    ("text", "version"),
    [("v3.258.0\n", (3, 258, 0)), ("3.260.1", (3, 260, 1)), ("v3.259.0-alpha.1+dirty", (3, 259, 0)), ("oops", None)],
)
def test_parse_version(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_shell_lines_can_be_read_by_a_shell(machine: Machine) -> None:
    machine.programs.add_go()
    machine.environ["PATH"] = f"{machine.programs.folder}:/odd 'path'"
    printed = subprocess.run(
        [sys.executable, "-m", "infra.engine"], env=machine.environ, cwd=pins.PROJECT, capture_output=True, check=True
    ).stdout.decode()
    assert all(line.startswith("export ") for line in printed.splitlines())
    shell = subprocess.run(["/bin/sh", "-c", f'{printed}\necho "$PATH"'], capture_output=True, check=True)
    assert shell.stdout.decode().strip() == machine.ensure().env["PATH"]

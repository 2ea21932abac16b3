"""The cache: an image is there as a whole or not at all, once, and a failed build says why."""

import contextlib
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator

import pytest

from infra import process
from infra.image import Image, Recipe, build, ensure_image, sources, store
from network import errors


@contextlib.contextmanager
def quiet(label: str, remark: str) -> Iterator[None]:
    assert label
    assert remark
    yield


class Builder:
    """Stands for `build.build`: writes what it would write, and counts."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.fail = False
        self.pause = threading.Event()
        self.pause.set()
        self.started = threading.Event()

    def __call__(
        self, recipe: Recipe, workshop: pathlib.Path, log: pathlib.Path, progress: build.Progress
    ) -> pathlib.Path:
        self.started.set()
        assert self.pause.wait(10)
        assert list(workshop.iterdir()) == [], "a build starts in an empty folder"
        log.write_text("I: log\n")
        (workshop / "half").touch()
        if self.fail:
            raise errors.OperationError("mmdebstrap failed")
        self.built.append(recipe.image_id)
        result = workshop / "result"
        result.mkdir()
        for name in (build.ROOT, build.KERNEL, build.INITRD):
            (result / name).write_text(name)
        (result / build.MANIFEST).write_text(json.dumps({"root_gib": recipe.root_gib}))
        return result


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    made = Builder()
    monkeypatch.setattr(build, "build", made)
    monkeypatch.setattr(build, "check_environment", lambda: None)
    return made


@pytest.fixture
def environ(tmp_path: pathlib.Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path)}


@pytest.fixture
def cache(environ: dict[str, str]) -> pathlib.Path:
    return store.cache_folder(environ)


def test_an_image_is_built_once(builder: Builder, environ: dict[str, str], cache: pathlib.Path) -> None:
    first = ensure_image(None, quiet, environ)
    assert ensure_image(Recipe(), quiet, environ) == first
    assert ensure_image(first.id, quiet, environ) == first
    assert builder.built == [Recipe().image_id] == [first.id]
    assert first.root.read_text() == build.ROOT
    assert first.kernel is not None
    assert first.kernel.is_file()
    assert first.root_gib == Recipe().root_gib
    assert sorted(path.name for path in cache.iterdir()) == sorted([first.id, "lock"])


def test_a_failed_build_leaves_its_log_and_nothing_else(
    builder: Builder, environ: dict[str, str], cache: pathlib.Path
) -> None:
    builder.fail = True
    with pytest.raises(errors.OperationError, match="mmdebstrap failed"):
        ensure_image(None, quiet, environ)
    assert sorted(path.name for path in cache.iterdir()) == sorted([f"{Recipe().image_id}.log", "lock"])
    builder.fail = False
    ensure_image(None, quiet, environ)
    assert not (cache / f"{Recipe().image_id}.log").exists()


def test_what_a_killed_build_left_is_removed(builder: Builder, environ: dict[str, str], cache: pathlib.Path) -> None:
    (cache / "building" / "tree" / "usr").mkdir(parents=True)
    ensure_image(None, quiet, environ)
    assert not (cache / "building").exists()


def test_two_callers_build_once(builder: Builder, environ: dict[str, str]) -> None:
    builder.pause.clear()
    images: list[Image] = []
    threads = [threading.Thread(target=lambda: images.append(ensure_image(None, quiet, environ))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert builder.started.wait(10)
    builder.pause.set()
    for thread in threads:
        thread.join(10)
    assert len(images) == 2
    assert len(builder.built) == 1


def test_a_pinned_image_of_another_suite_is_built_from_todays_inputs(builder: Builder, environ: dict[str, str]) -> None:
    bookworm = Recipe(suite="bookworm").image_id
    assert ensure_image(bookworm, quiet, environ).id == bookworm == builder.built[0]


def test_a_pinned_image_whose_inputs_are_gone_says_what_to_do(builder: Builder, environ: dict[str, str]) -> None:
    with pytest.raises(errors.EnvironmentLackError, match=r"today's is trixie-.*re-image"):
        ensure_image("trixie-000000000000", quiet, environ)
    with pytest.raises(errors.EnvironmentLackError, match="potato-000000000000 is not in this machine's cache"):
        ensure_image("potato-000000000000", quiet, environ)
    assert builder.built == []


@pytest.mark.parametrize("image_id", ["", "trixie", "../trixie-000000000000", "trixie-00000000000g"])
def test_an_identifier_is_never_a_path(image_id: str, environ: dict[str, str]) -> None:
    with pytest.raises(errors.InputError, match="no image identifier"):
        ensure_image(image_id, quiet, environ)


def test_missing_tools_are_named_with_the_command_that_brings_them(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        errors.EnvironmentLackError, match=r"apt-get install .*e2fsprogs mmdebstrap qemu-utils xz-utils"
    ):
        ensure_image(None, quiet, environ)


def test_building_asks_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(errors.EnvironmentLackError, match="as root"):
        build.check_environment()


def test_a_failed_mmdebstrap_shows_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], cache: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    fake = tmp_path / "bin" / "mmdebstrap"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nfor a in "$@"; do case $a in --logfile=*) log=${a#*=} ;; esac; done\n'
        'for n in $(seq 40); do echo "line $n" >>"$log"; done\necho "E: no space left" >>"$log"\nexit 25\n'
    )
    fake.chmod(0o755)
    archive = (
        "deb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian bookworm-security main\n"
    )
    monkeypatch.setattr(sources, "load_sources", lambda: tuple(sources.parse_one_line(archive)))
    monkeypatch.setattr(build, "check_environment", lambda: None)
    monkeypatch.setattr(build, "_apt_options", list)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    with pytest.raises(errors.OperationError) as caught:
        ensure_image(None, quiet, environ)
    message = str(caught.value)
    log = cache / f"{Recipe().image_id}.log"
    assert f"mmdebstrap failed (exit status 25); its whole log: {log}" in message
    assert message.endswith("line 40\n  E: no space left")
    assert "line 1\n" not in message
    assert log.read_text().startswith("line 1\n")


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
def test_an_operators_own_image_is_known_by_its_content(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cloud.qcow2"
    process.run("qemu-img", "create", "-q", "-f", "qcow2", str(path), "2049M")
    image = Image.from_file(path)
    assert image.id.startswith("file-")
    assert (image.kernel, image.initrd, image.root_gib) == (None, None, 3)
    twin = tmp_path / "twin.qcow2"
    twin.write_bytes(path.read_bytes())
    assert Image.from_file(twin).id == image.id

    overlay, raw = tmp_path / "overlay.qcow2", tmp_path / "disk.raw"
    process.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(path), str(overlay))
    with pytest.raises(errors.InputError, match="rests on"):
        Image.from_file(overlay)
    raw.write_bytes(bytes(1024))
    with pytest.raises(errors.InputError, match="the image is raw; make it qcow2"):
        Image.from_file(raw)
    with pytest.raises(errors.InputError, match="no such image file"):
        Image.from_file(tmp_path / "missing")

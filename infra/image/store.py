"""The images of this machine: ``$XDG_CACHE_HOME/kumiai/images/ID/``, each there as a whole or not at all."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from infra import process
from infra.image import build
from infra.image.recipe import Recipe, is_image_id
from network import errors

_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a machine's root disk is made from."""

    id: str
    """``trixie-3f2a90c1d4e7``: a built image; ``file-…``: an operator's own one, by its content."""
    root: pathlib.Path
    """qcow2 without a backing file."""
    kernel: pathlib.Path | None
    """None: the image brings its own boot loader, and the machine's firmware starts it."""
    initrd: pathlib.Path | None
    root_gib: int

    @classmethod
    def from_file(cls, path: pathlib.Path) -> Self:
        """Take an operator's own cloud image: qcow2, with cloud-init, systemd-networkd and what the roles need."""
        if not path.is_file():
            raise errors.InputError(f"{path}: no such image file")
        done = process.probe("qemu-img", "info", "--output=json", str(path))
        if done.returncode == process.NOT_FOUND:
            raise errors.EnvironmentLackError(
                f"{path}: reading an image needs qemu-img; run as root:"
                " apt-get install --no-install-recommends qemu-utils"
            )
        if not done.ok:
            raise errors.InputError(f"{path}: qemu-img cannot read this image: {done.stderr.strip()}")
        info = json.loads(done.stdout)
        if info["format"] != "qcow2":
            raise errors.InputError(
                f"{path}: the image is {info['format']}; make it qcow2: qemu-img convert -O qcow2 {path} {path}.qcow2"
            )
        if "backing-filename" in info:
            raise errors.InputError(
                f"{path}: the image rests on {info['backing-filename']}; make it whole:"
                f" qemu-img convert -O qcow2 {path} {path}.whole"
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size: int = info["virtual-size"]
        return cls(id=f"file-{digest[:12]}", root=path.resolve(), kernel=None, initrd=None, root_gib=-(-size // _GIB))


def ensure_image(
    wanted: str | Recipe | None, progress: build.Progress, environ: Mapping[str, str] = os.environ
) -> Image:
    """Return the image ``wanted``: one from the cache, else built now. A `str` is an identifier; None: today's recipe.

    An identifier that is neither in the cache nor today's cannot be built any more: its inputs are gone.
    """
    recipe = wanted if isinstance(wanted, Recipe) else Recipe()
    image_id = wanted if isinstance(wanted, str) else recipe.image_id
    if not is_image_id(image_id):
        raise errors.InputError(f"{image_id!r} is no image identifier like trixie-3f2a90c1d4e7")
    cache = cache_folder(environ)
    if (cache / image_id).is_dir():
        return _load(cache / image_id)
    recipe = _recipe_of(image_id, recipe)
    build.check_environment()
    with _lock(cache, progress):
        if not (cache / image_id).is_dir():  # another process may have built it while this one waited
            _build(recipe, cache, progress)
    return _load(cache / image_id)


def cache_folder(environ: Mapping[str, str]) -> pathlib.Path:
    """Return where images are kept, by the XDG base directory rules: a relative XDG_CACHE_HOME does not count."""
    base = pathlib.Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = pathlib.Path(environ.get("HOME") or pathlib.Path.home()) / ".cache"
    return base / "kumiai" / "images"


def _recipe_of(image_id: str, recipe: Recipe) -> Recipe:
    """Return the recipe that makes ``image_id``, given today's one: its suite may be another."""
    suite = image_id.partition("-")[0]
    with contextlib.suppress(errors.InputError):  # an unknown suite: the message below says it better
        for candidate in (recipe, Recipe(suite=suite)):
            if candidate.image_id == image_id:
                return candidate
    raise errors.EnvironmentLackError(
        f"image {image_id} is not in this machine's cache, and what it was made of has changed since"
        f" (today's is {recipe.image_id}). Copy its folder from the machine that built it, or re-image the nodes that"
        " are pinned to it"
    )


def _load(folder: pathlib.Path) -> Image:
    manifest = json.loads((folder / build.MANIFEST).read_text())
    return Image(
        id=folder.name,
        root=folder / build.ROOT,
        kernel=folder / build.KERNEL,
        initrd=folder / build.INITRD,
        root_gib=manifest["root_gib"],
    )


def _build(recipe: Recipe, cache: pathlib.Path, progress: build.Progress) -> None:
    target, workshop, log = cache / recipe.image_id, cache / "building", cache / f"{recipe.image_id}.log"
    _remove(workshop)
    workshop.mkdir()
    try:
        log.unlink(missing_ok=True)
        result = build.build(recipe, workshop, log, progress)
        log.rename(result / "build.log")
        # The one step that makes the image visible: a build that was interrupted before leaves none.
        result.rename(target)
    finally:
        _remove(workshop)


def _remove(workshop: pathlib.Path) -> None:
    """Remove a tree, but never what is mounted in it: a killed build may have left the machine's own /dev there."""
    process.run("rm", "-rf", "--one-file-system", "--", str(workshop), timeout_s=300)


@contextlib.contextmanager
def _lock(cache: pathlib.Path, progress: build.Progress) -> Iterator[None]:
    """Hold the cache's lock. The kernel frees it when its holder ends, however that happens."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress("image: waiting", "another process is building one"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield

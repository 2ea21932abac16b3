"""Make a guest image from its recipe: a Debian tree by mmdebstrap, then a disk, a kernel and an initrd."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

from infra import process
from infra.image import sources
from infra.image.recipe import NOT_UNPACKED, Recipe
from network import errors

Progress = Callable[[str, str], AbstractContextManager[None]]
"""Shows what takes long (label, remark) while the body of its ``with`` runs."""

BOOTSTRAP_TIMEOUT_S = 3600.0
"""A minute on a fast line; an hour covers a slow one."""
DISK_TIMEOUT_S = 900.0
LOG_LINES = 15
"""How much of mmdebstrap's log an error shows."""

ROOT, KERNEL, INITRD, MANIFEST = "root.qcow2", "vmlinuz", "initrd.img", "manifest.json"

_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "xz": "xz-utils",
}
"""Program → the Debian package that brings it."""


def check_environment() -> None:
    """Raise `EnvironmentLackError` unless this machine can build an image."""
    missing = sorted(package for tool, package in _TOOLS.items() if shutil.which(tool) is None)
    if missing:
        raise errors.EnvironmentLackError(
            f"the guest image cannot be built without {', '.join(missing)}; run as root:"
            f" apt-get install --no-install-recommends {' '.join(missing)}"
        )
    if os.geteuid() != 0:
        raise errors.EnvironmentLackError(
            "the guest image is built as root, since its files belong to many users; run this command as root once, or"
            " copy the folder kumiai/images of another machine's cache"
        )


def build(recipe: Recipe, workshop: pathlib.Path, log: pathlib.Path, progress: Progress) -> pathlib.Path:
    """Build ``recipe`` in the empty folder ``workshop``; return the folder that holds nothing but the result.

    ``log`` gets mmdebstrap's output and stays when it fails.
    """
    tree, result = workshop / "tree", workshop / "result"
    result.mkdir()
    with progress(f"image {recipe.image_id} 1/2: installing Debian {recipe.suite}", "about a minute"):
        _bootstrap(recipe, tree, workshop, log)
    with progress(f"image {recipe.image_id} 2/2: writing the disk", "about 20 s"):
        packages = _installed(tree)
        shutil.move(tree / "boot" / KERNEL, result / KERNEL)
        shutil.move(tree / "boot" / INITRD, result / INITRD)
        _make_disk(recipe, tree, workshop / "root.raw", result / ROOT)
        _write_manifest(recipe, packages, result)
    return result


def _bootstrap(recipe: Recipe, tree: pathlib.Path, workshop: pathlib.Path, log: pathlib.Path) -> None:
    source_list = workshop / "archive.sources"
    source_list.write_text(sources.render(sources.sources_for(recipe.suite, sources.load_sources())))
    source_list.chmod(0o600)  # an address may hold the credentials of a private mirror
    (workshop / "tmp").mkdir()
    argv = [
        "mmdebstrap", "--mode=root", "--format=directory", "--variant=apt", f"--logfile={log}",
        "--architectures=amd64",
        "--aptopt=APT::Install-Recommends \"false\"",
        "--aptopt=Acquire::Retries \"3\"",
        *(f"--aptopt={line}" for line in _apt_options()),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in NOT_UNPACKED),
        f"--include={','.join(recipe.packages)}",
        f"--setup-hook={recipe.guest / 'prepare.sh'}",
        f"--customize-hook={recipe.guest / 'customise.sh'}",
        # It would mark the tree as "never booted"; customise.sh decides that.
        "--skip=cleanup/reproducible",
        recipe.suite, str(tree), str(source_list),
    ]  # fmt: skip
    # INITRD=No: the kernel's package must not spend ten seconds on an initrd that customise.sh replaces.
    env = {"INITRD": "No", "TMPDIR": str(workshop / "tmp"), "LC_ALL": "C.UTF-8"}
    try:
        process.run(*argv, env=env, timeout_s=BOOTSTRAP_TIMEOUT_S)
    except process.CommandError as e:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else e.stderr
        tail = "".join(f"\n  {line}" for line in text.strip().splitlines()[-LOG_LINES:])
        raise errors.OperationError(
            f"image {recipe.image_id}: mmdebstrap failed (exit status {e.returncode}); its whole log: {log}{tail}"
        ) from None


def _apt_options() -> list[str]:
    """Return this machine's way to its archives (proxies, old snapshots), which mmdebstrap does not look at."""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    lines = process.run("apt-config", "dump", "--no-empty").splitlines()
    return [line for line in lines if line.startswith(wanted)]


def _make_disk(recipe: Recipe, tree: pathlib.Path, raw: pathlib.Path, target: pathlib.Path) -> None:
    """Write the tree as one ext4 file system: no partition table, since nothing boots from it by firmware."""
    with raw.open("wb") as file:
        file.truncate(recipe.root_gib << 30)
    # All tables are written now, as holes: a lazy one would be written by every machine, into its own overlay.
    extended = "lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1"
    process.run(
        "mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "1", "-J", "size=32", "-E", extended,
        "-d", str(tree), str(raw),
        timeout_s=DISK_TIMEOUT_S,
    )  # fmt: skip
    process.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target), timeout_s=DISK_TIMEOUT_S)
    raw.unlink()


def _installed(tree: pathlib.Path) -> dict[str, str]:
    """Return package → version of everything in the tree."""
    database = f"--admindir={tree / 'var/lib/dpkg'}"
    listing = process.run("dpkg-query", database, "--show", "--showformat=${Package} ${Version}\n")
    return dict(line.split(" ", 1) for line in sorted(listing.splitlines()))


def _write_manifest(recipe: Recipe, packages: dict[str, str], result: pathlib.Path) -> None:
    manifest = {"image": recipe.image_id, "root_gib": recipe.root_gib, "packages": packages}
    (result / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")

"""Collects what the Pulumi program needs beside the plan: this machine's images, the hosts' addresses, the keys."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping

from infra import memory
from infra.hosts import access
from infra.image import Image, Recipe, build, store
from infra.plan.model import ROOT_GIB, Plan
from infra.resources import seeds
from infra.resources.components import Surroundings
from infra.secrets.model import Secrets
from network import errors
from network.clock import JST

ALLOW_DATA_LOSS = "KUMIAI_ALLOW_DATA_LOSS"
"""Nodes whose volumes this run may replace or delete, with commas; ``*`` for all."""
OWN_IMAGE = "file-"
"""Beginning of the identifier of an operator's own image, which brings its own boot loader."""
LOST = "KUMIAI_LOST"
"""Hosts that are left out of this run, with commas."""
REIMAGE = "KUMIAI_REIMAGE"
"""Nodes whose root disks this run may make anew, with commas; their data volumes stay protected."""
REPLACED = "KUMIAI_REPLACED"
"""The lost host whose machines run where the plan's stored re-placement puts them; empty: where the lock has them."""
SILENT = "KUMIAI_SILENT"
"""Hosts that do not answer: a preview goes without asking them, with commas."""
STACK_FILE = "KUMIAI_STACK_FILE"
"""The stack file, when it does not lie in stacks/."""
AS_OF = "KUMIAI_AS_OF"
"""The day that the plan is for, such as 2026-04-01; default: today."""


def collect(
    plan: Plan, site: str, secrets: Secrets | None, *, preview: bool, environ: Mapping[str, str] = os.environ
) -> Surroundings:
    """Return the surroundings of one run. A preview goes without keys and without a pinned image."""
    lost = names_in(environ.get(LOST, ""))
    unknown = sorted(lost - plan.host_by_id.keys())
    if unknown:
        raise errors.InputError(f"{LOST}: {', '.join(unknown)} is no host of {plan.stack}")
    hosts = [host.id for host in plan.hosts if host.site == site and host.id not in lost]
    default_image = Recipe().image_id if preview else None
    images = {node.image or default_image for node in plan.nodes} - {None}
    return Surroundings(
        uris={host: access.libvirt_uri(plan, host) for host in hosts},
        silent=names_in(environ.get(SILENT, "")) if preview else frozenset(),
        accelerators={host: access.accelerator(plan, host) for host in hosts},
        images={image: located(image) for image in images if image is not None},
        default_image=default_image,
        seeds=seeds.make(plan, site, secrets, memory.folder_of(os.getpid(), "seeds")),
        allow_data_loss=names_in(environ.get(ALLOW_DATA_LOSS, "")),
        reimage=names_in(environ.get(REIMAGE, "")),
        lost=lost,
    )


def located(image: str) -> Image:
    """Return where ``image`` lies on this machine, or would: only a host that lacks it has it read."""
    folder = store.cache_folder(os.environ) / image
    own = image.startswith(OWN_IMAGE)
    return Image(
        id=image,
        root=folder / build.ROOT,
        kernel=None if own else folder / build.KERNEL,
        initrd=None if own else folder / build.INITRD,
        root_gib=ROOT_GIB,
    )


def names_in(text: str) -> frozenset[str]:
    """Return the names in a comma-separated list."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def today() -> datetime.date:
    """Return the day in Japan, where the plans are for."""
    return datetime.datetime.now(tz=JST).date()


def keep_own(image: Image) -> None:
    """Keep an operator's own image where the program looks for images."""
    if image.id.startswith(OWN_IMAGE):
        place = located(image.id).root
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(image.root)

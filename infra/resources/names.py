"""Names on the hypervisors. A name says whose an object is: what does not carry a stack's mark is never touched.

``kumiai.demo.juki-ap1`` is a domain, ``kumiai.demo.juki-ap1.data.g1`` its data volume, ``kumiai.demo`` the pool,
``kumiai.demo.image.trixie-3f2a90c1d4e7.root`` a base volume, ``kumiai.demo.dc1-mgmt`` a network. Identifiers have no
dot, so a name splits in one way only.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

PREFIX = "kumiai"
OWNER_NAMESPACE = "urn:kumiai:owner:1"
"""XML namespace of the mark in a domain's metadata."""
POOL_FOLDER = "/var/lib/libvirt/images"
"""Where a host keeps its pools; the pool of a stack is a folder of its own in it."""

VolumeKind = Literal["root", "data", "seed", "image"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMark:
    """What the name of a volume says."""

    kind: VolumeKind
    subject: str
    """The node, or the image's identifier."""
    detail: str
    """Generation, digest, or which part of the image: root, kernel, initrd."""


def domain(stack: str, node: str) -> str:
    """Return the name of a node's domain."""
    return f"{PREFIX}.{stack}.{node}"


def network(stack: str, segment: str) -> str:
    """Return the name of a segment's libvirt network."""
    return f"{PREFIX}.{stack}.{segment}"


def pool(stack: str) -> str:
    """Return the name of the stack's storage pool, the same on every host."""
    return f"{PREFIX}.{stack}"


def pool_path(stack: str) -> str:
    """Return the folder of the stack's storage pool on a host."""
    return f"{POOL_FOLDER}/{pool(stack)}"


def root_volume(stack: str, node: str, image: str, seed: str) -> str:
    """Return the name of a root disk: another image, or another first boot, is another disk."""
    return f"{PREFIX}.{stack}.{node}.root.{image}-{seed}"


def data_volume(stack: str, node: str, generation: int) -> str:
    """Return the name of a data volume; a node that comes back under an old name gets a new one."""
    return f"{PREFIX}.{stack}.{node}.data.g{generation}"


def seed_volume(stack: str, node: str, seed: str) -> str:
    """Return the name of the cloud-init disk, which is the digest of what it says."""
    return f"{PREFIX}.{stack}.{node}.seed.{seed}"


def image_volume(stack: str, image: str, part: str) -> str:
    """Return the name of a base volume; ``part`` is root, kernel or initrd."""
    return f"{PREFIX}.{stack}.image.{image}.{part}"


def is_marked(stack: str, name: str) -> bool:
    """Say whether ``name`` is the pool of ``stack`` or carries its mark; ``kumiai.demo2`` is not ``kumiai.demo``."""
    return name == pool(stack) or name.startswith(f"{pool(stack)}.")


def volume_mark(stack: str, name: str) -> VolumeMark | None:
    """Return what the name of a volume says, or None when it is not a volume of ``stack``."""
    if not is_marked(stack, name):
        return None
    parts = name.removeprefix(f"{pool(stack)}.").split(".")
    match parts:
        case ["image", image, ("root" | "kernel" | "initrd") as part]:
            return VolumeMark(kind="image", subject=image, detail=part)
        case [node, ("root" | "data" | "seed") as kind, detail]:
            return VolumeMark(kind=kind, subject=node, detail=detail)
        case _:
            return None

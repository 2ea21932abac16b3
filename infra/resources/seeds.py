"""The cloud-init disk of a node: an ISO file that the provider uploads, named by the digest of what it says.

The disk holds the node's SSH host key. It reaches the hypervisor as a file from memory-backed storage and never becomes
an input of a resource, so neither Pulumi's state nor its log can hold it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Mapping

from infra import process
from infra.image import cloud_init
from infra.plan.model import Node, Plan
from infra.secrets.model import Secrets
from network import errors

UNKNOWN = "new"
"""Stands for the digest in the preview of a stack whose keys do not exist yet; everything is created then anyway."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A cloud-init disk, made and named."""

    digest: str
    path: pathlib.Path


def node_seed(plan: Plan, node: Node, secrets: Secrets) -> cloud_init.NodeSeed:
    """Return what ``node`` must know before anyone can reach it."""
    key = secrets.hosts.get(node.name)
    if key is None:
        raise errors.InputError(f"{node.name}: no SSH host key yet; run `kumiai up {plan.stack}`, which makes it")
    card = plan.network.node_by_name[node.name].management
    return cloud_init.NodeSeed(
        hostname=node.name,
        instance_id=f"{plan.stack}.{node.name}.g{node.generation}",
        management_address=card.address,
        management_mac=card.mac,
        host_key_private=key.private,
        host_key_public=key.public,
        authorized_key=secrets.station.public,
    )


def digest(seed: cloud_init.NodeSeed, image: str | None, host: str) -> str:
    """Return the digest of the first boot: what the machine is told, from which image it starts, on which host.

    Of values, not of files: a new Kumiai that words them otherwise must not replace machines that run. Image and host
    belong to it because the disk is wiped after the first boot: a new root disk needs a new one.
    """
    values = {key: str(value) for key, value in dataclasses.asdict(seed).items()}
    return hashlib.sha256(json.dumps([values, image, host], sort_keys=True).encode()).hexdigest()[:12]


def make(plan: Plan, site: str, secrets: Secrets | None, folder: pathlib.Path) -> Mapping[str, Seed]:
    """Write the disks of the site's nodes into ``folder``; node name → disk. Without secrets they stay unnamed."""
    nodes = [node for node in plan.nodes if node.site == site]
    if secrets is None:
        return {node.name: Seed(digest=UNKNOWN, path=folder / f"{node.name}.iso") for node in nodes}
    made = {}
    for node in nodes:
        seed = node_seed(plan, node, secrets)
        made[node.name] = Seed(digest=digest(seed, node.image, node.host), path=folder / f"{node.name}.iso")
        _write_iso(seed, made[node.name].path)
    return made


def _write_iso(seed: cloud_init.NodeSeed, path: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        source = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent)))
        (source / "user-data").write_text(cloud_init.user_data(seed))
        (source / "meta-data").write_text(cloud_init.meta_data(seed))
        (source / "network-config").write_text(cloud_init.network_config(seed))
        process.run(
            "genisoimage",
            "-quiet",
            "-joliet",
            "-rock",
            "-volid",
            cloud_init.VOLUME_LABEL,
            "-output",
            str(path),
            str(source),
        )
    path.chmod(0o600)

"""Is there room, and are the bridges there? Asked before the first change: half a stack helps nobody."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping

from infra.hosts import access
from infra.operations.virsh import Hypervisor, Thing
from infra.plan.model import Plan
from infra.resources import names, surroundings
from network import errors

MIB = 1024**2
GIB = 1024**3
MACHINE_BYTES = 256 * MIB
"""What the first boot of a machine writes to its thin disks, at the least."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Room on one host, in bytes."""

    at_once: int
    """Images to upload, and what new machines write in their first minutes."""
    in_time: int
    """What the thin disks of new machines may grow to."""


def need(plan: Plan, site: str, host: str, present: frozenset[Thing], image_bytes: Callable[[str, str], int]) -> Need:
    """Return what the plan still has to put on ``host``; ``image_bytes`` tells the size of an image's part."""
    at_once = in_time = 0
    images = set()
    for node in plan.nodes_on(host):
        if node.site != site:
            continue
        if Thing(host, "domain", names.domain(plan.stack, node.name)) not in present:
            at_once += MACHINE_BYTES
            in_time += node.disk_gib * GIB
        if node.image is not None:
            images.add(node.image)
    for image in images:
        for part in ("root", "kernel", "initrd"):
            if Thing(host, "volume", names.image_volume(plan.stack, image, part)) not in present:
                at_once += image_bytes(image, part)
    return Need(at_once=at_once, in_time=at_once + in_time)


def check(
    plan: Plan,
    site: str,
    hosts: Mapping[str, Hypervisor],
    present: Mapping[str, frozenset[Thing]],
    progress: Callable[[str], None],
) -> None:
    """Raise an error that names every host without room for what is to be made at once."""
    full = []
    for host, hypervisor in hosts.items():
        wanted = need(plan, site, host, present[host], _image_bytes)
        if not wanted.at_once:
            continue
        free = hypervisor.free_bytes()
        free = free if free is not None else _free_before_pool(plan, host)
        if free < wanted.at_once:
            full.append(f"  host {host}: {wanted.at_once / MIB:.0f} MiB are needed, {free / MIB:.0f} MiB are free")
        elif free < wanted.in_time:
            progress(
                f"host {host}: the disks of the new machines may grow to {wanted.in_time / GIB:.1f} GiB, "
                f"and {free / GIB:.1f} GiB are free"
            )
    if full:
        listed = "\n".join(full)
        raise errors.OperationError(f"the storage pool has no room:\n{listed}\nNothing was touched")


def _image_bytes(image: str, part: str) -> int:
    files = surroundings.located(image)
    path = {"root": files.root, "kernel": files.kernel, "initrd": files.initrd}[part]
    return path.stat().st_size if path is not None and path.exists() else 0


def _free_before_pool(plan: Plan, host: str) -> int:
    """Return what is free where the pool will be made; the folder itself may not exist yet."""
    for folder in (names.POOL_FOLDER, *_parents(names.POOL_FOLDER)):
        try:
            text = access.run_on(plan, host, "df", "--block-size=1", "--output=avail", folder)
        except errors.OperationError:
            continue
        return int(text.split()[-1])
    raise errors.OperationError(f"host {host}: df tells nothing about {names.POOL_FOLDER}")


def _parents(folder: str) -> tuple[str, ...]:
    parts = folder.strip("/").split("/")
    return tuple("/" + "/".join(parts[:n]) for n in range(len(parts) - 1, -1, -1))


def check_bridges(plan: Plan, site: str, hosts: Mapping[str, Hypervisor]) -> None:
    """Raise an error that names the segments whose bridge a host lacks; a machine on it could not start."""
    missing = []
    for host in hosts:
        nodes = [node.name for node in plan.nodes_on(host) if node.site == site]
        if not nodes:
            continue
        found = json.loads(access.run_on(plan, host, "ip", "-json", "link", "show", "type", "bridge"))
        there = {link.get("ifname") for link in found}
        segments = {name for node in nodes for name in plan.network.node_by_name[node].segments}
        lacking = sorted(name for name in segments if plan.network.segment_by_name[name].bridge not in there)
        if lacking:
            missing.append(f"  host {host}: no bridge for {', '.join(lacking)}")
    if missing:
        listed = "\n".join(missing)
        raise errors.EnvironmentLackError(
            f"hypervisors are not prepared:\n{listed}\nNothing was touched. Run: kumiai hosts {plan.stack}"
        )

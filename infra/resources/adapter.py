"""The one module that knows pulumi_libvirt. Every hazard of the provider has its guard here, and nowhere else.

H1   a changed network card is reported as updated and stays where it was: cards replace the machine, and so do a
     changed kernel, initrd and machine type, which share the fault
H2   a resize destroys the machine: volumes are resources of their own, protected
H3   a volume of the same name is taken over with the old owner's data: names carry node and generation, or a digest
H4   every field of a volume replaces it: sizes come from the plan only, and volumes are protected
H5   deletion is a hard power-off, an update starts a stopped machine: the operations shut down first
H6   changed cloud-init data does not reach the machine: its disk and the root disk are named by its digest
H7   the provider has no VLAN tags: a segment is one libvirt network on one bridge
H8   a failed creation leaves a defined machine, and pools lock: the operations clean up, a host has one pool
H9   a resource whose provider changed stays on the old host: the host triggers replacement
H10  the network of a running machine reads back as a bridge, a change for ever: cards name the bridge
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import pulumi
import pulumi_libvirt as libvirt

from infra.resources import cmdline, names

GIB = 1024**3
CARD_PROPERTIES_THAT_REPLACE = ["networkInterfaces", "kernel", "initrd", "machine"]
MACHINE_TYPE = "q35"


def unknown() -> pulumi.Output[str]:
    """Return a value that is not known yet; a provider with such a setting is not started."""
    return pulumi.Output(set(), _nothing(), _not_known())


async def _nothing() -> str:
    return ""


async def _not_known() -> bool:
    return False


def provider(host: str, uri: pulumi.Input[str], parent: pulumi.Resource) -> libvirt.Provider:
    """Return the connection to a host. A changed address of the host changes nothing on it."""
    return libvirt.Provider(host, uri=uri, opts=pulumi.ResourceOptions(parent=parent))


def pool(stack: str, host: str, parent: pulumi.Resource, connection: libvirt.Provider) -> libvirt.Pool:
    """Return the stack's storage pool on a host (H8: one a host, since creations in one pool wait for each other)."""
    return libvirt.Pool(
        host,
        name=names.pool(stack),
        type="dir",
        target=libvirt.PoolTargetArgs(path=names.pool_path(stack)),
        opts=pulumi.ResourceOptions(parent=parent, provider=connection, delete_before_replace=True),
    )


def base_volume(
    stack: str, host: str, image: str, part: str, source: pathlib.Path, *, storage: libvirt.Pool,
    parent: pulumi.Resource, connection: libvirt.Provider,
) -> libvirt.Volume:  # fmt: skip
    """Return a part of a guest image on a host, uploaded once.

    Its place on the operator's machine is nobody's business later: another path is no change, another image is
    another resource.
    """
    return libvirt.Volume(
        f"{host}.{image}.{part}",
        name=names.image_volume(stack, image, part),
        pool=storage.name,
        source=str(source),
        format="qcow2" if part == "root" else "raw",
        opts=pulumi.ResourceOptions(
            parent=parent, provider=connection, ignore_changes=["source"], delete_before_replace=True
        ),
    )


def network(
    stack: str, segment: str, host: str, bridge: str, *, parent: pulumi.Resource, connection: libvirt.Provider
) -> libvirt.Network:
    """Return a segment on a host: a libvirt network that means the prepared bridge and nothing else (H7)."""
    return libvirt.Network(
        f"{segment}.{host}",
        name=names.network(stack, segment),
        mode="bridge",
        bridge=bridge,
        autostart=True,
        opts=pulumi.ResourceOptions(parent=parent, provider=connection, delete_before_replace=True),
    )


def root_volume(
    node: str, name: str, host: str, size_gib: int, *, base: libvirt.Volume, storage: libvirt.Pool, protect: bool,
    parent: pulumi.Resource, connection: libvirt.Provider,
) -> libvirt.Volume:  # fmt: skip
    """Return the root disk, a thin layer over the base volume (H6: its name holds the digest of the first boot)."""
    return libvirt.Volume(
        f"{node}.root",
        name=name,
        pool=storage.name,
        base_volume_id=base.id,
        size=size_gib * GIB,
        format="qcow2",
        opts=_volume_options(host, protect=protect, parent=parent, connection=connection),
    )


def data_volume(
    node: str, name: str, host: str, size_gib: int, *, storage: libvirt.Pool, protect: bool,
    parent: pulumi.Resource, connection: libvirt.Provider,
) -> libvirt.Volume:  # fmt: skip
    """Return the data volume, which outlives every machine that carries it (H2, H4)."""
    return libvirt.Volume(
        f"{node}.data",
        name=name,
        pool=storage.name,
        size=size_gib * GIB,
        format="qcow2",
        opts=_volume_options(host, protect=protect, parent=parent, connection=connection),
    )


def seed_volume(
    node: str, name: str, digest: str, host: str, source: pathlib.Path, *, storage: libvirt.Pool,
    parent: pulumi.Resource, connection: libvirt.Provider,
) -> libvirt.Volume:  # fmt: skip
    """Return the cloud-init disk (H6): an ordinary volume, as the provider's own kind keeps its text in the state."""
    return libvirt.Volume(
        f"{node}.seed.{digest}",
        name=name,
        pool=storage.name,
        source=str(source),
        format="raw",
        opts=pulumi.ResourceOptions(
            parent=parent,
            provider=connection,
            # libvirt calls it "iso" once it is written, and "raw" once it is wiped; neither is a change.
            ignore_changes=["source", "format"],
            delete_before_replace=True,
            replacement_trigger=host,
        ),
    )


def domain(
    node: str, name: str, host: str, *, vcpus: int, memory_mib: int, accelerator: str, style_sheet: str,
    disks: Sequence[libvirt.Volume], cards: Sequence[tuple[libvirt.Network, str]],
    kernel: libvirt.Volume | None, initrd: libvirt.Volume | None, kernel_arguments: str,
    parent: pulumi.Resource, connection: libvirt.Provider,
) -> libvirt.Domain:  # fmt: skip
    """Return the machine. Replacing it is a restart: its disks are resources of their own."""
    booted = kernel is not None
    return libvirt.Domain(
        node,
        name=name,
        type="kvm" if accelerator == "kvm" else "qemu",
        machine=MACHINE_TYPE,
        vcpu=vcpus,
        memory=memory_mib,
        autostart=True,
        kernel=kernel.id if kernel is not None else None,
        initrd=initrd.id if initrd is not None else None,
        cmdlines=list(cmdline.split(kernel_arguments)) if booted else None,
        disks=[libvirt.DomainDiskArgs(volume_id=disk.id) for disk in disks],
        network_interfaces=[
            # The bridge and not the network's name, which the provider cannot read back from a running machine: every
            # later run would see a change (H10). The style sheet puts the card on the network.
            libvirt.DomainNetworkInterfaceArgs(bridge=segment.bridge, mac=mac.upper())
            for segment, mac in cards
        ],
        xml=libvirt.DomainXmlArgs(xslt=style_sheet),
        opts=pulumi.ResourceOptions(
            parent=parent,
            provider=connection,
            delete_before_replace=True,
            replace_on_changes=CARD_PROPERTIES_THAT_REPLACE,
            replacement_trigger=host,
        ),
    )


def _volume_options(
    host: str, *, protect: bool, parent: pulumi.Resource, connection: libvirt.Provider
) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(
        parent=parent,
        provider=connection,
        protect=protect,
        delete_before_replace=True,
        # Moved to another host, the volume would otherwise be believed to be there already (H9).
        replacement_trigger=host,
    )

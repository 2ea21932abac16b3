"""``Host``, ``Segment`` and ``Node``: the plan as Pulumi components. They decide nothing.

No name of a node's resource holds its host or its place in a list, so a machine keeps its identity when it moves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pulumi
import pulumi_libvirt as libvirt

from infra.image import Image, kernel_arguments
from infra.plan import model
from infra.resources import adapter, domain_xml, names
from infra.resources.seeds import Seed
from network import errors
from network import model as network_model

ANY_NODE = "*"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the plan does not hold, because it belongs to this machine or to this run."""

    uris: Mapping[str, str]
    """Host → libvirt URI."""
    silent: frozenset[str]
    """Hosts that a preview must not ask."""
    accelerators: Mapping[str, domain_xml.Accelerator]
    images: Mapping[str, Image]
    """Image id → where it lies on this machine."""
    default_image: str | None
    """Stands in for an image that is not pinned yet: in previews only."""
    seeds: Mapping[str, Seed]
    allow_data_loss: frozenset[str]
    """Nodes whose volumes may be replaced or deleted in this run; ``*`` means all."""
    reimage: frozenset[str]
    """Nodes whose root disks, and nothing else, may be replaced in this run."""
    lost: frozenset[str]
    """Hosts that do not answer and are left out."""

    def protects_data(self, node: str) -> bool:
        """Say whether the data volume of ``node`` is protected."""
        return not self.allow_data_loss & {node, ANY_NODE}

    def protects_root(self, node: str) -> bool:
        """Say whether the root disk of ``node`` is protected."""
        return self.protects_data(node) and node not in self.reimage

    def uri(self, host: str) -> pulumi.Input[str]:
        """Return the URI of ``host``; unknown for a silent one, so that the engine previews without connecting."""
        return adapter.unknown() if host in self.silent else self.uris[host]

    def image_of(self, node: model.Node) -> Image:
        """Return the image that ``node`` is pinned to."""
        image = node.image or self.default_image
        if image is None:
            raise errors.InputError(f"{node.name}: no guest image is pinned yet; `kumiai up` pins it")
        return self.images[image]


class Host(pulumi.ComponentResource):
    """A hypervisor: the connection, the stack's pool and the guest images that its nodes are made from."""

    def __init__(self, stack: str, host: str, uri: pulumi.Input[str], images: Mapping[str, Image]) -> None:
        super().__init__("kumiai:infra:Host", host)
        self.id = host
        self.connection = adapter.provider(host, uri, self)
        self.pool = adapter.pool(stack, host, self, self.connection)
        self.images: dict[tuple[str, str], libvirt.Volume] = {}
        for image, files in sorted(images.items()):
            parts = {"root": files.root, "kernel": files.kernel, "initrd": files.initrd}
            for part, source in parts.items():
                if source is not None:
                    self.images[image, part] = adapter.base_volume(
                        stack, host, image, part, source, storage=self.pool, parent=self, connection=self.connection
                    )
        self.register_outputs({"pool": self.pool.name})


class Segment(pulumi.ComponentResource):
    """A planned segment on every host that has a node on it."""

    def __init__(self, stack: str, segment: network_model.Segment, hosts: Mapping[str, Host]) -> None:
        super().__init__("kumiai:infra:Segment", segment.name)
        self.networks = {
            name: adapter.network(stack, segment.name, name, segment.bridge, parent=self, connection=host.connection)
            for name, host in sorted(hosts.items())
        }
        self.register_outputs({"bridge": segment.bridge})


class Node(pulumi.ComponentResource):
    """One virtual machine with its disks and network cards."""

    def __init__(
        self,
        plan: model.Plan,
        node: model.Node,
        host: Host,
        segments: Mapping[str, Segment],
        surroundings: Surroundings,
    ) -> None:
        super().__init__("kumiai:infra:Node", node.name)
        seed = surroundings.seeds[node.name]
        image = surroundings.image_of(node)
        accelerator = surroundings.accelerators[host.id]
        name = names.domain(plan.stack, node.name)
        # The digest of the first boot covers the image, but a person who lists volumes wants to see the image too.
        root_name = names.root_volume(plan.stack, node.name, image.id, seed.digest)
        seed_name = names.seed_volume(plan.stack, node.name, seed.digest)
        self.root = adapter.root_volume(
            node.name, root_name, host.id, model.ROOT_GIB, base=host.images[image.id, "root"],
            storage=host.pool, protect=surroundings.protects_root(node.name), parent=self, connection=host.connection,
        )  # fmt: skip
        self.seed = adapter.seed_volume(
            node.name, seed_name, seed.digest, host.id, seed.path,
            storage=host.pool, parent=self, connection=host.connection,
        )  # fmt: skip
        disks = [(self.root, root_name, "root")]
        if node.data_gib:
            data_name = names.data_volume(plan.stack, node.name, node.generation)
            self.data = adapter.data_volume(
                node.name, data_name, host.id, node.data_gib,
                storage=host.pool, protect=surroundings.protects_data(node.name),
                parent=self, connection=host.connection,
            )  # fmt: skip
            disks.append((self.data, data_name, "data"))
        disks.append((self.seed, seed_name, "seed"))
        network_node = plan.network.node_by_name[node.name]
        self.domain = adapter.domain(
            node.name,
            name,
            host.id,
            vcpus=node.vcpus,
            memory_mib=node.memory_mib,
            accelerator=accelerator,
            style_sheet=domain_xml.style_sheet(
                domain_xml.Owner(stack=plan.stack, site=node.site, node=node.name),
                accelerator=accelerator,
                cards=cards(plan.network, network_node),
                disks=[(volume, serial) for _, volume, serial in disks],
            ),
            disks=[volume for volume, _, _ in disks],
            cards=[(segments[card.segment].networks[host.id], card.mac) for card in network_node.interfaces],
            kernel=host.images.get((image.id, "kernel")),
            initrd=host.images.get((image.id, "initrd")),
            kernel_arguments=kernel_arguments(emulated=accelerator == "tcg"),
            parent=self,
            connection=host.connection,
        )
        self.register_outputs({"domain": self.domain.name})


def cards(network: network_model.NetworkPlan, node: network_model.NetworkNode) -> tuple[domain_xml.Card, ...]:
    """Return the cards of ``node``; on management segments they reach the station but no other node."""
    return tuple(
        domain_xml.Card(
            mac=card.mac,
            network=names.network(network.stack, card.segment),
            isolated=card.isolated,
        )
        for card in node.interfaces
    )


def build(plan: model.Plan, site: str, surroundings: Surroundings) -> None:
    """Register everything that the plan puts on ``site``."""
    nodes = [node for node in plan.nodes if node.site == site and node.host not in surroundings.lost]
    hosts: dict[str, Host] = {}
    for host in plan.hosts:
        images = {surroundings.image_of(node).id: surroundings.image_of(node) for node in nodes if node.host == host.id}
        if images:
            hosts[host.id] = Host(plan.stack, host.id, surroundings.uri(host.id), images)
    segments: dict[str, Segment] = {}
    for segment in plan.network.segments:
        used = {n.host for n in nodes if segment.name in plan.network.node_by_name[n.name].segments}
        if used:
            segments[segment.name] = Segment(plan.stack, segment, {name: hosts[name] for name in used})
    for node in nodes:
        Node(plan, node, hosts[node.host], segments, surroundings)

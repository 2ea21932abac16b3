"""The live XML of a machine against the plan. Pure: XML in, findings out."""

from __future__ import annotations

import dataclasses

from lxml import etree

from infra.plan.model import Node, Plan
from infra.resources import components, names

_OWNER = f"{{{names.OWNER_NAMESPACE}}}owner"
STOPPED = "it does not run"
_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KiB": 1, "MiB": 1024, "GiB": 1024**2}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One difference between a host and the plan."""

    host: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject} on {self.host}: {self.message}"


def check_machine(plan: Plan, node: Node, xml: etree._Element, *, running: bool) -> tuple[Finding, ...]:
    """Return where a machine differs from the plan: owner, size, disks, every card, and whether it runs."""
    said = [
        *_owner(plan, node, xml),
        *_size(node, xml),
        *_disks(plan, node, xml),
        *_cards(plan, node, xml),
    ]
    if not running:
        said.insert(0, STOPPED)
    return tuple(Finding(host=node.host, subject=node.name, message=message) for message in said)


def _owner(plan: Plan, node: Node, xml: etree._Element) -> list[str]:
    mark = xml.find(f"metadata/{_OWNER}")
    if mark is None:
        return ["it carries no owner mark"]
    found = (mark.get("stack"), mark.get("site"), mark.get("node"))
    wanted = (plan.stack, node.site, node.name)
    return [] if found == wanted else [f"its owner mark says {'/'.join(map(str, found))}, planned {'/'.join(wanted)}"]


def _size(node: Node, xml: etree._Element) -> list[str]:
    said = []
    memory = xml.find("memory")
    if memory is None or memory.text is None:
        said.append("no memory size in its XML")
    else:
        mib = int(memory.text) * _KIB[memory.get("unit", "KiB")] / 1024
        if mib != node.memory_mib:
            said.append(f"memory is {mib:g} MiB, planned {node.memory_mib} MiB")
    vcpus = xml.findtext("vcpu")
    if vcpus is None or int(vcpus) != node.vcpus:
        said.append(f"virtual CPUs are {vcpus}, planned {node.vcpus}")
    return said


def _disks(plan: Plan, node: Node, xml: etree._Element) -> list[str]:
    found = {}
    for disk in xml.iterfind("devices/disk"):
        source = disk.find("source")
        volume = source.get("volume") if source is not None else None
        path = (source.get("file") or source.get("dev")) if source is not None else None
        name = str(volume or path or "nothing")
        found[disk.findtext("serial") or name] = (name, disk.find("readonly") is not None)
    wanted = {"root", "seed", *(["data"] if node.data_gib else [])}
    said = [f"it has no {serial} disk" for serial in sorted(wanted - found.keys())]
    said += [f"it has a disk that nobody planned: {found[serial][0]}" for serial in sorted(found.keys() - wanted)]
    for serial in sorted(wanted & found.keys()):
        name, read_only = found[serial]
        mark = names.volume_mark(plan.stack, name)
        if mark is None or mark.kind != serial or mark.subject != node.name:
            said.append(f"its {serial} disk is {name}")
        elif serial == "data" and name != names.data_volume(plan.stack, node.name, node.generation):
            said.append(f"its data disk is {name}, planned generation {node.generation}")
        elif serial == "root" and node.image is not None and not mark.detail.startswith(f"{node.image}-"):
            said.append(f"its root disk {name} is not made from image {node.image}")
        if (serial == "seed") != read_only:
            said.append(f"its {serial} disk is {'read-only' if read_only else 'writable'}")
    return said


def _cards(plan: Plan, node: Node, xml: etree._Element) -> list[str]:
    found = {}
    for interface in xml.iterfind("devices/interface"):
        mac, source, port = interface.find("mac"), interface.find("source"), interface.find("port")
        address = (mac.get("address") or "").lower() if mac is not None else ""
        found[address] = (
            source.get("network") if source is not None else None,
            source.get("bridge") if source is not None else None,
            port is not None and port.get("isolated") == "yes",
        )
    network_node = plan.network.node_by_name[node.name]
    planned = {
        card.mac.lower(): (card, plan.network.segment_by_name[interface.segment])
        for card, interface in zip(components.cards(plan.network, network_node), network_node.interfaces, strict=True)
    }
    said = [f"card {mac} on segment {planned[mac][1].name} is missing" for mac in planned if mac not in found]
    said += [f"card {mac} on {found[mac][0] or found[mac][1]} is not planned" for mac in found if mac not in planned]
    for address, (card, segment) in planned.items():
        if address not in found:
            continue
        network, bridge, isolated = found[address]
        # A stopped machine shows the network only, a running one the bridge as well.
        if network != card.network or bridge not in (None, segment.bridge):
            said.append(
                f"card {address} is on network {network}, bridge {bridge}; "
                f"planned {card.network}, bridge {segment.bridge}"
            )
        if isolated != card.isolated:
            wanted = _on(card.isolated)
            said.append(f"card {address} on {segment.name}: port isolation is {_on(isolated)}, planned {wanted}")
    return said


def _on(value: bool) -> str:
    return "on" if value else "off"

"""Live XML against the plan: the planned machine passes, and every single deviation is named."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from lxml import etree

from infra.operations import live
from infra.resources import components, names
from tests.resources import examples

PLAN = examples.demo_plan()
NODE = PLAN.node_by_name["juki-db1"]


def machine() -> etree._Element:
    """What ``virsh dumpxml`` shows of the planned, running juki-db1 (libvirt 9.0, shortened)."""
    network_node = PLAN.network.node_by_name[NODE.name]
    cards = "".join(
        f"""<interface type="bridge"><mac address="{card.mac}"/>
        <source network="{card.network}" portid="x" bridge="{PLAN.network.segment_by_name[i.segment].bridge}"/>
        {'<port isolated="yes"/>' if card.isolated else ""}<target dev="vnet1"/></interface>"""
        for card, i in zip(components.cards(PLAN.network, network_node), network_node.interfaces, strict=True)
    )
    root = names.root_volume("demo", NODE.name, examples.IMAGE, "abc")
    data = names.data_volume("demo", NODE.name, NODE.generation)
    seed = names.seed_volume("demo", NODE.name, "abc")
    disks = "".join(
        f"""<disk type="volume"><source pool="kumiai.demo" volume="{volume}" index="1"/>
        {"<readonly/>" if serial == "seed" else ""}<serial>{serial}</serial></disk>"""
        for volume, serial in ((root, "root"), (data, "data"), (seed, "seed"))
    )
    return etree.fromstring(f"""
    <domain type="qemu" id="3"><name>kumiai.demo.{NODE.name}</name>
      <metadata>
        <kumiai:owner xmlns:kumiai="urn:kumiai:owner:1" stack="demo" site="dc1" node="{NODE.name}"/>
      </metadata>
      <memory unit="KiB">{NODE.memory_mib * 1024}</memory><vcpu placement="static">{NODE.vcpus}</vcpu>
      <devices>{disks}{cards}</devices>
    </domain>""")


def found(xml: etree._Element, *, running: bool = True) -> list[str]:
    return [finding.message for finding in live.check_machine(PLAN, NODE, xml, running=running)]


def test_the_planned_machine_passes() -> None:
    assert found(machine()) == []


def test_a_stopped_machine_is_found_even_when_its_definition_is_right() -> None:
    xml = machine()
    for interface in xml.iterfind("devices/interface"):  # a stopped one does not show its bridges
        source = interface.find("source")
        assert source is not None
        del source.attrib["bridge"]
    assert found(xml, running=False) == ["it does not run"]


def at(xml: etree._Element, path: str) -> etree._Element:
    element = xml.find(path)
    assert element is not None, path
    return element


def remove(path: str) -> Callable[[etree._Element], None]:
    def change(xml: etree._Element) -> None:
        element = at(xml, path)
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    return change


def put(path: str, key: str, value: str) -> Callable[[etree._Element], None]:
    def change(xml: etree._Element) -> None:
        at(xml, path).set(key, value)

    return change


def say(path: str, text: str) -> Callable[[etree._Element], None]:
    def change(xml: etree._Element) -> None:
        at(xml, path).text = text

    return change


def again(path: str, key: str, value: str) -> Callable[[etree._Element], None]:
    def change(xml: etree._Element) -> None:
        element = at(xml, path)
        twin = copy.deepcopy(element)
        at(twin, key.partition("@")[0]).set(key.partition("@")[2], value)
        serial = twin.find("serial")
        if serial is not None:
            serial.text = "more"
        parent = element.getparent()
        assert parent is not None
        parent.append(twin)

    return change


OWNER = "metadata/{urn:kumiai:owner:1}owner"
TENANT = "devices/interface[2]"

DEVIATIONS = [
    ("no mark", remove(OWNER), "it carries no owner mark"),
    (
        "foreign stack",
        put(OWNER, "stack", "other"),
        "its owner mark says other/dc1/juki-db1, planned demo/dc1/juki-db1",
    ),
    ("memory", say("memory", str(512 * 1024)), "memory is 512 MiB, planned 1024 MiB"),
    ("memory unit", put("memory", "unit", "MiB"), "memory is 1.04858e+06 MiB, planned 1024 MiB"),
    ("vcpus", say("vcpu", "4"), "virtual CPUs are 4, planned 1"),
    ("no root", remove("devices/disk[1]"), "it has no root disk"),
    ("no data", remove("devices/disk[2]"), "it has no data disk"),
    ("old data", put("devices/disk[2]/source", "volume", "kumiai.demo.juki-db1.data.g7"), "planned generation 1"),
    (
        "foreign data",
        put("devices/disk[2]/source", "volume", "kumiai.demo.juki-ap1.data.g1"),
        "its data disk is kumiai.",
    ),
    ("old image", put("devices/disk[1]/source", "volume", "kumiai.demo.juki-db1.root.old-abc"), "not made from image"),
    ("writable seed", remove("devices/disk[3]/readonly"), "its seed disk is writable"),
    ("more disks", again("devices/disk[1]", "source@volume", "vol9"), "it has a disk that nobody planned: vol9"),
    ("other network", put(f"{TENANT}/source", "network", "default"), "is on network default, bridge"),
    (
        "other bridge",
        put(f"{TENANT}/source", "bridge", "virbr0"),
        "bridge virbr0; planned kumiai.demo.dc1-mynumber-juki",
    ),
    ("no card", remove(TENANT), "on segment dc1-mynumber-juki is missing"),
    ("more cards", again(TENANT, "mac@address", "52:54:00:00:00:99"), "card 52:54:00:00:00:99 on kumiai.demo.dc1"),
    ("not isolated", remove("devices/interface[1]/port"), "port isolation is off, planned on"),
]


@pytest.mark.parametrize(
    ("change", "said"), [(c, s) for _, c, s in DEVIATIONS], ids=[name for name, _, _ in DEVIATIONS]
)
def test_every_deviation_is_named(change: Callable[[etree._Element], None], said: str) -> None:
    xml = machine()
    change(xml)
    (message,) = found(xml)
    assert said in message

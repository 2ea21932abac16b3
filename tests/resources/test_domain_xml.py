"""The style sheet, applied to XML as the provider writes it."""

from __future__ import annotations

from lxml import etree

from infra.resources import domain_xml
from infra.resources.domain_xml import Accelerator, Card, Owner

# As terraform-provider-libvirt 0.8.3 writes it, shortened.
PROVIDER_XML = """
<domain type="qemu">
  <name>kumiai.demo.juki-ap1</name>
  <memory unit="MiB">768</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc-q35-7.2">hvm</type></os>
  <features><pae></pae><acpi></acpi><apic></apic></features>
  <cpu></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="volume" device="disk">
      <driver name="qemu" type="qcow2"></driver>
      <source pool="kumiai.demo" volume="kumiai.demo.juki-ap1.root.i-s"></source>
      <target dev="vda" bus="virtio"></target>
    </disk>
    <disk type="volume" device="disk">
      <driver name="qemu" type="raw"></driver>
      <source pool="kumiai.demo" volume="kumiai.demo.juki-ap1.seed.s"></source>
      <target dev="vdb" bus="virtio"></target>
    </disk>
    <interface type="bridge">
      <mac address="52:54:AA:00:00:01"></mac>
      <source bridge="kmgmt"></source>
      <model type="virtio"></model>
    </interface>
    <interface type="bridge">
      <mac address="52:54:AA:00:00:02"></mac>
      <source bridge="ktenant"></source>
      <model type="virtio"></model>
    </interface>
    <channel><source mode="bind"></source><target type="virtio" name="org.qemu.guest_agent.0"></target></channel>
    <graphics type="spice" autoport="yes"></graphics>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
  </devices>
</domain>
"""


def styled(accelerator: Accelerator = "tcg") -> etree._Element:
    sheet = domain_xml.style_sheet(
        Owner(stack="demo", site="dc1", node="juki-ap1"),
        accelerator=accelerator,
        cards=[
            Card(mac="52:54:aa:00:00:01", network="kumiai.demo.dc1-management", isolated=True),
            Card(mac="52:54:aa:00:00:02", network="kumiai.demo.dc1-juki", isolated=False),
        ],
        disks=[("kumiai.demo.juki-ap1.root.i-s", "root"), ("kumiai.demo.juki-ap1.seed.s", "seed")],
    )
    return etree.XSLT(etree.fromstring(sheet))(etree.fromstring(PROVIDER_XML)).getroot()


def test_it_carries_the_owner_mark() -> None:
    (mark,) = styled().findall("metadata/{urn:kumiai:owner:1}owner")
    assert {str(k): str(v) for k, v in mark.attrib.items()} == {"stack": "demo", "site": "dc1", "node": "juki-ap1"}


def test_an_emulated_machine_has_the_plainest_cpu_and_a_small_code_cache() -> None:
    xml = styled("tcg")
    assert [cpu.findtext("model") for cpu in xml.findall("cpu")] == ["qemu64"]
    (cache,) = xml.findall("features/tcg/tb-cache")
    assert (cache.get("unit"), cache.text) == ("MiB", "128")
    assert xml.find("features/acpi") is not None, "without ACPI nothing can be shut down in good order"


def test_a_kvm_machine_has_the_hosts_cpu_and_no_emulator_setting() -> None:
    xml = styled("kvm")
    assert [cpu.get("mode") for cpu in xml.findall("cpu")] == ["host-passthrough"]
    assert xml.find("features/tcg") is None


def test_the_first_boot_disk_is_read_only_and_far_from_the_others() -> None:
    disks = {disk.findtext("serial"): disk for disk in styled().iterfind("devices/disk")}
    assert set(disks) == {"root", "seed"}
    targets = {serial: disk.find("target").get("dev") for serial, disk in disks.items()}  # type: ignore[union-attr]
    assert targets == {"root": "vda", "seed": "vdz"}
    assert disks["seed"].find("readonly") is not None
    assert disks["root"].find("readonly") is None
    assert [target.get("dev") for target in disks["seed"].findall("target")] == ["vdz"]


def test_every_card_is_on_its_network_and_only_management_is_isolated() -> None:
    found = []
    for card in styled().iterfind("devices/interface"):
        source, port = card.find("source"), card.find("port")
        assert source is not None
        found.append(
            (
                card.get("type"),
                {str(k): str(v) for k, v in source.attrib.items()},
                port is not None and port.get("isolated"),
            )
        )
    assert found == [
        ("network", {"network": "kumiai.demo.dc1-management"}, "yes"),
        ("network", {"network": "kumiai.demo.dc1-juki"}, False),
    ]


def test_a_server_has_a_serial_console_and_neither_screen_nor_agent() -> None:
    xml = styled()
    assert xml.find("devices/graphics") is None
    assert xml.find("devices/channel") is None
    (log,) = xml.findall("devices/serial/log")
    assert log.get("file") == "/var/log/libvirt/qemu/kumiai.demo.juki-ap1.console.log"
    assert xml.find("devices/rng") is not None


def test_the_same_machine_gives_the_same_bytes() -> None:
    assert etree.tostring(styled()) == etree.tostring(styled())

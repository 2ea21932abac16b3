"""What a domain needs and the provider cannot say: a style sheet that the provider applies to its XML.

The provider writes a domain with a SPICE screen, a guest-agent channel and an unnamed CPU. The style sheet takes out
what a server does not need and puts in the owner mark, the CPU, a serial console, disk serials, the read-only
cloud-init disk and the isolation of management ports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from lxml import etree

from infra.resources import names

Accelerator = Literal["kvm", "tcg"]

XSL = "http://www.w3.org/1999/XSL/Transform"
TB_CACHE_MIB = 128
"""Code cache of an emulated machine; without the limit QEMU takes up to 1 GiB beside the machine's memory."""
SEED_DEVICE = "vdz"
"""Far from the first letters, so that no disk added later shifts it."""
CONSOLE_LOG_FOLDER = "/var/log/libvirt/qemu"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A network card as the domain's XML has to show it."""

    mac: str
    network: str
    """Name of the libvirt network."""
    isolated: bool
    """Whether the bridge port reaches only ports that are not isolated: so on the management segment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The mark in a domain's metadata: whose machine this is."""

    stack: str
    site: str
    node: str


def console_log(domain: str) -> str:
    """Return the file on the host that keeps what the machine writes to its serial console."""
    return f"{CONSOLE_LOG_FOLDER}/{domain}.console.log"


def style_sheet(
    owner: Owner, *, accelerator: Accelerator, cards: Sequence[Card], disks: Sequence[tuple[str, str]]
) -> str:
    """Return the XSLT for one domain.

    ``disks`` are pairs of volume name and serial (``root``, ``data``, ``seed``). The provider writes MAC addresses in
    capitals, so the comparison ignores case. Whatever the style sheet expects and does not find simply stays out,
    which is why the live XML is compared with the plan afterwards.
    """
    sheet = etree.Element(_xsl("stylesheet"), nsmap={"xsl": XSL}, version="1.0")
    identity = _template(sheet, "@*|node()")
    _apply(etree.SubElement(identity, _xsl("copy")), "@*|node()")
    _domain(sheet, owner, accelerator)
    for unwanted in ("/domain/cpu", "/domain/devices/graphics", "/domain/devices/channel", "/domain/devices/console"):
        _template(sheet, unwanted)
    _features(sheet, accelerator)
    for volume, serial in disks:
        _disk(sheet, volume, serial)
    for card in cards:
        _card(sheet, card)
    return etree.tostring(sheet, encoding="unicode")


def _domain(sheet: etree._Element, owner: Owner, accelerator: Accelerator) -> None:
    copy = etree.SubElement(_template(sheet, "/domain"), _xsl("copy"))
    _apply(copy, "@*")
    metadata = etree.SubElement(copy, "metadata")
    mark = etree.SubElement(metadata, f"{{{names.OWNER_NAMESPACE}}}owner", nsmap={"kumiai": names.OWNER_NAMESPACE})
    mark.set("stack", owner.stack)
    mark.set("site", owner.site)
    mark.set("node", owner.node)
    if accelerator == "kvm":
        etree.SubElement(copy, "cpu", mode="host-passthrough")
    else:
        # The plainest model is the fastest one under emulation.
        cpu = etree.SubElement(copy, "cpu", mode="custom", match="exact", check="none")
        etree.SubElement(cpu, "model", fallback="forbid").text = "qemu64"
    _apply(copy, "node()[not(self::metadata)]")
    devices = etree.SubElement(_template(sheet, "/domain/devices"), _xsl("copy"))
    _apply(devices, "@*|node()")
    log = {"file": console_log(names.domain(owner.stack, owner.node)), "append": "on"}
    for kind, target in (("serial", {"port": "0"}), ("console", {"type": "serial", "port": "0"})):
        device = etree.SubElement(devices, kind, type="pty")
        etree.SubElement(device, "log", log)
        etree.SubElement(device, "target", target)


def _features(sheet: etree._Element, accelerator: Accelerator) -> None:
    if accelerator == "kvm":
        return
    copy = etree.SubElement(_template(sheet, "/domain/features"), _xsl("copy"))
    _apply(copy, "@*|node()")
    etree.SubElement(etree.SubElement(copy, "tcg"), "tb-cache", unit="MiB").text = str(TB_CACHE_MIB)


def _disk(sheet: etree._Element, volume: str, serial: str) -> None:
    path = f"/domain/devices/disk[source/@volume='{volume}']"
    copy = etree.SubElement(_template(sheet, path), _xsl("copy"))
    _apply(copy, "@*")
    if serial != "seed":
        _apply(copy, "node()[not(self::serial)]")
    else:
        _apply(copy, "node()[not(self::serial) and not(self::target)]")
        etree.SubElement(copy, "target", dev=SEED_DEVICE, bus="virtio")
        etree.SubElement(copy, "readonly")
    etree.SubElement(copy, "serial").text = serial


def _card(sheet: etree._Element, card: Card) -> None:
    """Put the card on the segment's libvirt network.

    The provider is told the bridge instead, since that is what libvirt shows it once the machine runs.
    """
    both = " or ".join(f"mac/@address='{text}'" for text in sorted({card.mac.lower(), card.mac.upper()}))
    template = _template(sheet, f"/domain/devices/interface[{both}]")
    interface = etree.SubElement(template, "interface", type="network")
    _apply(interface, "node()[not(self::source) and not(self::port)]")
    etree.SubElement(interface, "source", network=card.network)
    if card.isolated:
        etree.SubElement(interface, "port", isolated="yes")


def _xsl(name: str) -> str:
    return f"{{{XSL}}}{name}"


def _template(sheet: etree._Element, match: str) -> etree._Element:
    return etree.SubElement(sheet, _xsl("template"), match=match)


def _apply(parent: etree._Element, select: str) -> None:
    etree.SubElement(parent, _xsl("apply-templates"), select=select)

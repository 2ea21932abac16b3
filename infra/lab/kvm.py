"""Whether KVM really runs guests here, found out by booting one; the device file alone proves nothing."""

from __future__ import annotations

import pathlib
import shutil
import tempfile

from infra import process
from infra.lab.state import Accelerator

PROBE_S = 10.0
"""A working KVM answers in less than a second; a broken one stops with "KVM internal error" and never answers."""
EXIT_PORT = 0xF4
SUCCESS = 0x10
EXIT_STATUS = SUCCESS << 1 | 1
"""What QEMU exits with when a guest writes `SUCCESS` to its isa-debug-exit device."""

# A boot sector (origin 0x7c00) that does what a kernel does first, and what a virtual machine inside a virtual machine
# may not be able to: page tables, 64-bit mode, model-specific registers, swapgs, ten million SSE instructions.
BOOT_CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ec0 8ed0 bc007c"  # cli; xor ax,ax; mov ds,es,ss,ax; mov sp,0x7c00
    "bf0010 b90018 fc f3ab"  # mov di,0x1000; mov cx,0x1800; cld; rep stosw        (room for three tables)
    "c70600100320"  # mov word [0x1000],0x2003         PML4 -> 0x2000
    "c70600200330"  # mov word [0x2000],0x3003         PDPT -> 0x3000
    "c70600308300"  # mov word [0x3000],0x0083         first 2 MiB, one to one
    "66b800100000 0f22d8"  # mov eax,0x1000; mov cr3,eax
    "66b8a0060000 0f22e0"  # mov eax,0x6a0; mov cr4,eax          PAE, PGE, OSFXSR, OSXMMEXCPT
    "66b9800000c0 0f32 660d00010000 0f30"  # mov ecx,0xc0000080; rdmsr; or eax,0x100; wrmsr    EFER.LME
    "66b811000080 0f22c0"  # mov eax,0x80000011; mov cr0,eax     paging on
    "660f0116a87c"  # lgdt [0x7ca8]
    "ea5d7c0800"  # jmp 8:0x7c5d
    "66b81000 8ed8 8ed0"  # (64 bit) mov ax,16; mov ds,ss,ax
    "0fa2"  # cpuid
    "b9010100c0 31c0 31d2 0f30"  # mov ecx,0xc0000101; xor eax,eax; xor edx,edx; wrmsr       GS base
    "0f01f8"  # swapgs
    "b980969800 660fefc0 ffc9 75f8"  # mov ecx,10000000; 1: pxor xmm0,xmm0; dec ecx; jnz 1b
    "b010 e6f4 f4 ebfd"  # mov al,0x10; out 0xf4,al; 2: hlt; jmp 2b
)
GDT_OFFSET = 0x90
GDT = bytes.fromhex(
    "0000000000000000 00000000009a2000 0000000000920000"  # null, 64-bit code, data
    "1700907c0000"  # limit 23, base 0x7c90
)


def boot_sector() -> bytes:
    """Return the 512 bytes of the probe's disk."""
    return (BOOT_CODE.ljust(GDT_OFFSET, b"\x90") + GDT).ljust(510, b"\0") + b"\x55\xaa"


def probe(device: pathlib.Path = pathlib.Path("/dev/kvm")) -> Accelerator:
    """Return ``kvm`` when a guest ran to its end on it, else ``tcg`` (emulation)."""
    if not device.exists() or shutil.which("qemu-system-x86_64") is None:
        return "tcg"
    return "kvm" if boots("kvm") else "tcg"


def boots(accelerator: Accelerator, timeout_s: float = PROBE_S) -> bool:
    """Boot the probe and return whether it reached its end within ``timeout_s``."""
    with tempfile.NamedTemporaryFile(prefix="kumiai-probe-", suffix=".img") as disk:
        disk.write(boot_sector())
        disk.flush()
        done = process.probe(
            *("qemu-system-x86_64", "-accel", accelerator, "-machine", "pc", "-cpu", "qemu64", "-m", "16"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-drive", f"file={disk.name},format=raw"),
            *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4"),
            timeout_s=timeout_s,
        )
    return done.returncode == EXIT_STATUS

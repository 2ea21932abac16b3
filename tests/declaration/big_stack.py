"""A stack file of many services, to measure how long it loads: ``python -m tests.declaration.big_stack [SERVICES]``."""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time

from infra.declaration import load

MEMBERS = 28
"""The largest real group with one line each (北海道自治体情報システム協議会)."""


def text(services: int, members: int = MEMBERS) -> str:
    """Return a stack file with ``services`` services of three zones, in the style people write."""
    lines = [
        "kumiai: 1",
        "group: {name: big, title: 大きな組合}",
        "members:",
    ]
    for m in range(members):
        lines += [
            f"  - id: town-{m}",
            f"    name: 第{m}町",
            f"    population: {5000 + m}",
            "    joins: 2011-10-01",
            "    model: alpha",
            "    offices:",
            "      - id: honcho",
            f"        zones: {{mynumber: [10.{m}.0.0/18], lgwan: [10.{m}.64.0/18], internet: [10.{m}.128.0/18]}}",
        ]
    lines += ["sites:", "  - {id: dc1, country: JP}", "hosts:"]
    for h in range(40):
        uri = f"qemu+ssh://root@kvm{h}.example/system"
        lines.append(f'  - {{id: kvm{h}, site: dc1, libvirt: "{uri}", vcpus: 64, memory_gib: 512, storage_gib: 9000}}')
    lines += ["closed_networks:", "  - {id: vpn, kind: ip_vpn, path: [{hop: 県内, mbps: 100000}]}", "lines:"]
    for m in range(members):
        for r, role in enumerate(("main", "backup")):
            lines += [
                f"  - id: town-{m}-{role}",
                f"    member: town-{m}",
                "    site: dc1",
                "    closed_network: vpn",
                f"    role: {role}",
                "    class: reserved",
                "    mbps: 100000",
                "    zones: [mynumber, lgwan, internet]",
                "    handoff:",
            ]
            for z, zone in enumerate(("mynumber", "lgwan", "internet")):
                number = (m * 2 + r) * 3 + z
                net = f"198.18.{number // 32}"
                low = number % 32 * 8
                lines.append(
                    f"      {zone}: {{prefix: {net}.{low}/29, peer: {net}.{low + 1},"
                    f" local: [{net}.{low + 2}, {net}.{low + 3}], vip: {net}.{low + 4}, routing: static}}"
                )
    lines.append("services:")
    for s in range(services):
        lines += [
            f"  - id: service-{s}",
            f"    title: 業務{s}",
            f"    zone: {('mynumber', 'lgwan', 'internet')[s % 3]}",
            f"    pattern: {('mixed', 'multi_tenant')[s % 2]}",
            "    pattern_reason: 費用と仕様統一",
            "    listen: [tcp/443]",
            "    required_mbps: 10",
            "    participants:",
            *(f"      - town-{(s + p) % members}" for p in range(6)),
            "    nodes:",
            "      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}",
            "      database: {count: 2, vcpus: 2, memory_gib: 8, disk_gib: 100}",
        ]
    lines.append("addressing: {supernet: 172.16.0.0/12}")
    return "\n".join(lines) + "\n"


def load_seconds(services: int) -> float:
    """Return how long a file of ``services`` services takes from disk to a checked declaration."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "big.yaml"
        path.write_text(text(services), encoding="utf-8")
        start = time.perf_counter()
        declaration = load(path)
        seconds = time.perf_counter() - start
    assert len(declaration.services) == services
    return seconds


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    wall_s, before_s = load_seconds(count), time.process_time()
    load_seconds(count)
    sys.stdout.write(f"{count} services: {wall_s:.2f} s, of which {time.process_time() - before_s:.2f} s on the CPU\n")

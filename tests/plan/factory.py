"""Small declarations for tests, made by keyword."""

from __future__ import annotations

from typing import Any

from infra.declaration.model import Declaration

Data = dict[str, Any]


def member(number: int, zones: tuple[str, ...] = ("mynumber", "lgwan")) -> Data:
    """Return a member with an office LAN per zone, all different."""
    lans = {zone: [f"10.{number}.{index * 16}.0/20"] for index, zone in enumerate(zones)}
    return {"id": f"m{number}", "name": f"第{number}町", "model": "alpha", "offices": [{"id": "honcho", "zones": lans}]}


def line(number: int, role: str = "main", zones: tuple[str, ...] = ("mynumber", "lgwan")) -> Data:
    """Return the main or backup line of a member."""
    return {
        "id": f"m{number}-{role}",
        "member": f"m{number}",
        "site": "dc1",
        "closed_network": "lgwan" if role == "main" else "vpn",
        "role": role,
        "class": "guaranteed",
        "mbps": 100,
        "zones": list(zones),
    }


def service(identifier: str, pattern: str = "mixed", zone: str = "lgwan", **more: Any) -> Data:
    """Return a service with one application node unless ``nodes`` says otherwise."""
    return {
        "id": identifier,
        "title": identifier,
        "zone": zone,
        "pattern": pattern,
        "pattern_reason": "試験",
        "listen": ["tcp/443"],
        "nodes": {"application": {"count": 1, "vcpus": 1, "memory_gib": 1, "disk_gib": 1}},
        **more,
    }


def host(number: int, **more: Any) -> Data:
    """Return a simulated host of 16 CPUs and 16 GiB."""
    return {
        "id": f"kvm{number:02}",
        "site": "dc1",
        "libvirt": "lab",
        "vcpus": 16,
        "memory_gib": 16,
        "storage_gib": 200,
        **more,
    }


def data(members: int | list[int] = 2, services: list[Data] | None = None, hosts: int = 4, **more: Any) -> Data:
    """Return what a stack file would say; ``members`` is how many, or which numbers in which order."""
    numbers = list(range(1, members + 1)) if isinstance(members, int) else members
    return {
        "kumiai": 1,
        "group": {"name": "test", "title": "試験の組合"},
        "members": [member(number) for number in numbers],
        "sites": [{"id": "dc1", "country": "JP"}],
        "hosts": [host(number) for number in range(1, hosts + 1)],
        "closed_networks": [{"id": "lgwan", "kind": "lgwan"}, {"id": "vpn", "kind": "ip_vpn"}],
        "lines": [line(number, role) for number in numbers for role in ("main", "backup")],
        "services": services or [service("zaimu")],
        "availability": {"spare_hosts": 0},
        "addressing": {"supernet": "172.16.0.0/12"},
        **more,
    }


def declaration(
    members: int | list[int] = 2, services: list[Data] | None = None, hosts: int = 4, **more: Any
) -> Declaration:
    """Return the declaration of ``data``."""
    return Declaration.model_validate(data(members, services, hosts, **more))

"""Where the carriers' hand-offs arrive: the operator's variable ``hypervisor_line_uplinks`` per host.

A line's segment is a bridge like any other; on a real host something must join it with the carrier's equipment. Which
interface that is no declaration can know, so it stands with the host's other variables::

    # inventories/host_vars/kvm01.yml
    hypervisor_line_uplinks:
      nishiki-main-mynumber: eno2.101
"""

from __future__ import annotations

import pathlib
import re

import yaml

from infra.hosts.views import Uplinks
from infra.lab.underlay import LAB
from infra.plan.model import Host, Plan
from network.errors import InputError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "inventories" / "host_vars"
VARIABLE = "hypervisor_line_uplinks"
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}")


def load(plan: Plan, folder: pathlib.Path = FOLDER) -> Uplinks:
    """Return the uplinks of the plan's real hosts; in the lab the carriers are plugged into the access switch."""
    found = {}
    for host in plan.hosts:
        path = folder / f"{host.id}.yml"
        if host.libvirt != LAB and path.exists():
            found[host.id] = _checked(plan, host, path)
    return found


def _checked(plan: Plan, host: Host, path: pathlib.Path) -> dict[str, str]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as e:
        raise InputError(f"{path}: not YAML: {e}") from None
    mapping = document.get(VARIABLE, {}) if isinstance(document, dict) else None
    if not isinstance(mapping, dict):
        raise InputError(f"{path}: {VARIABLE}: expected a mapping of segment to interface")
    lines = {s.name for s in plan.network.segments if s.kind == "line" and s.site == host.site}
    for segment, interface in mapping.items():
        if segment not in lines:
            raise InputError(
                f"{path}: {VARIABLE}: {segment} is no line of site {host.site}; lines: {', '.join(sorted(lines))}"
            )
        if not isinstance(interface, str) or not INTERFACE.fullmatch(interface):
            raise InputError(f"{path}: {VARIABLE}: {segment}: {interface!r} is no name of an interface")
    twice = sorted({interface for interface in mapping.values() if list(mapping.values()).count(interface) > 1})
    if twice:
        raise InputError(f"{path}: {VARIABLE}: {', '.join(twice)} stands for several lines, which would join them")
    return dict(mapping)

"""Cutting a line and restoring it.

A cut is silent, as most are: packets vanish in both directions while every interface stays up, so that only BFD or the
hold time can notice. It stands in the kernel alone (a set of dead interfaces in the namespaces of the carrier), where
`lab status` reads it; `lab up` leaves it, and a lab that is made anew has none.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Literal, get_args

from infra import process
from infra.lab import carriers, places
from infra.lab import state as state_file
from infra.plan.model import Plan
from network.errors import EnvironmentLackError, InputError
from network.model import Line

Place = Literal["access", "carrier", "handoff"]
"""Where a line breaks: between office and carrier, inside the carrier, between carrier and data center."""
PLACES: tuple[Place, ...] = get_args(Place)
TABLE = "kumiai_cut"
DEAD = "dead"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cut:
    """A line that is cut at one place."""

    line: str
    place: Place


def cut(plan: Plan, line: str, place: Place = "carrier") -> None:
    """Cut ``line`` at ``place`` for all its zones; InputError when the stack's lab has no such line."""
    found = _interfaces(plan, _line(plan, line), place)
    with state_file.locked(plan.stack):
        _require(plan)
        for namespace, interfaces in found.items():
            elements = ", ".join(f'"{name}" comment "{line} {place}"' for name in interfaces)
            _nft(namespace, f"{_SKELETON}add element inet {TABLE} {DEAD} {{ {elements} }}\n")


def restore(plan: Plan, line: str) -> tuple[Cut, ...]:
    """Undo every cut of ``line`` and return what was undone; InputError when the stack's lab has no such line."""
    broken = _line(plan, line)
    undone: set[Cut] = set()
    with state_file.locked(plan.stack):
        _require(plan)
        for place in PLACES:
            for namespace, interfaces in _interfaces(plan, broken, place).items():
                dead = {name: found for name, found in _dead(namespace).items() if name in interfaces}
                if dead:
                    elements = ", ".join(f'"{name}"' for name in dead)
                    _nft(namespace, f"delete element inet {TABLE} {DEAD} {{ {elements} }}\n")
                    undone |= set(dead.values())
    return tuple(sorted(undone))


def cuts(stack: str) -> tuple[Cut, ...]:
    """Return the lines of the stack's lab that are cut, and where."""
    found: set[Cut] = set()
    for namespace in places.existing(stack):
        if places.parts(namespace)[0] in ("pe", "carrier"):
            found |= set(_dead(namespace).values())
    return tuple(sorted(found))


# Before everything else on the way in and after everything else on the way out. Flushed first: a chain that is there
# already must not get its rule twice.
_SKELETON = f"""\
table inet {TABLE} {{
  set {DEAD} {{ type ifname; }}
  chain in {{ type filter hook prerouting priority -400; }}
  chain out {{ type filter hook postrouting priority 400; }}
}}
flush chain inet {TABLE} in
flush chain inet {TABLE} out
add rule inet {TABLE} in iifname @{DEAD} drop
add rule inet {TABLE} out oifname @{DEAD} drop
"""


def _interfaces(plan: Plan, line: Line, place: Place) -> dict[str, list[str]]:
    """Return namespace → interfaces at which ``line`` is cut."""
    found: dict[str, list[str]] = {}
    if place == "access":
        for link in carriers.access_links(plan):
            if link.line.name == line.name:
                found.setdefault(link.core.namespace, []).append(link.core.name)
    else:
        for edge in carriers.edges(plan):
            if edge.line.name == line.name:
                port = edge.inside if place == "carrier" else edge.outside
                found.setdefault(port.namespace, []).append(port.name)
    return found


def _line(plan: Plan, name: str) -> Line:
    known = dict.fromkeys(edge.line.name for edge in carriers.edges(plan))
    for line in plan.network.lines:
        if line.name == name and name in known:
            return line
    raise InputError(f"{name}: no line in the lab of {plan.stack}; lines: {', '.join(known) or 'none'}")


def _require(plan: Plan) -> None:
    missing = {edge.outside.namespace for edge in carriers.edges(plan)} - set(places.existing(plan.stack))
    if missing:
        raise EnvironmentLackError(f"the lab of {plan.stack} is not up; run: kumiai lab up {plan.stack}")


def _dead(namespace: str) -> dict[str, Cut]:
    """Return interface → the cut that it stands for."""
    listed = process.probe(*_enter(namespace), "-j", "list", "set", "inet", TABLE, DEAD)
    if not listed.ok:
        return {}  # never cut
    (found,) = [item["set"] for item in json.loads(listed.stdout)["nftables"] if "set" in item]
    dead = {}
    for element in found.get("elem", ()):
        line, place = element["elem"]["comment"].split()
        dead[element["elem"]["val"]] = Cut(line=line, place=place)
    return dead


def _nft(namespace: str, commands: str) -> None:
    process.run(*_enter(namespace), "-f", "-", stdin=commands)


def _enter(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace, "nft")

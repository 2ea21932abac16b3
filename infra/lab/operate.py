"""``lab up`` and ``lab down``."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable

from infra import process
from infra.lab import (
    carriers,
    daemons,
    drawing,
    frr,
    kvm,
    namespaces,
    offices,
    places,
    processes,
    routers,
    tunnels,
    underlay,
)
from infra.lab import state as state_file
from infra.lab.processes import Process
from infra.lab.state import State
from infra.plan.model import Plan
from network.errors import EnvironmentLackError, InputError, OperationError
from network.render import hypervisor

PROGRAMS = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "mount": "mount",
    "nc": "netcat-openbsd",
    "libvirtd": "libvirt-daemon libvirt-daemon-driver-qemu",
    "virtlogd": "libvirt-daemon",
    "bgpd": "frr",
    "vtysh": "frr",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
}
"""Program → the Debian packages that bring it."""
SCRIPT_S = 120

Progress = Callable[[str], None]


def up(plan: Plan, progress: Progress = lambda _: None) -> tuple[str, ...]:
    """Bring the lab of ``plan`` up, or repair it, and return the changes that it took; ``progress`` gets each step."""
    hosts = underlay.lab_hosts(plan)
    if not hosts:
        raise InputError(f"{plan.stack}: no host is declared with `libvirt: lab`, so there is nothing to simulate")
    check_programs(daemons_too=True)
    with state_file.locked(plan.stack):
        known, changes = _network(plan, progress)
        progress(f"starting libvirt on {', '.join(hosts)}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            probing = None if known.accelerator else pool.submit(kvm.probe)
            known, started = _start_daemons(plan.stack, hosts, known)
            changes += started
            list(pool.map(lambda host: daemons.await_answer(plan.stack, host), hosts))
            if probing is not None:
                progress("finding out whether KVM runs guests here")
                known = dataclasses.replace(known, accelerator=probing.result())
                state_file.save(known)
                changes.append(f"guests run with {known.accelerator}")
    return tuple(changes)


def up_network(plan: Plan, progress: Progress = lambda _: None) -> tuple[str, ...]:
    """Do the part of `up` that needs no libvirt: namespaces, carriers and offices with their routing daemons."""
    with state_file.locked(plan.stack):
        return tuple(_network(plan, progress)[1])


def draw_up(plan: Plan, progress: Progress = lambda _: None) -> list[str]:
    """Make the namespaces of ``plan`` and everything in them, without any daemon; return the changes."""
    room = underlay.draw(plan)
    outside = drawing.joined((carriers.draw(plan), offices.draw(plan)))
    whole = drawing.joined((room, outside))
    stale = set(places.existing(plan.stack)) - whole.names
    namespaces.remove(sorted(stale))
    changes = [f"{name}: removed" for name in sorted(stale)]
    progress("making hosts, carriers and offices")
    changes += namespaces.apply(plan.stack, room, whole)
    for site in underlay.lab_sites(plan):
        changes += _switch(plan, underlay.edge(site))
    return changes + list(namespaces.apply(plan.stack, outside, whole))


def down(stack: str, progress: Progress = lambda _: None) -> None:
    """Take the stack's lab away: processes, namespaces, mounts and files; what is gone already is no error."""
    check_programs(daemons_too=False)
    with state_file.locked(stack):
        try:
            known = state_file.load(stack) or State(stack=stack)
        except OperationError:  # a damaged file: what is inside our namespaces is found without it
            known = State(stack=stack)
        progress("ending machines and daemons")
        processes.end(known.processes)
        namespaces.remove(places.existing(stack))
        progress("removing disks")
        shutil.rmtree(places.store_folder(stack), ignore_errors=True)
        shutil.rmtree(places.routers_folder(stack), ignore_errors=True)
        for folder in known.made:
            _give_back(pathlib.Path(folder))
        shutil.rmtree(places.run_folder(stack))
    for parent in (places.STORE, places.ROUTERS, places.RUN):
        with contextlib.suppress(OSError):  # another lab is up
            parent.rmdir()


def _network(plan: Plan, progress: Progress) -> tuple[State, list[str]]:
    """Draw the network and start its routing daemons; return the state and the changes."""
    known = state_file.load(plan.stack) or State(stack=plan.stack)
    if not places.NETNS.exists():  # iproute2 is about to make it, and never removes it
        known = dataclasses.replace(known, made=(*known.made, str(places.NETNS)))
    state_file.save(known)
    changes = draw_up(plan, progress)
    wanted = routers.routers(plan)
    progress(f"starting {len(wanted)} routers of carriers and offices")
    charons, joined = tunnels.start(carriers.edges(plan), known.processes)
    running, started = frr.start(wanted, known.processes)
    folders = {places.router_folder(router.namespace) for router in wanted} | tunnels.folders(carriers.edges(plan))
    for gone in set(places.routers_folder(plan.stack).glob("*")) - folders:
        shutil.rmtree(gone)
    others = tuple(one for one in known.processes if not _of_network(one.name))
    # A router that is no longer drawn went with its namespace, unless somebody had deleted that under its feet.
    processes.end(one for one in known.processes if one not in (*others, *charons, *running))
    # In the order in which they were started first: a second run then writes the same file.
    known = dataclasses.replace(known, processes=(*charons, *running, *others))
    state_file.save(known)
    return known, [*changes, *(f"{name}: started" for name in (*joined, *started))]


def _of_network(name: str) -> bool:
    """Return whether a process belongs to carriers and offices, by its name; the others belong to hosts."""
    return frr.is_router(name) or tunnels.is_charon(name)


def _give_back(folder: pathlib.Path) -> None:
    """Remove a folder that the lab had to make outside its own, unless somebody else uses it by now."""
    with contextlib.suppress(OSError):
        if not any(folder.iterdir()):
            if folder == places.NETNS:
                process.probe("umount", str(folder))  # iproute2 mounts it onto itself
            folder.rmdir()


def check_programs(*, daemons_too: bool) -> None:
    """Raise EnvironmentLackError unless the lab can run here."""
    if os.geteuid() != 0:
        raise EnvironmentLackError("the lab makes network namespaces, which takes root; run it with sudo")
    wanted = PROGRAMS if daemons_too else {"ip": "iproute2"}
    missing = {program: packages for program, packages in wanted.items() if frr.program(program) is None}
    if missing:
        packages = sorted({package for text in missing.values() for package in text.split()})
        raise EnvironmentLackError(
            f"the lab needs {', '.join(missing)}; run: apt-get install --no-install-recommends {' '.join(packages)}"
        )


def _switch(plan: Plan, edge: str) -> list[str]:
    """Make the bridges of an access switch, from the same rendering as a hypervisor's."""
    view = hypervisor.plan_host(
        plan.network, edge, ends=underlay.tunnel_ends(plan), node_hosts={n.name: n.host for n in plan.nodes}, hubs={}
    )
    enter = ("ip", "netns", "exec", underlay.namespace_of(plan.stack, edge))
    printed = process.run(*enter, "sh", "-s", stdin=hypervisor.render(view), timeout_s=SCRIPT_S)
    return [f"{edge}: {line}" for line in printed.splitlines()]


def _start_daemons(stack: str, hosts: tuple[str, ...], known: State) -> tuple[State, list[str]]:
    """Start what does not run; the state is written as soon as each daemon is known."""
    made = {folder for host in hosts for folder in daemons.prepare(stack, host)}
    here = tuple(  # others went with their host
        one for one in known.processes if _of_network(one.name) or one.name.partition("/")[0] in hosts
    )
    known = dataclasses.replace(known, processes=here, made=tuple(sorted({*known.made, *made})))
    state_file.save(known)
    before = {one.name: one for one in known.processes}

    def start(host: str) -> tuple[Process, Process]:
        log = daemons.start(stack, host, "virtlogd", before.get(f"{host}/virtlogd"))
        return log, daemons.start(stack, host, "libvirtd", before.get(f"{host}/libvirtd"))

    changes = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for pair in pool.map(start, hosts):
            for one in pair:
                if before.get(one.name) != one:
                    known = known.with_process(one)
                    state_file.save(known)
                    changes.append(f"{one.name}: started")
    return known, changes

"""One libvirtd (and virtlogd) per simulated host, in the host's network namespace and a mount namespace of its own.

libvirt's folders are fixed when it is compiled. Inside the mount namespace each of them is another folder of the lab,
so several libvirtds run side by side, and one that is installed on the machine itself is not disturbed.
"""

from __future__ import annotations

import hashlib
import pathlib
import uuid

from infra import process
from infra.lab import places, processes, underlay
from infra.lab.processes import Process
from network.errors import OperationError

START_S = 60
ANSWER_S = 120
"""The first answer takes seconds: libvirtd asks QEMU what it can do. Under emulation on a busy machine, longer."""

QEMU_CONF = """\
# Made by the lab: every simulated host belongs to the lab alone, and its machines run as root in its namespace.
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
# Neither control groups nor mount namespaces per machine: not every kernel that a lab runs on delegates them.
cgroup_controllers = []
namespaces = []
"""
LIBVIRTD_CONF = """\
# Made by the lab.
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
"""
ACCOUNTS = (
    (pathlib.Path("/etc/passwd"), "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n"),
    (pathlib.Path("/etc/group"), "libvirt-qemu:x:64055:\n"),
)
"""libvirtd looks up the account that Debian's libvirt-daemon-system makes before it reads that it will not need it. The
lab adds it to copies that only the simulated host sees, and so does without that package, which would start a libvirtd
of its own on this machine."""
ENTER_FOLDERS = """\
while [ "$#" -gt 2 ] && [ "$1" != -- ]; do
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"""
"""`ip netns exec` has made a mount namespace already, whose mounts do not spread to the machine's."""


def folders(stack: str, host: str) -> dict[pathlib.Path, pathlib.Path]:
    """Return the lab's folder → the folder of libvirt that it stands in for."""
    store = places.store_folder(stack) / host
    return {
        places.run_folder(stack) / host / "libvirt": pathlib.Path("/run/libvirt"),
        store / "lib": pathlib.Path("/var/lib/libvirt"),
        store / "etc": pathlib.Path("/etc/libvirt"),
        store / "log": pathlib.Path("/var/log/libvirt"),
        # Shared by all hosts of the lab: what QEMU can do is asked once.
        places.store_folder(stack) / "cache": pathlib.Path("/var/cache/libvirt"),
        **{store / file.name: file for file, _ in ACCOUNTS},
    }


def prepare(stack: str, host: str) -> tuple[str, ...]:
    """Make the host's folders and configuration; return the mount points that did not exist on this machine."""
    made = []
    store = places.store_folder(stack) / host
    store.mkdir(parents=True, exist_ok=True)
    places.store_folder(stack).chmod(0o700)  # disks hold keys and the members' data
    for original, account in ACCOUNTS:
        text = original.read_text(encoding="utf-8")
        (store / original.name).write_text(text if "\nlibvirt-qemu:" in text else text + account, encoding="utf-8")
    for ours, libvirts in folders(stack, host).items():
        if libvirts.is_file():
            continue
        ours.mkdir(parents=True, exist_ok=True)
        if not libvirts.exists():
            libvirts.mkdir(parents=True)
            made.append(str(libvirts))
    (store / "lib" / "images").mkdir(exist_ok=True)  # where Debian's package puts disks
    (store / "log" / "qemu").mkdir(exist_ok=True)  # and where virtlogd keeps what machines write to their consoles
    etc = store / "etc"
    identity = uuid.UUID(bytes=hashlib.sha256(f"{stack}/{host}".encode()).digest()[:16], version=4)
    (etc / "qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
    (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=identity), encoding="utf-8")
    return tuple(made)


def start(stack: str, host: str, name: str, known: Process | None) -> Process:
    """Return the running daemon ``name`` of ``host``; it is started unless ``known`` still runs.

    The daemon puts itself into the background when it is ready, so that nothing has to be waited for here.
    """
    if known is not None and processes.alive(known):
        return known
    pid_file = places.run_folder(stack) / host / "libvirt" / f"{name}.pid"
    processes.end_recorded(pid_file, underlay.namespace_of(stack, host))
    mounts = [str(path) for pair in folders(stack, host).items() for path in pair]
    daemon = (name, "--daemon", "--pid-file", f"/run/libvirt/{name}.pid")
    config = ("--config", "/etc/libvirt/libvirtd.conf") if name == "libvirtd" else ()
    inside = ("sh", "-euc", ENTER_FOLDERS, "sh", *mounts, "--", *daemon, *config)
    process.run(*("ip", "netns", "exec", underlay.namespace_of(stack, host)), *inside, timeout_s=START_S)
    pid = int(pid_file.read_text())
    started = processes.started(pid)
    if started is None:
        raise OperationError(
            f"host {host}: {name} ended right after its start; see {places.store_folder(stack)}/{host}/log"
        )
    return Process(name=f"{host}/{name}", pid=pid, started=started)


def await_answer(stack: str, host: str) -> None:
    """Wait until libvirtd answers; it takes calls only when all its drivers are ready."""
    uri = f"qemu+unix:///system?socket={places.host_socket(stack, host)}"
    asked = process.probe("virsh", "--connect", uri, "domcapabilities", timeout_s=ANSWER_S)
    if asked.ok:
        return
    log = places.store_folder(stack) / host / "log" / "libvirtd.log"
    errors = (
        [line for line in log.read_text(errors="replace").splitlines() if " error : " in line] if log.exists() else []
    )
    raise OperationError(
        f"host {host}: libvirtd does not answer: {asked.stderr.strip()}"
        + "".join(f"\n  {line.partition(' error : ')[2]}" for line in errors[-3:])
        + f"\n  the whole log: {log}"
    )

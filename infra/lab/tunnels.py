"""The far ends of tunnels: strongSwan with its own IPsec in user space (``kernel-libipsec``).

The lab's kernel has no ESP, the guests' kernels have. A gateway in a guest therefore has a tunnel as in production, and
what stands opposite it does the same work in a process. That plugin knows no interface per tunnel, and two tunnels that
may carry everything would get in each other's way; so each has a daemon in a namespace of its own beside the provider
edge, and its interface is moved over into the edge. The edge hands on what the two gateways send to the one address
of the far end, which makes it an address translation on the way: ESP travels in UDP (RFC 3948).

The gateways open the tunnels; the far ends answer.
"""

from __future__ import annotations

import pathlib
import shutil
import time
from collections.abc import Sequence

from infra import process
from infra.lab import passwords, places, processes
from infra.lab.carriers import Edge, FarEnd
from infra.lab.drawing import OF_DAEMONS
from infra.lab.processes import Process
from infra.secrets import agreed
from network.errors import EnvironmentLackError, OperationError
from network.render import ipsec

PROGRAM = "charon-systemd"
CREATED = "ipsec0"
"""How the plugin names its interface. It makes routes into one of this name, so an idle one takes the place."""
AFTER_MAIN = 40000
"""Priority of a routing rule behind the kernel's own ones."""
PLUGINS = (
    "random nonce openssl pem pkcs1 pubkey x509 hmac kdf drbg gcm aes sha1 sha2 gmp kernel-libipsec kernel-netlink "
    "socket-default vici"
)
START_S = 30.0
ASK_S = 0.1
"""How often a starting daemon is looked at; it tells nobody when it is ready."""


def start(edges: Sequence[Edge], known: Sequence[Process]) -> tuple[tuple[Process, ...], tuple[str, ...]]:
    """Start what does not run, or runs with another configuration; return all daemons and the names of those started.

    ``known`` are the processes of earlier runs.
    """
    before = {one.name: one for one in known}
    pairs = [_start(edge, far, before) for edge in edges for far in edge.far_ends]
    return tuple(one for one, _ in pairs), tuple(one.name for one, fresh in pairs if fresh)


def is_charon(name: str) -> bool:
    """Return whether a process is the daemon of a far end, by its name: ``vpn.tsuno-net.internet.1/charon``."""
    return name.rpartition("/")[2] == "charon"


def folders(edges: Sequence[Edge]) -> set[pathlib.Path]:
    """Return the folders of all far ends."""
    return {places.router_folder(far.daemon.namespace) for edge in edges for far in edge.far_ends}


def connections(edge: Edge, far: FarEnd) -> str:
    """Return what the far end says to IKE, as ``swanctl`` reads it. Pure."""
    name = edge.handoff.segment
    return f"""\
connections {{
    {name} {{
        version = 2
        local_addrs = {far.daemon.addresses[0].ip}
        remote_addrs = {far.gateway}
        proposals = {", ".join(ipsec.IKE)}
        mobike = no
        unique = replace
        dpd_delay = {ipsec.DPD_S}s
        local {{
            auth = psk
            id = {far.outer}
        }}
        remote {{
            auth = psk
            id = {far.gateway}
        }}
        children {{
            {name} {{
                local_ts = 0.0.0.0/0
                remote_ts = 0.0.0.0/0
                esp_proposals = {", ".join(ipsec.ESP)}
                dpd_action = clear
            }}
        }}
    }}
}}
secrets {{
    ike-{name} {{
        id-own = {far.outer}
        id-far = {far.gateway}
        secret = "{passwords.of(agreed.tunnel_key(edge.line.name))}"
    }}
}}
"""


def _settings(folder: pathlib.Path) -> str:
    return f"""\
{PROGRAM} {{
    load = {PLUGINS}
    # It cannot be kept from making routes: into a table that is asked after the main one, which knows all ways.
    routing_table = {OF_DAEMONS}
    routing_table_prio = {AFTER_MAIN}
    filelog {{
        file {{
            path = {folder}/log
            flush_line = yes
        }}
    }}
    plugins {{
        kernel-libipsec {{
            load = yes
        }}
        vici {{
            socket = unix://{folder}/vici
        }}
    }}
}}
"""


def _start(edge: Edge, far: FarEnd, before: dict[str, Process]) -> tuple[Process, bool]:
    namespace = far.daemon.namespace
    folder, name = places.router_folder(namespace), f"{namespace.split('.', 2)[2]}/charon"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    file, text, old = folder / "swanctl.conf", connections(edge, far), before.get(name)
    same = file.exists() and file.read_text(encoding="utf-8") == text
    if same and old is not None and processes.alive(old) and processes.is_inside(old.pid, namespace):
        return old, False
    # One that an interrupted run has left goes too: nobody else is in this namespace.
    processes.end_inside([namespace])
    process.probe("ip", "-n", namespace, "link", "del", CREATED)  # what took the place of the last one's interface
    (folder / "vici").unlink(missing_ok=True)
    (folder / "strongswan.conf").write_text(_settings(folder), encoding="utf-8")
    settings = f"STRONGSWAN_CONF={folder}/strongswan.conf"
    ip, env, charon = (_path(program) for program in ("ip", "env", PROGRAM))
    pid = process.leave_behind(ip, "netns", "exec", namespace, env, settings, charon)
    started = processes.started(pid)
    if started is None:
        raise OperationError(f"{name} ended right after its start; see {folder}/log")
    one = Process(name=name, pid=pid, started=started)
    _await(one, folder)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    process.run("env", f"SWANCTL_DIR={folder}", "swanctl", "--load-all", "--noprompt", "--file", str(file),
                "--uri", f"unix://{folder}/vici")  # fmt: skip
    _plug(far)
    return one, True


def _path(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise EnvironmentLackError(
            f"a line with `routing: tunnel` needs {program} in the lab; run: apt-get install --no-install-recommends "
            "charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins"
        )
    return path


def _await(one: Process, folder: pathlib.Path) -> None:
    """Wait until the daemon listens; OperationError when it ends or takes too long."""
    end = time.monotonic() + START_S
    while not (folder / "vici").exists():
        if not processes.alive(one) or time.monotonic() > end:
            raise OperationError(f"{one.name} does not listen; see {folder}/log")
        time.sleep(ASK_S)


def _plug(far: FarEnd) -> None:
    """Move the tunnel's interface into the provider edge. It ends with its daemon, wherever it is."""
    edge = far.near.namespace
    daemon = far.daemon.namespace
    process.run("ip", "-n", daemon, "link", "set", CREATED, "netns", edge, "name", far.interface)
    process.run("ip", "-n", daemon, "link", "add", "name", CREATED, "type", "bridge")
    process.run("ip", "-n", daemon, "link", "set", CREATED, "up")
    process.run("ip", "-n", edge, "address", "add", str(far.inner), "dev", far.interface)
    process.run("ip", "-n", edge, "link", "set", far.interface, "mtu", str(ipsec.MTU), "up")

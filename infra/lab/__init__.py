"""The lab: a simulated data center with its carriers and municipal offices, on one machine.

What stands where: `drawing` holds the records of a drawn network, `underlay`, `carriers` and `offices` draw it
(pure), `namespaces` makes it true, `routers` says what carriers' and offices' routers tell each other (pure), `frr`
runs them, `faults` cuts and restores lines, `daemons` runs one libvirtd per simulated host, `state` remembers what
was started, `kvm` finds out how guests run, and `operate` puts it all together. Everything happens inside network and
mount namespaces that the lab makes itself: the machine's own interfaces, routes and kernel settings are never
touched.
"""

from infra.lab.operate import down, up, up_network
from infra.lab.places import host_socket
from infra.lab.reach import accelerator, enter_host, enter_network, office_exec
from infra.lab.status import LabStatus, status

__all__ = [
    "LabStatus",
    "accelerator",
    "down",
    "enter_host",
    "enter_network",
    "host_socket",
    "office_exec",
    "status",
    "up",
    "up_network",
]

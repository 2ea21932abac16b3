"""The role `hypervisor` on a host: a namespace that sees its own /usr/local/sbin and /etc/systemd/system."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterator

import pytest

from infra import process
from infra.hosts import playbook, views
from infra.lab import namespaces, places, underlay
from network.render import hypervisor
from tests.lab_unit.guests import needs_root
from tests.lab_unit.small import small_plan, with_host

ANSIBLE = pathlib.Path(sys.executable).parent / "ansible-playbook"
pytestmark = [needs_root, pytest.mark.skipif(not ANSIBLE.exists(), reason="needs Ansible")]
STACK = f"role{os.getpid()}"
LAB_PLAN = small_plan(STACK, hosts=("kvm01",))
PLAN = with_host(LAB_PLAN, "kvm01", libvirt="qemu:///system", underlay="100.64.0.1")
HOST = underlay.namespace_of(STACK, "kvm01")
SYSTEMCTL = """\
#!/bin/sh
# Stands in for systemd, which no namespace has: knows units by their files and remembers what was enabled.
echo "$*" >>"$STATE/asked"
unit=${2-}
case $1 in
show) if [ -e "/etc/systemd/system/$unit" ]; then echo LoadState=loaded; echo ActiveState=inactive; fi ;;
is-enabled) [ -e "$STATE/$unit" ] || { echo disabled; exit 1; } && echo enabled ;;
enable) touch "$STATE/$unit" ;;
esac
"""
INSIDE = """\
mount --bind "$STATE/sbin" /usr/local/sbin
mount --bind "$STATE/units" /etc/systemd/system
exec "$@"
"""


@pytest.fixture
def state(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder in ("sbin", "units"):
        (tmp_path / folder).mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("modprobe", "#!/bin/sh\n")):
        (tmp_path / "sbin" / name).write_text(text)
        (tmp_path / "sbin" / name).chmod(0o755)
    try:
        namespaces.apply(STACK, underlay.draw(LAB_PLAN))
        yield tmp_path
    finally:
        namespaces.remove(places.existing(STACK))


def play(state: pathlib.Path, script: str) -> str:
    inventory = state / "hosts.json"
    inventory.write_text(json.dumps(playbook.inventory(PLAN, {"kvm01": script}, state)))
    environment = {
        "STATE": str(state),
        "ANSIBLE_CONFIG": str(playbook.ROOT / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(state / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(state / "tmp"),
        "PATH": f"/usr/local/sbin:{os.environ['PATH']}",
    }
    argv = ("ip", "netns", "exec", HOST, "sh", "-euc", INSIDE, "sh", str(ANSIBLE), "-i", str(inventory))
    done = process.probe(*argv, str(playbook.ROOT / playbook.PLAYBOOK), env=environment, timeout_s=120)
    return done.stdout


def test_the_role_installs_the_rendered_bytes_runs_them_and_has_nothing_to_do_afterwards(state: pathlib.Path) -> None:
    script = hypervisor.render(views.plan_views(PLAN, {})["kvm01"])
    first = play(state, script)
    assert "failed=0" in first, first
    installed = state / "sbin" / f"kumiai-network-{STACK}"
    assert installed.read_text() == script
    unit = (state / "units" / f"kumiai-network-{STACK}.service").read_text()
    assert f"ExecStart=/usr/local/sbin/kumiai-network-{STACK}\n" in unit
    assert f"enable kumiai-network-{STACK}.service" in (state / "asked").read_text()
    bridges = json.loads(process.run("ip", "-n", HOST, "-j", "link", "show", "type", "bridge"))
    assert len([b for b in bridges if b.get("ifalias", "").startswith(f"kumiai:{STACK}:")]) == 10
    second = play(state, script)
    assert "changed=0" in second, second


def test_a_script_that_does_not_parse_is_not_installed(state: pathlib.Path) -> None:
    said = play(state, "#!/bin/sh\nif\n")
    assert "failed to validate" in said, said
    assert not (state / "sbin" / f"kumiai-network-{STACK}").exists()

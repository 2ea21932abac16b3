"""The calls to virsh, with a program of that name that answers as libvirt 9.0 does."""

from __future__ import annotations

import pathlib

import pytest

from infra.operations import virsh
from infra.operations.virsh import Hypervisor, Thing
from network import errors

HOST = Hypervisor(host="h1", uri="qemu:///system", stack="demo")

ANSWERS = {
    "list --all --name": "kumiai.demo.a1\nkumiai.demo2.x\nwindows\n\n",
    "list --name": "kumiai.demo.a1\nwindows\n\n",
    "net-list --all --name": "default\nkumiai.demo.mgmt\n\n",
    "pool-list --all --name": "default\nkumiai.demo\n\n",
    "pool-list --name": "default\nkumiai.demo\n\n",
    "pool-refresh kumiai.demo": "",
    "vol-list --pool kumiai.demo": " kumiai.demo.a1.data.g1   /p/kumiai.demo.a1.data.g1\n stray.iso   /p/stray.iso\n",
    "pool-info --bytes kumiai.demo": "Name:           kumiai.demo\nCapacity:       99\nAvailable:      42\n",
}


@pytest.fixture
def calls(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of answers by their question, and the log of all questions."""
    for question, answer in ANSWERS.items():
        (tmp_path / question.replace(" ", "_").replace("/", "%")).write_text(answer)
    program = tmp_path / "virsh"
    program.write_text(
        f"""#!/bin/sh
shift 3
echo "$@" >> {tmp_path}/log
file="{tmp_path}/$(echo "$*" | tr ' /' '_%')"
if [ -f "$file" ]; then cat "$file"; else echo "error: ${{ANSWER:-Domain not found: no domain}}" >&2; exit 1; fi
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "log"


def test_marked_objects_are_found_and_all_others_left_out(calls: pathlib.Path) -> None:
    assert HOST.marked() == {
        Thing("h1", "domain", "kumiai.demo.a1"),
        Thing("h1", "network", "kumiai.demo.mgmt"),
        Thing("h1", "pool", "kumiai.demo"),
        Thing("h1", "volume", "kumiai.demo.a1.data.g1"),
    }
    assert HOST.running() == {"kumiai.demo.a1"}
    assert "vol-list --pool kumiai.demo" in calls.read_text()


def test_a_stopped_pool_is_started_since_it_hides_its_volumes(calls: pathlib.Path) -> None:
    active = calls.parent / "pool-list_--name"
    active.write_text("default\n")
    started = calls.parent / "pool-start_kumiai.demo"
    started.symlink_to(active)
    assert not [thing for thing in HOST.marked() if thing.kind == "volume"]
    assert "pool-start kumiai.demo" in calls.read_text()


def test_a_pool_that_does_not_start_has_no_volumes_and_no_free_space(
    calls: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (calls.parent / "pool-list_--name").write_text("default\n")
    monkeypatch.setenv("ANSWER", "cannot open directory '/srv/images': No such file or directory")
    marked = HOST.marked()
    assert Thing("h1", "pool", "kumiai.demo") in marked
    assert not [thing for thing in marked if thing.kind == "volume"]
    assert "vol-list" not in calls.read_text()
    with pytest.raises(errors.OperationError, match="host h1: virsh pool-start: cannot open directory '/srv/images'"):
        HOST.free_bytes()


def test_a_pool_that_is_not_there_yet_is_no_error(calls: pathlib.Path) -> None:
    (calls.parent / "pool-list_--all_--name").write_text("default\n")
    assert HOST.free_bytes() is None


def test_free_space_is_read_in_bytes(calls: pathlib.Path) -> None:
    assert HOST.free_bytes() == 42
    assert calls.exists()


def test_an_unmarked_object_is_never_removed(calls: pathlib.Path) -> None:
    for name in ("windows", "kumiai.demo2.x", "default"):
        with pytest.raises(ValueError, match="not ours"):
            HOST.remove(Thing("h1", "domain", name))
    assert not calls.exists(), "virsh was not even asked"


def test_removing_what_is_gone_is_fine(calls: pathlib.Path) -> None:
    HOST.remove(Thing("h1", "domain", "kumiai.demo.a1"))
    assert calls.read_text().splitlines()[0] == "destroy kumiai.demo.a1"


def test_a_volume_that_cannot_be_removed_is_an_error(calls: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWER", "cannot unlink file: Permission denied")
    with pytest.raises(errors.OperationError, match="host h1: virsh vol-delete: cannot unlink file: Permission denied"):
        HOST.remove(Thing("h1", "volume", "kumiai.demo.a1.data.g1"))
    assert "vol-delete" in calls.read_text()


def test_a_silent_host_is_named_with_its_cause(calls: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "ANSWER", "failed to connect to the hypervisor\nerror: Failed to connect socket: Connection refused"
    )
    for path in calls.parent.glob("*list*"):
        path.unlink()
    other = Hypervisor(host="h2", uri="qemu:///system", stack="demo")
    with pytest.raises(errors.EnvironmentLackError) as raised:
        virsh.probe_all({"h1": HOST, "h2": other})
    text = str(raised.value)
    assert "host h1: libvirtd does not answer: failed to connect to the hypervisor: Failed to connect socket" in text
    assert "host h2: libvirtd does not answer" in text
    assert text.endswith("nothing was touched")


def test_without_virsh_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.EnvironmentLackError, match="apt-get install --no-install-recommends libvirt-clients"):
        HOST.marked()

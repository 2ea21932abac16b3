"""The operator's uplinks, per host."""

from __future__ import annotations

import pathlib

import pytest

from infra.hosts import uplinks
from network.errors import InputError
from tests.lab_unit.small import small_plan, with_host

PLAN = with_host(small_plan(), "kvm01", libvirt="qemu+ssh://root@192.0.2.1/system")
LINE = "nishiki-main-mynumber"


def test_uplinks_of_real_hosts_are_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "kvm01.yml").write_text(f"hypervisor_line_uplinks:\n  {LINE}: eno2.101\nother: 1\n")
    (tmp_path / "kvm02.yml").write_text(f"hypervisor_line_uplinks: {{{LINE}: eno2}}\n")  # a simulated host
    assert uplinks.load(PLAN, tmp_path) == {"kvm01": {LINE: "eno2.101"}}


def test_no_file_means_no_uplink(tmp_path: pathlib.Path) -> None:
    assert uplinks.load(PLAN, tmp_path) == {}
    (tmp_path / "kvm01.yml").write_text("")
    assert uplinks.load(PLAN, tmp_path) == {"kvm01": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hypervisor_line_uplinks: [eno2]", "hypervisor_line_uplinks: expected a mapping of segment to interface"),
        ("[]", None),
        ("- a", "hypervisor_line_uplinks: expected a mapping of segment to interface"),
        ("a: [", "not YAML"),
        ("hypervisor_line_uplinks: {juki: eno2}", "juki is no line of site dc1; lines: nishiki-backup-lgwan, "),
        (f"hypervisor_line_uplinks: {{{LINE}: 'a; reboot'}}", f"{LINE}: 'a; reboot' is no name of an interface"),
        (f"hypervisor_line_uplinks: {{{LINE}: enp0s31f6.10101}}", None),
        (f"hypervisor_line_uplinks: {{{LINE}: enp0s31f6.101012}}", "'enp0s31f6.101012' is no name of an interface"),
        (f"hypervisor_line_uplinks: {{{LINE}: 7}}", f"{LINE}: 7 is no name of an interface"),
        (
            f"hypervisor_line_uplinks: {{{LINE}: eno2, tsuno-main-mynumber: eno2}}",
            "eno2 stands for several lines, which would join them",
        ),
    ],
)
def test_wrong_uplinks_are_refused(tmp_path: pathlib.Path, text: str, message: str | None) -> None:
    (tmp_path / "kvm01.yml").write_text(text)
    if message is None:
        uplinks.load(PLAN, tmp_path)
        return
    with pytest.raises(InputError) as refused:
        uplinks.load(PLAN, tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'kvm01.yml'}: ")
    assert message in str(refused.value)

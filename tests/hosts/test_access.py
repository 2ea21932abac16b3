"""How hypervisors are reached, without any being there."""

from __future__ import annotations

import pytest

from infra import process
from infra.hosts import access
from infra.plan.model import Plan
from network.errors import EnvironmentLackError
from tests.lab_unit.small import small_plan, with_host

PLAN = with_host(
    with_host(small_plan(), "kvm01", libvirt="qemu+ssh://admin@kvm01.example:2222/system"),
    *("kvm02",),
    libvirt="qemu:///system",
    underlay="192.0.2.2",
)


class FakeRun:
    """Answers every program in one way and keeps what was asked."""

    def __init__(self, returncode: int, stderr: str = "") -> None:
        self.argv: list[tuple[str, ...]] = []
        self._answer = (returncode, stderr)

    def __call__(self, *argv: str, stdin: str | None = None, timeout_s: float = 60) -> process.Completed:
        self.argv.append(argv)
        return process.Completed(argv=argv, returncode=self._answer[0], stdout="answer", stderr=self._answer[1])


def fake(monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str = "") -> FakeRun:
    run = FakeRun(returncode, stderr)
    monkeypatch.setattr(process, "probe", run)
    return run


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("qemu+ssh://root@kvm01.example/system", access.Remote(host="kvm01.example")),
        ("qemu+ssh://admin@kvm01.example:2222/system", access.Remote(host="kvm01.example", user="admin", port=2222)),
        ("qemu+tls://kvm01.example:16514/system", access.Remote(host="kvm01.example")),
        ("qemu+ssh://[2001:db8::1]/system", access.Remote(host="2001:db8::1")),
        ("qemu:///system", None),
        ("lab", None),
    ],
)
def test_where_ssh_reaches_a_host(uri: str, expected: access.Remote | None) -> None:
    assert access.remote(with_host(PLAN, "kvm01", libvirt=uri).host_by_id["kvm01"]) == expected


def test_libvirt_is_reached_as_declared_and_in_the_lab_by_its_socket() -> None:
    assert access.libvirt_uri(PLAN, "kvm01") == "qemu+ssh://admin@kvm01.example:2222/system"
    socket = "/run/kumiai-lab/small/kvm03/libvirt/libvirt-sock"
    assert access.libvirt_uri(PLAN, "kvm03") == f"qemu+unix:///system?socket={socket}"
    assert access.accelerator(PLAN, "kvm01") == "kvm"


def test_a_command_reaches_the_other_side_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    run = fake(monkeypatch, 0)
    assert access.run_on(PLAN, "kvm01", "grep", "a b", "$HOME") == "answer"
    (argv,) = run.argv
    assert argv[0] == "ssh"
    assert argv[-4:] == ("2222", "admin@kvm01.example", "--", "grep 'a b' '$HOME'")
    assert "StrictHostKeyChecking=yes" in argv
    access.run_on(PLAN, "kvm02", "grep", "a b")
    assert run.argv[1] == ("grep", "a b")


def test_an_unreachable_host_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, 255, "ssh: connect to host kvm01.example port 2222: No route to host\n")
    expected = (
        "host kvm01 (qemu+ssh://admin@kvm01.example:2222/system): "
        "ssh: connect to host kvm01.example port 2222: No route to host"
    )
    with pytest.raises(EnvironmentLackError) as refused:
        access.run_on(PLAN, "kvm01", "true")
    assert str(refused.value) == expected
    with pytest.raises(EnvironmentLackError) as refused:
        access.require_reachable(PLAN, ["kvm01"])
    assert str(refused.value) == f"{expected}\nnothing was changed"


def test_a_failed_command_on_a_reached_host_is_no_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, 1, "no such file")
    with pytest.raises(process.CommandError, match="no such file"):
        access.run_on(PLAN, "kvm01", "cat", "/nothing")


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((), ("-o", "ProxyJump=admin@kvm01.example:2222")),
        (("kvm01",), ()),  # kvm02 is this machine: the station is here
    ],
)
def test_the_way_into_management_leads_over_the_hub(lost: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert access.station_ssh_args(PLAN, "dc1", lost) == expected


def test_a_lab_that_is_not_up_is_said_so() -> None:
    plan: Plan = small_plan("nosuchlab")
    for ask in (
        lambda: access.station_ssh_args(plan, "dc1"),
        lambda: access.run_on(plan, "kvm01", "true"),
        lambda: access.accelerator(plan, "kvm01"),
    ):
        with pytest.raises(EnvironmentLackError, match="run: kumiai lab up nosuchlab"):
            ask()

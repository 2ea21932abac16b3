"""tools/install-packages.sh with fake package tools."""

import pathlib
import re
import subprocess

import pytest

from infra.engine import pins
from tests.engine import fakes

SCRIPT = pins.PROJECT / "tools" / "install-packages.sh"


class Debian:
    """A pretended Debian; by default everything is installed."""

    def __init__(self, root: pathlib.Path) -> None:
        self.programs = fakes.Programs(root)
        self.policy = root / "policy-rc.d"
        self.missing()
        self.user(1000)
        self.programs.add("apt-get", f'cat "{self.policy}" >"{root}/seen" 2>/dev/null; exit 0')
        self.seen = root / "seen"

    def missing(self, *names: str) -> None:
        cases = "".join(f"{name}) exit 1;; " for name in names)
        self.programs.add("dpkg-query", f"for last; do :; done; case $last in {cases}*) printf installed;; esac")

    def user(self, uid: int) -> None:
        self.programs.add("id", f"echo {uid}")

    def looked_at(self) -> list[str]:
        return [call.split()[-1] for call in self.programs.calls("dpkg-query")]

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": f"{self.programs.folder}:/usr/bin:/bin", "POLICY_RC_D": str(self.policy)}
        return subprocess.run(["/bin/sh", SCRIPT, *argv], env=env, capture_output=True, check=False, encoding="utf-8")


@pytest.fixture
def debian(tmp_path: pathlib.Path) -> Debian:
    return Debian(tmp_path)


def test_nothing_is_done_when_everything_is_there(debian: Debian) -> None:
    done = debian.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {"libvirt-daemon", "xsltproc"} <= set(debian.looked_at())
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in debian.looked_at())
    assert not debian.programs.calls("apt-get")


def test_not_root_is_told_the_exact_command(debian: Debian) -> None:
    debian.missing("xsltproc", "mmdebstrap")
    done = debian.run()
    assert done.returncode == 3
    assert "apt-get update && apt-get install --yes --no-install-recommends mmdebstrap xsltproc\n" in done.stderr
    assert not debian.programs.calls("apt-get")


def test_root_installs_what_is_missing_and_starts_no_daemon(debian: Debian) -> None:
    debian.missing("libvirt-daemon")
    debian.user(0)
    assert debian.run().returncode == 0
    install = debian.programs.calls("apt-get")[-1]
    assert install.startswith("install ")
    assert "--no-install-recommends" in install
    assert install.endswith(" libvirt-daemon")
    assert "exit 101" in debian.seen.read_text(), "services may not be started while packages are installed"
    assert not debian.policy.exists(), "and may be afterwards"


def test_package_lists_are_fetched_when_the_package_is_unknown(debian: Debian) -> None:
    debian.missing("libvirt-daemon")
    debian.user(0)
    debian.programs.add("apt-get", f'[ "$1" = update ] && : >"{debian.policy}.lists"; [ -e "{debian.policy}.lists" ]')
    assert debian.run().returncode == 0
    verbs = [call.split()[0] for call in debian.programs.calls("apt-get")]
    assert verbs[-2:] == ["update", "install"]


def test_failed_installation_fails_and_removes_the_policy(debian: Debian) -> None:
    debian.missing("libvirt-daemon")
    debian.user(0)
    debian.programs.add("apt-get", "exit 100")
    assert debian.run().returncode == 100
    assert not debian.policy.exists()


def test_policy_of_the_administrator_stays(debian: Debian) -> None:
    debian.missing("libvirt-daemon")
    debian.user(0)
    debian.policy.write_text("#!/bin/sh\nexit 0\n")
    assert debian.run().returncode == 0
    assert debian.policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_policy_that_a_killed_run_left_is_removed(debian: Debian) -> None:
    debian.missing("libvirt-daemon")
    debian.user(0)
    debian.policy.write_text("#!/bin/sh\n# temporary, by kumiai tools/install-packages.sh\nexit 101\n")
    assert debian.run().returncode == 0
    assert not debian.policy.exists()


def test_what_only_the_tests_need_is_asked_for_by_name(debian: Debian) -> None:
    debian.missing("haproxy")
    assert debian.run().returncode == 0
    assert "haproxy" in debian.run("test").stderr


def test_daemons_of_the_tests_do_not_start_with_the_machine(debian: Debian) -> None:
    debian.missing("haproxy")
    debian.user(0)
    debian.programs.add("systemctl")
    assert debian.run("test").returncode == 0
    assert debian.programs.calls("systemctl") == ["disable --quiet haproxy"], "those that were there before stay"

"""The module that installs files: all or nothing, finished after a kill, silent when nothing is to do."""

from __future__ import annotations

import grp
import importlib.util
import os
import pathlib
import pwd
import sys
import types
from typing import Any

import pytest

SOURCE = pathlib.Path(__file__).parents[2] / "roles" / "base" / "library" / "kumiai_files.py"


def load() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("kumiai_files", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MODULE = load()
USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


class Node:
    """A directory that stands for a node, with a systemctl that notes what it is asked."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.log = root / "systemctl.log"
        self.state = root / "state"
        self.reload = root / "needs-reload"
        self.wants = root / "units" / "multi-user.target.wants"
        self.wants.mkdir(parents=True)
        (root / "bin").mkdir()
        program = root / "bin" / "systemctl"
        program.write_text(
            f"""#!/bin/sh
echo "$*" >>{self.log}
case "$*" in
*NeedDaemonReload*) test -e {self.reload} && echo NeedDaemonReload=yes || echo NeedDaemonReload=no ;;
show*) shift 3
       for unit in "$@"; do
           test -e {self.state}.$unit.active && echo active || echo inactive
           echo
       done ;;
enable*) shift 3; for unit in "$@"; do touch {self.wants}/$unit; done ;;
start*|restart*) shift; for unit in "$@"; do touch {self.state}.$unit.active; done ;;
esac
"""
        )
        program.chmod(0o755)

    def install(self, *groups: dict[str, Any], check_mode: bool = False) -> Any:
        defaults: dict[str, Any] = {
            "files": {}, "mode": "0644", "owner": USER, "group": GROUP, "validate": None, "purge": [], "apply": [],
            "services": [], "defer": False,
        }  # fmt: skip
        entries = [MODULE.Group(**{**defaults, **group}) for group in groups]
        installer = MODULE.Installer(entries, self.root / "pending", 20, check_mode)
        installer.install()
        return installer

    def path(self, name: str) -> str:
        return str(self.root / "etc" / name)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setattr(MODULE, "UNIT_DIRECTORY", f"{tmp_path}/units/")
    monkeypatch.setattr(MODULE, "ENVIRONMENT", {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    return made


def test_a_refused_file_leaves_every_group_as_it_was(node: Node) -> None:
    old = pathlib.Path(node.path("a"))
    old.parent.mkdir()
    old.write_text("old")
    with pytest.raises(MODULE.InstallError, match=r"b was refused, nothing was changed: grep -q good .*exit status 1"):
        node.install(
            {"name": "first", "files": {node.path("a"): "new"}},
            {"name": "second", "files": {node.path("b"): "bad"}, "validate": "grep -q good %s"},
        )
    assert old.read_text() == "old"
    assert [path.name for path in old.parent.iterdir()] == ["a"]


def test_a_second_run_changes_nothing_and_runs_nothing(node: Node) -> None:
    count = node.root / "count"
    group = {
        "name": "one",
        "files": {node.path("a"): "text"},
        "mode": "0600",
        "apply": [f"sh -c 'echo x >>{count}'", "systemctl restart a.service"],
        "services": ["a.service"],
    }
    assert node.install(group).changed_groups == ["one"]
    assert pathlib.Path(node.path("a")).stat().st_mode & 0o777 == 0o600
    again = node.install(group)
    assert (again.changed_groups, again.changed_files) == ([], [])
    assert count.read_text() == "x\n"


def test_what_a_killed_run_left_unapplied_is_applied_by_the_next(node: Node) -> None:
    done = node.root / "done"
    group = {"name": "one", "files": {node.path("a"): "text"}, "apply": [f"test -e {node.root}/power", f"touch {done}"]}
    with pytest.raises(MODULE.InstallError, match="one is installed but could not be applied: test -e"):
        node.install(group)
    assert pathlib.Path(node.path("a")).read_text() == "text"
    (node.root / "power").touch()
    assert node.install(group).changed_groups == ["one"]
    assert done.exists()
    assert node.install(group).changed_groups == []


def test_a_run_killed_between_two_files_is_finished_by_the_next(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    group = {"name": "one", "files": {node.path("a"): "1", node.path("b"): "2"}, "apply": [f"touch {node.root}/done"]}
    real = pathlib.Path.rename
    renamed: list[Any] = []

    def rename(self: pathlib.Path, target: Any) -> pathlib.Path:
        if renamed:
            raise KeyboardInterrupt
        renamed.append(target)
        return real(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        node.install(group)
    monkeypatch.undo()
    assert node.install(group).changed_files == [node.path("b")]
    assert (node.root / "done").exists()


def test_a_deferred_group_is_applied_by_the_later_one_of_its_name(node: Node) -> None:
    secret = {"name": "proxy", "files": {node.path("pem"): "key"}, "mode": "0600", "defer": True}
    rest = {"name": "proxy", "files": {node.path("cfg"): "cfg"}, "apply": [f"sh -c 'echo x >>{node.root}/count'"]}
    node.install(secret)
    node.install(rest)
    assert node.install({**secret, "files": {node.path("pem"): "new key"}}).changed_groups == ["proxy"]
    assert node.install(rest).changed_groups == ["proxy"], "a new certificate alone makes the service read it"
    assert (node.root / "count").read_text() == "x\nx\n"
    assert node.install(secret | {"files": {node.path("pem"): "new key"}}).changed_groups == []
    assert node.install(rest).changed_groups == []


def test_two_groups_of_one_name_in_one_task_are_applied_once(node: Node) -> None:
    daemons = {"name": "frr", "files": {node.path("daemons"): "bgpd=yes"}, "defer": True}
    rest = {"name": "frr", "files": {node.path("conf"): "conf"}, "apply": [f"sh -c 'echo x >>{node.root}/count'"]}
    node.install(daemons, rest)
    assert (pathlib.Path(node.path("daemons")).read_text(), pathlib.Path(node.path("conf")).read_text()) == (
        "bgpd=yes",
        "conf",
    )
    node.install({**daemons, "files": {node.path("daemons"): "bgpd=no"}}, rest)
    assert (node.root / "count").read_text() == "x\nx\n"
    assert node.install({**daemons, "files": {node.path("daemons"): "bgpd=no"}}, rest).changed_groups == []


def test_superfluous_files_of_the_pattern_go_and_no_others(node: Node) -> None:
    etc = node.root / "etc"
    etc.mkdir()
    for name in ("20-kumiai-old", "20-other"):
        (etc / name).touch()
    group = {"name": "net", "files": {node.path("20-kumiai-new"): ""}, "purge": [str(etc / "*-kumiai-*")]}
    assert sorted(node.install(group).changed_files) == [node.path("20-kumiai-new"), node.path("20-kumiai-old")]
    assert sorted(path.name for path in etc.iterdir()) == ["20-kumiai-new", "20-other"]


def test_a_symbolic_link_is_replaced_and_not_followed(node: Node) -> None:
    (node.root / "etc").mkdir()
    (node.root / "victim").write_text("text")
    pathlib.Path(node.path("a")).symlink_to(node.root / "victim")
    node.install({"name": "one", "files": {node.path("a"): "new"}})
    assert (node.root / "victim").read_text() == "text"
    assert not pathlib.Path(node.path("a")).is_symlink()


def test_a_stopped_or_disabled_service_is_a_change_that_is_put_right(node: Node) -> None:
    group = {
        "name": "one",
        "files": {node.path("a"): ""},
        "apply": ["systemctl restart a.service"],
        "services": ["a.service"],
    }
    node.install(group)
    assert node.install(group).changed_groups == []
    (node.root / "state.a.service.active").unlink()
    assert node.install(group).changed_groups == ["one"]
    assert (node.root / "state.a.service.active").exists()
    (node.wants / "a.service").unlink()
    assert node.install(group).changed_groups == ["one"]
    assert node.install(group).changed_groups == []


def test_systemd_reads_units_again_only_when_it_holds_an_older_state(node: Node) -> None:
    unit = str(node.root / "units" / "a.service")
    group = {"name": "one", "files": {unit: "1"}, "apply": ["true"]}
    node.install(group)
    assert "daemon-reload" not in node.asked()
    node.reload.touch()
    node.install({**group, "files": {unit: "2"}})
    assert "daemon-reload" in node.asked()


def test_a_unit_is_enabled_before_it_starts(node: Node) -> None:
    node.install(
        {
            "name": "one",
            "files": {node.path("a"): ""},
            "apply": ["systemctl restart a.service"],
            "services": ["a.service"],
        }
    )
    asked = [line for line in node.asked() if not line.startswith("show")]
    assert asked == ["enable --quiet --no-reload a.service", "restart a.service"]


def test_all_files_are_in_place_before_the_first_group_is_applied_in_order(node: Node) -> None:
    log = node.root / "order"
    node.install(
        {
            "name": "one",
            "files": {node.path("a"): ""},
            "apply": [f"test -e {node.path('b')}", f"sh -c 'echo 1 >>{log}'"],
        },
        {"name": "two", "files": {node.path("b"): ""}, "apply": [f"sh -c 'echo 2 >>{log}'"]},
    )
    assert log.read_text() == "1\n2\n"


def test_check_mode_tells_the_change_and_makes_none(node: Node) -> None:
    told = node.install({"name": "one", "files": {node.path("a"): "new"}, "apply": ["false"]}, check_mode=True)
    assert told.changed_files == [node.path("a")]
    assert told.diffs == [
        {"before_header": node.path("a"), "after_header": node.path("a"), "before": "", "after": "new"}
    ]
    assert not (node.root / "etc").exists()


def test_a_program_that_the_image_lacks_is_named(node: Node) -> None:
    with pytest.raises(MODULE.InstallError, match="nosuchprogram is not in the image"):
        node.install({"name": "one", "files": {node.path("a"): ""}, "validate": "nosuchprogram %s"})

#!/usr/bin/python
"""Install groups of whole files, check them before anything changes, and apply what changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kumiai_files
short_description: Install groups of whole files and apply what changed
description:
  - Stages every file that differs, lets the group's checker read each staged file, and only when all of them pass
    puts any of them into place. A refused file leaves the node as it was.
  - A group that changed is marked in C(/var/lib/kumiai/pending) before its first file is replaced and unmarked after
    its last command succeeded. So a run that is killed half-way is finished by the next one; a notified handler would
    be lost.
  - Groups are applied in the given order, after the files of all of them are in place.
options:
  groups:
    description: What to install, in order.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the group and of its mark., type: str, required: true}
      files: {description: Absolute path and whole text of each file., type: dict, default: {}}
      mode: {description: Permissions of the files, octal., type: str, default: "0644"}
      owner: {description: Owner of the files., type: str, default: root}
      group: {description: Group of the files., type: str, default: root}
      validate:
        description: Checker of each file; C(%s) stands for the staged file.
        type: str
      purge:
        description: Glob patterns; files that match and are not in O(groups[].files) are removed.
        type: list
        elements: str
        default: []
      apply:
        description: Commands that make the change effective. They run without a shell, whenever the group is marked.
        type: list
        elements: str
        default: []
      services:
        description: Units that start at every boot and run when the task is done.
        type: list
        elements: str
        default: []
      defer:
        description: Leave the mark to a later group of the same name, which applies it.
        type: bool
        default: false
  timeout_s:
    description: How long one command may take.
    type: int
    default: 300
  state_dir:
    description: Where the marks are kept.
    type: path
    default: /var/lib/kumiai/pending
author: [Kumiai (@kumiai)]
"""

EXAMPLES = r"""
- name: Install the firewall
  kumiai_files:
    groups:
      - name: firewall
        files: {/etc/nftables.conf: "{{ base_files['/etc/nftables.conf'] }}"}
        mode: "0600"
        validate: nft -c -f %s
        apply: [nft -f /etc/nftables.conf]
        services: [nftables.service]
"""

RETURN = r"""
changed_groups: {description: Names of the groups that changed., type: list, elements: str, returned: always}
changed_files: {description: Paths that were written or removed., type: list, elements: str, returned: always}
"""

import dataclasses  # noqa: E402  (Ansible wants its documentation first)
import glob  # noqa: E402
import grp  # noqa: E402
import os  # noqa: E402
import pathlib  # noqa: E402
import pwd  # noqa: E402
import shlex  # noqa: E402
import stat  # noqa: E402
import subprocess  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

SUFFIX = ".kumiai-staged"
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMCTL_SKIP_SYSV": "1"}
"""Without the variable systemctl keeps old start scripts in step, by Perl and with a reload for each unit."""
RUNS = ("active", "activating")
UNIT_DIRECTORY = "/etc/systemd/system/"


class InstallError(Exception):
    """A file was refused or a command failed; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Group:
    """One entry of the module's ``groups``."""

    name: str
    files: dict[str, str]
    mode: str
    owner: str
    group: str
    validate: str | None
    purge: list[str]
    apply: list[str]
    services: list[str]
    defer: bool


class Installer:
    """Brings the groups into place; nothing is touched before every checker has passed."""

    def __init__(self, groups: list[Group], state_dir: pathlib.Path, timeout_s: int, check_mode: bool = False) -> None:
        self.groups = groups
        self.state_dir = state_dir
        self.timeout_s = timeout_s
        self.check_mode = check_mode
        self.changed_files: list[str] = []
        self.changed_groups: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def install(self) -> None:
        """Do the work; afterwards ``changed_files``, ``changed_groups`` and ``diffs`` tell what happened."""
        # Groups may share a name, and with it the mark of what is still to be applied.
        differing = [self._differing(group) for group in self.groups]
        superfluous = [_superfluous(group) for group in self.groups]
        states = self._unit_states([unit for group in self.groups for unit in group.services])
        if not self.check_mode:
            self._stage(differing)
        due = []
        for group, new, gone in zip(self.groups, differing, superfluous, strict=True):
            mark = self.state_dir / group.name
            touched = [*new, *gone]
            wrong = [unit for unit in group.services if states[unit] != (True, True)]
            if not (touched or wrong or (mark.exists() and not group.defer)):
                continue
            self.changed_groups.append(group.name)
            self.changed_files += touched
            if not self.check_mode:
                self._bring_into_place(mark, new, gone)
            if not group.defer:
                due.append(group)
        if due and not self.check_mode:
            self._prepare_units(due, [unit for group in due for unit in group.services if not states[unit][0]])
            for group in due:
                self._apply(group)
            self._keep_running([unit for group in due for unit in group.services])

    def _differing(self, group: Group) -> list[str]:
        wanted_owner = (pwd.getpwnam(group.owner).pw_uid, grp.getgrnam(group.group).gr_gid)
        found = []
        for path, text in group.files.items():
            before = _current(path)
            if before is None or before != (text.encode(), int(group.mode, 8), *wanted_owner):
                found.append(path)
                old = "" if before is None else before[0].decode(errors="replace")
                self.diffs.append({"before_header": path, "after_header": path, "before": old, "after": text})
        return found

    def _stage(self, differing: list[list[str]]) -> None:
        staged: list[str] = []
        try:
            for group, paths in zip(self.groups, differing, strict=True):
                for path in paths:
                    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
                    staged.append(path + SUFFIX)
                    _write(path + SUFFIX, group.files[path], group)
                    if group.validate:
                        check = group.validate.replace("%s", path + SUFFIX)
                        self._run(check, f"{path} was refused, nothing was changed")
        except BaseException:
            for path in staged:
                pathlib.Path(path).unlink(missing_ok=True)
            raise

    def _bring_into_place(self, mark: pathlib.Path, paths: list[str], gone: list[str]) -> None:
        if paths or gone:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        for path in paths:
            pathlib.Path(path + SUFFIX).rename(path)
        for path in gone:
            pathlib.Path(path).unlink(missing_ok=True)

    def _prepare_units(self, due: list[Group], disabled: list[str]) -> None:
        """Have ``disabled`` start at every boot, and let systemd read changed units again if it holds an older state.

        Both come before any unit starts: a running one would be looked at with new eyes. A reload costs seconds on a
        small machine, so it is asked for first whether one is needed; the links of the next boot need none.
        """
        if disabled:
            self._run("systemctl enable --quiet --no-reload " + shlex.join(disabled), "services")
        marked = [group for group in due if (self.state_dir / group.name).exists()]
        paths = [path for group in marked for path in group.files if path.startswith(UNIT_DIRECTORY)]
        names = {path.removeprefix(UNIT_DIRECTORY).split("/")[0].removesuffix(".d") for path in paths}
        if names:
            units = {name for name in names if "@." not in name} | {unit for group in marked for unit in group.services}
            shown = self._run("systemctl show -p NeedDaemonReload " + shlex.join(sorted(units)), "services")
            if "=yes" in shown:
                self._run("systemctl daemon-reload", "services")

    def _apply(self, group: Group) -> None:
        mark = self.state_dir / group.name
        if mark.exists():
            for command in group.apply:
                self._run(command, f"{group.name} is installed but could not be applied")
            mark.unlink()
        elif group.services:  # nothing new, but a service does not run
            self._run("systemctl start " + shlex.join(group.services), group.name)

    def _keep_running(self, units: list[str]) -> None:
        """Start what the groups' own commands have not started."""
        states = self._unit_states(units)
        stopped = [unit for unit in units if not states[unit][1]]
        if stopped:
            self._run("systemctl start " + shlex.join(stopped), "services")

    def _unit_states(self, units: list[str]) -> dict[str, tuple[bool, bool]]:
        """Return for each unit whether it starts at boot and whether it runs, with one call for all of them."""
        if not units:
            return {}
        shown = self._run("systemctl show --property=ActiveState --value " + shlex.join(units), "state of the services")
        states = shown.split()
        if len(states) != len(units):
            raise InstallError(f"systemctl told of {len(states)} of {len(units)} units")
        # The links themselves: systemd's own answer is as old as its last reload.
        enabled = [bool(glob.glob(f"{UNIT_DIRECTORY}*.wants/{glob.escape(unit)}")) for unit in units]
        return {unit: (on, state in RUNS) for unit, on, state in zip(units, enabled, states, strict=True)}

    def _run(self, command: str, what: str) -> str:
        argv = shlex.split(command)
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=self.timeout_s, check=False, env=ENVIRONMENT
            )
        except FileNotFoundError:
            raise InstallError(f"{what}: {argv[0]} is not in the image") from None
        except subprocess.TimeoutExpired:
            raise InstallError(f"{what}: {command}: no answer in {self.timeout_s} s") from None
        if done.returncode != 0:
            output = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise InstallError(f"{what}: {command}: exit status {done.returncode}\n{output}")
        return done.stdout


def _current(path: str) -> tuple[bytes, int, int, int] | None:
    """Return content, mode, owner and group of a regular file; None for anything else, which is then replaced."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            return file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    except OSError:
        return None


def _superfluous(group: Group) -> list[str]:
    found = {path for pattern in group.purge for path in glob.glob(pattern)}
    return sorted(path for path in found - set(group.files) if not path.endswith(SUFFIX))


def _write(path: str, text: str, group: Group) -> None:
    pathlib.Path(path).unlink(missing_ok=True)  # left by a killed run
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode())
        os.fchown(file.fileno(), pwd.getpwnam(group.owner).pw_uid, grp.getgrnam(group.group).gr_gid)
        os.fchmod(file.fileno(), int(group.mode, 8))
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    """Run as an Ansible module."""
    group_spec = {
        "name": {"type": "str", "required": True},
        "files": {"type": "dict", "default": {}},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "validate": {"type": "str"},
        "purge": {"type": "list", "elements": "str", "default": []},
        "apply": {"type": "list", "elements": "str", "default": []},
        "services": {"type": "list", "elements": "str", "default": []},
        "defer": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "groups": {"type": "list", "elements": "dict", "required": True, "options": group_spec},
            "timeout_s": {"type": "int", "default": 300},
            "state_dir": {"type": "path", "default": "/var/lib/kumiai/pending"},
        },
        supports_check_mode=True,
        no_log=True,  # the files need no second copy in the node's journal
    )
    installer = Installer(
        [Group(**entry) for entry in module.params["groups"]],
        pathlib.Path(module.params["state_dir"]),
        module.params["timeout_s"],
        module.check_mode,
    )
    try:
        installer.install()
    except InstallError as error:
        module.fail_json(msg=str(error), changed_groups=installer.changed_groups)
    result = {"changed_groups": installer.changed_groups, "changed_files": installer.changed_files}
    if module._diff:
        result["diff"] = installer.diffs
    module.exit_json(changed=bool(installer.changed_groups), **result)


if __name__ == "__main__":
    main()

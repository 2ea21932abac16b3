"""The role of gateways: the order in which things start, and passwords that stand in no rendered file."""

from __future__ import annotations

import base64
import pathlib
import shutil
from typing import Any

import jinja2
import pytest
import yaml

import infra.plan
from infra.process import probe
from network import render
from network.render import frr
from tests.network.render import demo

ROLE = pathlib.Path(__file__).parents[2] / "roles" / "gateway"


def tasks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text())
    return found


def groups(task: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tasks()[task]["kumiai_files"]["groups"]
    return found


SECRET, OPEN = 0, 1
"""The task that installs secrets, and the one that applies everything."""


def test_addresses_come_last_and_one_gateway_after_the_other() -> None:
    """Rules came before all of it, with the role base."""
    names = [str(group["name"]) for group in groups(OPEN)]
    started = [name for name in names if name in {"networkd", "conntrackd", "tunnels", "frr", "keepalived"}]
    assert started == ["networkd", "conntrackd", "tunnels", "frr", "keepalived"]
    assert tasks()[OPEN]["throttle"] == 1
    assert yaml.safe_load((ROLE.parents[1] / "site.yml").read_text())[0]["roles"] == ["base"]


def test_secrets_come_in_a_task_that_says_nothing_and_are_applied_by_one_that_tells_its_errors() -> None:
    assert "no_log" in tasks()[SECRET]
    assert "no_log" not in tasks()[OPEN]
    assert {group["name"] for group in groups(SECRET)} == {"tunnels", "frr"}
    assert all(group["defer"] is True and "apply" not in group for group in groups(SECRET))
    text = (ROLE / "tasks" / "main.yml").read_text()
    assert text.index("passwords.j2") < text.index("no_log") > text.index("tunnel-keys.j2")


def test_the_partner_holds_the_addresses_while_frr_starts_again() -> None:
    (commands,) = (group["apply"] for group in groups(OPEN) if group["name"] == "frr")
    words = [command.split(" {{")[0] for command in commands]
    assert words == [
        "systemctl stop keepalived.service",
        "systemctl restart frr.service",
        "/usr/local/sbin/kumiai-await-sessions",
        "systemctl start keepalived.service",
    ]


@pytest.mark.skipif(shutil.which("vtysh") is None, reason="needs the program vtysh")
def test_frr_accepts_passwords_behind_the_rendered_configuration(tmp_path: pathlib.Path) -> None:
    network = infra.plan.compute(demo.STACK.with_name("nishiki.yaml"), demo.AS_OF).plan.network
    config = render.render_node(network, "dc1-gw1a")[frr.CONFIG]
    # As Ansible's lookup reads a template.
    environment = jinja2.Environment(trim_blocks=True, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    template = environment.from_string((ROLE / "templates" / "passwords.j2").read_text())
    peers = {"203.0.113.1": "another", "198.51.100.1": "one-Password"}
    text = template.render(gateway_bgp_passwords=peers)
    assert text == (
        "! Passwords of sessions, from the secrets of the stack.\n"
        "router bgp\n neighbor 198.51.100.1 password one-Password\n neighbor 203.0.113.1 password another\nexit\n"
    )
    file = tmp_path / "frr.conf"
    file.write_text(config + text)
    checked = probe("vtysh", "-C", "-f", str(file))
    assert checked.ok, checked.stderr + checked.stdout
    # Never nothing at all: Ansible makes no text of an empty template.
    assert template.render(gateway_bgp_passwords={}).startswith("!")


def test_keys_of_tunnels_stand_in_a_closed_file_and_need_no_quotes() -> None:
    environment = jinja2.Environment(trim_blocks=True, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    environment.filters["b64encode"] = lambda text: base64.b64encode(text.encode()).decode()
    template = environment.from_string((ROLE / "templates" / "tunnel-keys.j2").read_text())
    tunnel = {"name": "m1-net-lgwan", "own": "203.0.113.2", "far": "192.0.2.1", "key": 'a"}#\\key'}
    text = template.render(gateway_tunnel_keys=[tunnel])
    assert "secret = 0sYSJ9I1xrZXk=\n" in text
    assert text.count("{") == text.count("}") == 2
    closed = [group for task in (SECRET, OPEN) for group in groups(task) if group["name"] == "tunnels"]
    assert [group["mode"] for group in closed] == ["0600", "0600"]

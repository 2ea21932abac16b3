"""The inventory: groups, what each node gets, and what is never in it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from infra import memory
from infra.configure import inventory, node_secrets, private
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network.errors import InputError
from network.render import render_node
from tests.configure.conftest import MARK
from tests.conftest import Golden
from tests.network.render import tunnels

SCRIPT = pathlib.Path(__file__).parents[2] / "inventories" / "stack.py"


def shape(found: inventory.Inventory) -> str:
    """Groups, and the names and short values of every node's variables."""
    hosts = {
        name: {key: sorted(value) if isinstance(value, dict) else value for key, value in variables.items()}
        for name, variables in found.hosts.items()
    }
    return json.dumps({"groups": dict(found.groups), "hosts": hosts}, ensure_ascii=False, indent=1) + "\n"


def test_inventory_is_as_reviewed(plan: Plan, golden: Golden) -> None:
    golden.check("inventory/test.json", shape(inventory.plan_inventory(plan)))


def test_every_rendered_file_is_installed_by_exactly_one_role(plan: Plan) -> None:
    found = inventory.plan_inventory(plan)
    assert len(found.hosts) == len(plan.nodes) > 0
    for name, variables in found.hosts.items():
        installed = [path for key, value in variables.items() if key.endswith("_files") for path in value]  # type: ignore[attr-defined]
        assert set(render_node(plan.network, name)) <= set(installed)
        assert len(installed) == len(set(installed))


def test_the_firewall_of_a_node_is_the_rendered_one_byte_by_byte(plan: Plan) -> None:
    variables = inventory.plan_inventory(plan).hosts["juki-db1"]
    rendered = render_node(plan.network, "juki-db1")["/etc/nftables.conf"]
    assert variables["base_files"]["/etc/nftables.conf"] == rendered  # type: ignore[index]


def test_a_node_gets_its_own_secrets_and_no_others(plan: Plan, secrets: Secrets) -> None:
    text = {node.name: json.dumps(node_secrets.node_secrets(plan, secrets, node.name)) for node in plan.nodes}
    assert f"{MARK}-juki-m1" in text["juki-ap1"]
    assert f"{MARK}-zaimu-m1-m1" not in text["juki-ap1"]
    assert "key of juki" in text["juki-ap1"]
    assert "key of zaimu-m1" not in text["juki-ap1"]
    assert "SCRAM-SHA-256$" in text["juki-db1"]
    assert MARK not in text["juki-db1"], "a database server holds verifiers, not passwords"
    gateway = next(node.name for node in plan.nodes if node.role == "gateway")
    assert MARK not in text[gateway]


def test_a_missing_secret_names_node_and_cure(plan: Plan, secrets: Secrets) -> None:
    without = dataclasses.replace(secrets, passwords={})
    with pytest.raises(InputError, match=r"juki-ap1: the stack has no secret 'database/juki/m1'; run `kumiai up test`"):
        node_secrets.node_secrets(plan, without, "juki-ap1")


def with_md5(plan: Plan) -> Plan:
    """``plan`` with a password on the first line's first hand-off."""
    first, *others = plan.network.lines
    hand = dataclasses.replace(first.handoffs[0], md5="carrier-a")
    lines = (dataclasses.replace(first, handoffs=(hand, *first.handoffs[1:])), *others)
    return dataclasses.replace(plan, network=dataclasses.replace(plan.network, lines=lines))


def test_only_gateways_get_the_passwords_of_lines_and_a_missing_one_is_the_carriers(
    plan: Plan, secrets: Secrets
) -> None:
    real = tuple(dataclasses.replace(host, libvirt="qemu+ssh://root@kvm/system") for host in plan.hosts)
    asked = dataclasses.replace(with_md5(plan), hosts=real)
    peer = str(asked.network.lines[0].handoffs[0].peer)
    with pytest.raises(
        InputError,
        match=r"dc1-gw1a: the stack has no secret line/carrier-a, the password of the BGP session on line m1-main; "
        r"ask the carrier .* kumiai secret set \S+ line/carrier-a$",
    ):
        node_secrets.node_secrets(asked, secrets, "dc1-gw1a")
    known = dataclasses.replace(secrets, passwords={**secrets.passwords, "line/carrier-a": f"{MARK}-line"})
    for node in plan.nodes:
        found = node_secrets.node_secrets(asked, known, node.name)["gateway_bgp_passwords"]
        assert found == ({peer: f"{MARK}-line"} if node.role == "gateway" else {})
    simulated = node_secrets.node_secrets(with_md5(plan), secrets, "dc1-gw1a")["gateway_bgp_passwords"]
    assert simulated == {peer: "lab-line-carrier-a"}, "what the lab's carriers know"


def test_a_gateway_gets_the_keys_of_its_tunnels_and_no_others(secrets: Secrets) -> None:
    plan = tunnels.planned()
    real = tuple(dataclasses.replace(host, libvirt="qemu+ssh://root@kvm/system") for host in plan.hosts)
    asked = dataclasses.replace(plan, hosts=real)
    with pytest.raises(InputError, match=r"no secret tunnel/m1-net, .* kumiai secret set tunnels tunnel/m1-net$"):
        node_secrets.node_secrets(asked, secrets, "dc1-gw1b")
    known = dataclasses.replace(secrets, passwords={"tunnel/m1-net": f"{MARK}-key", "tunnel/m2-net": "another"})
    keys = node_secrets.node_secrets(asked, known, "dc1-gw1b")["gateway_tunnel_keys"]
    assert keys == [{"name": "m1-net-lgwan", "own": "192.0.2.3", "far": "192.0.2.1", "key": f"{MARK}-key"}]


def test_the_private_directory_is_in_memory_closed_to_others_and_gone_afterwards(plan: Plan, secrets: Secrets) -> None:
    with private.private_directory(plan, {"dc1": secrets}, {"dc1": ("-o", "ProxyJump=root@kvm01")}, {}) as directory:
        assert directory.parent in memory.PLACES
        paths = [directory, *directory.rglob("*")]
        assert len(paths) > len(plan.nodes)
        assert [path for path in paths if path.stat().st_mode & 0o077] == []
        pinned = (directory / "known_hosts").read_text().splitlines()
        assert len(pinned) == len(plan.nodes)
        assert pinned[0].endswith(f"ssh-ed25519 AAAA{plan.nodes[0].name}")
        document = (directory / private.INVENTORY).read_text()
    assert not directory.exists()
    assert MARK not in document
    args = json.loads(document)["_meta"]["hostvars"]["juki-ap1"]["ansible_ssh_common_args"]
    for option in ("StrictHostKeyChecking=yes", "HostKeyAlgorithms=ssh-ed25519", "ProxyJump=root@kvm01"):
        assert option in args


def test_the_private_directory_is_removed_when_filling_it_fails(
    plan: Plan, secrets: Secrets, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PLACES", (tmp_path,))
    broken = dataclasses.replace(secrets, passwords={})
    with pytest.raises(InputError), private.private_directory(plan, {"dc1": broken}, {"dc1": ()}, {}):
        pass
    assert list(tmp_path.iterdir()) == []


def run_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KUMIAI_")}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_prints_the_inventory_that_a_run_has_prepared(tmp_path: pathlib.Path) -> None:
    (tmp_path / "inventory.json").write_text('{"all": {}}')
    assert run_script("--list", KUMIAI_INVENTORY=str(tmp_path / "inventory.json")).stdout.strip() == '{"all": {}}'


def test_the_script_without_a_stack_says_how_to_name_one() -> None:
    done = run_script("--list")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("say which stack: KUMIAI_STACK=demo ansible-playbook")

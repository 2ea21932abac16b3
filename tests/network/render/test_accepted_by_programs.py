"""The programs that read the rendered files accept them."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest

import infra.plan
from infra.process import probe, run
from network import render
from network.render import conntrackd, frr
from tests.network.render import demo

NODES = [node.name for node in demo.network().nodes]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def with_file(path: str) -> list[str]:
    found = [node for node in NODES if path in demo.files()[node]]
    assert found, path
    return found


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs the program {program}")


@needs("nft")
@pytest.mark.parametrize("node", with_file("/etc/nftables.conf"))
def test_nft_accepts_and_lists_the_same_again(node: str) -> None:
    """What is in force can be read back: with six fields in a set, nftables 1.0.6 would list nonsense."""
    rules = demo.files()[node]["/etc/nftables.conf"]
    listed = run("unshare", "-rn", "sh", "-c", "nft -f - && nft -s list ruleset", stdin=rules)
    assert "unknown" not in listed
    chains = re.findall(r"chain (\w+) {\s+type filter hook (\w+) priority filter; policy (\w+);", listed)
    assert {("input", "input", "drop"), ("forward", "forward", "drop")} <= set(chains)
    assert {policy for _, _, policy in chains} == {"drop"}
    again = run("unshare", "-rn", "sh", "-c", "nft -f - && nft -s list ruleset", stdin=listed)
    assert again == listed
    elements = [line.strip().rstrip(",") for line in rules.splitlines() if line.startswith('\t\t\t"')]
    assert elements
    for element in elements:
        key, _, comment = element.partition(" comment ")
        assert key in listed
        assert comment in listed


@needs("haproxy")
@pytest.mark.parametrize("node", with_file("/etc/haproxy/haproxy.cfg"))
def test_haproxy_accepts(node: str, tmp_path: pathlib.Path) -> None:
    config = demo.files()[node]["/etc/haproxy/haproxy.cfg"]
    for endpoint in demo.network().endpoint_of_node(node):
        pem = tmp_path / f"{endpoint.name}.pem"
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", f"/CN={endpoint.name}", "-keyout", str(pem), "-out", str(pem) + ".crt",
        )  # fmt: skip
        pem.write_text(pathlib.Path(f"{pem}.crt").read_text() + pem.read_text())
    file = tmp_path / "haproxy.cfg"
    assert "/etc/kumiai/tls/" in config
    file.write_text(config.replace("/etc/kumiai/tls", str(tmp_path)))
    checked = probe("haproxy", "-c", "-f", str(file))
    assert checked.ok, checked.stderr
    assert "WARNING" not in checked.stderr


@needs_root
@needs("keepalived")
@pytest.mark.parametrize("node", with_file("/etc/keepalived/keepalived.conf"))
def test_keepalived_accepts(node: str, tmp_path: pathlib.Path) -> None:
    config = demo.files()[node]["/etc/keepalived/keepalived.conf"]
    file = tmp_path / "keepalived.conf"
    file.write_text(config)
    card = demo.network().node_by_name[node].interfaces[1].name
    in_namespace = f"ip link add {card} type veth peer name other && exec keepalived -t -f {file}"
    checked = probe("unshare", "-n", "sh", "-c", in_namespace)
    assert checked.ok, checked.stderr + checked.stdout
    assert checked.stderr + checked.stdout == ""
    programs = re.findall(r'(?:script|notify_\w+) "(\S+) ', config)
    assert programs
    for program in programs:
        assert os.path.realpath(program) == program, "keepalived 2.3 takes a script behind a symbolic link for insecure"
    file.write_text(config.replace("advert_int", "advert_interval"))
    assert not probe("unshare", "-n", "sh", "-c", in_namespace).ok


@needs("vtysh")
@pytest.mark.parametrize("stack", ["demo", "nishiki"])
def test_frr_accepts(stack: str, tmp_path: pathlib.Path) -> None:
    """FRR 8.4 and 10.3 both; only what BFD guards statically is unknown to FRR 8.4."""
    network = infra.plan.compute(demo.STACK.with_name(f"{stack}.yaml"), demo.AS_OF).plan.network
    file = tmp_path / "frr.conf"
    gateways = [node.name for node in network.nodes if node.role == "gateway"]
    assert len(gateways) == 2
    for name in gateways:
        config = render.render_node(network, name)[frr.CONFIG]
        file.write_text(config)
        checked = probe("vtysh", "-C", "-f", str(file))
        assert checked.ok, checked.stderr + checked.stdout
        assert checked.stderr + checked.stdout == ""
        file.write_text(f"{config}router bgb 1\n")
        assert not probe("vtysh", "-C", "-f", str(file)).ok


@needs("bash")
@pytest.mark.parametrize("path", ["/etc/keepalived/check-gateway", "/etc/keepalived/second-opinion", conntrackd.NOTIFY])
def test_bash_reads_what_keepalived_runs(path: str) -> None:
    for node in with_file(path):
        run("bash", "-n", stdin=demo.files()[node][path])

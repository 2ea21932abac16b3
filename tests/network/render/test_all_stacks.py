"""Every stack file of the project can be rendered, and the kernel takes its rules."""

from __future__ import annotations

import pathlib

import pytest

import infra.plan
from infra.process import run
from network import render
from network.render import haproxy, nftables
from tests.network.render import demo

STACKS = sorted(
    p for p in demo.STACK.parent.glob("*.yaml") if p.suffixes == [".yaml"] and not p.stem.startswith("Pulumi")
)


@pytest.mark.parametrize("stack", STACKS, ids=lambda path: path.stem)
def test_rules_of_every_node_load(stack: pathlib.Path, tmp_path: pathlib.Path) -> None:
    network = infra.plan.compute(stack, demo.AS_OF).plan.network
    files = render.render_all(network)
    assert set(files) == {node.name for node in network.nodes}
    entries = {node for endpoint in network.endpoints for node in endpoint.entry}
    assert {name for name, texts in files.items() if haproxy.PATH in texts} == entries
    # One after the other in one namespace: each file replaces the rules before it. All in one transaction would be more
    # than the kernel takes at once.
    for name, texts in files.items():
        (tmp_path / name).write_text(texts[nftables.RULES])
    run("unshare", "-rn", "sh", "-euc", 'for rules in "$1"/*; do nft -f "$rules"; done', "sh", str(tmp_path))

"""Rendered files of the demo stack as a person approved them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from network import render
from tests.network.render import demo

if TYPE_CHECKING:
    from tests.conftest import Golden

NODES = [node.name for node in demo.network().nodes]


@pytest.mark.parametrize("node", NODES)
def test_files_are_as_approved(golden: Golden, node: str) -> None:
    golden.check_all(f"demo/{node}", {path.removeprefix("/"): text for path, text in demo.files()[node].items()})


def test_one_node_alone_gets_the_same_files() -> None:
    assert NODES
    for node in NODES:
        assert render.render_node(demo.network(), node) == demo.files()[node]


def test_every_card_has_its_files_and_only_management_is_left_to_cloud_init() -> None:
    for node in demo.network().nodes:
        links = {p for p in demo.files()[node.name] if p.endswith(".link")}
        assert links == {f"/etc/systemd/network/10-kumiai-{card.name}.link" for card in node.interfaces[1:]}
        assert len(links) >= 1


def test_nothing_of_another_member_is_named_on_a_members_node() -> None:
    for one, other in itertools.permutations(("nishiki", "tsuno")):
        texts = demo.files()[f"zaimu-{one}-ap1"].values()
        assert texts
        assert not [text for text in texts if other in text]

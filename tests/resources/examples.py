"""The demo stack as planned, with images and keys made up: no machine of this file ever runs."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import pathlib

import infra.plan
from infra.image import Image
from infra.plan.model import Node, Plan
from infra.resources import seeds
from infra.resources.components import Surroundings
from infra.secrets import generate
from infra.secrets.model import Secrets

DAY = datetime.date(2026, 4, 1)
NOW = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
IMAGE = "trixie-0123456789ab"
DEMO = pathlib.Path(__file__).parents[2] / "stacks" / "demo.yaml"


@functools.cache
def demo_plan() -> Plan:
    """The plan of stacks/demo.yaml without its lock, an image pinned for every node."""
    text = DEMO.read_text(encoding="utf-8")
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "demo.yaml"
        path.write_text(text, encoding="utf-8")
        plan = infra.plan.compute(path, DAY).plan
    return dataclasses.replace(plan, nodes=tuple(dataclasses.replace(node, image=IMAGE) for node in plan.nodes))


@functools.cache
def demo_secrets() -> Secrets:
    """Keys for every node of the demo."""
    return generate.complete(demo_plan().network, "dc1", None, NOW)


def with_node(plan: Plan, name: str, **changes: object) -> Plan:
    """Return the plan with some fields of one node changed."""
    nodes = tuple(dataclasses.replace(n, **changes) if n.name == name else n for n in plan.nodes)  # type: ignore[arg-type]
    assert nodes != plan.nodes, f"{name}: nothing changed"
    return dataclasses.replace(plan, nodes=nodes)


def node(plan: Plan, name: str) -> Node:
    """Return one node."""
    return plan.node_by_name[name]


def surroundings(
    plan: Plan, *, allow: tuple[str, ...] = (), silent: tuple[str, ...] = (), reimage: tuple[str, ...] = ()
) -> Surroundings:
    """Return surroundings that name files which do not exist."""
    folder = pathlib.Path("/nowhere")
    image = Image(
        id=IMAGE, root=folder / "root.qcow2", kernel=folder / "vmlinuz", initrd=folder / "initrd.img", root_gib=4
    )
    digests = {n.name: seeds.digest(seeds.node_seed(plan, n, demo_secrets()), n.image, n.host) for n in plan.nodes}
    return Surroundings(
        uris={host.id: f"qemu+unix:///system?socket=/nowhere/{host.id}" for host in plan.hosts},
        silent=frozenset(silent),
        accelerators={host.id: "tcg" for host in plan.hosts},
        images={IMAGE: image},
        default_image=None,
        seeds={name: seeds.Seed(digest=d, path=folder / f"{name}.iso") for name, d in digests.items()},
        allow_data_loss=frozenset(allow),
        reimage=frozenset(reimage),
        lost=frozenset(),
    )

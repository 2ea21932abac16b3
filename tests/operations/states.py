"""States as ``pulumi stack export`` writes them, small."""

from __future__ import annotations

from typing import Any

STACK_URN = "urn:pulumi:demo.dc1::kumiai::pulumi:pulumi:Stack::kumiai-demo.dc1"
TYPES = {
    "Domain": "libvirt:index/domain:Domain",
    "Network": "libvirt:index/network:Network",
    "Pool": "libvirt:index/pool:Pool",
    "Volume": "libvirt:index/volume:Volume",
}


def urn(component: str, kind: str, name: str) -> str:
    return f"urn:pulumi:demo.dc1::kumiai::kumiai:infra:{component}${TYPES[kind]}::{name}"


def component(kind: str, name: str) -> dict[str, Any]:
    own = f"urn:pulumi:demo.dc1::kumiai::kumiai:infra:{kind}::{name}"
    return {"urn": own, "custom": False, "type": f"kumiai:infra:{kind}", "parent": STACK_URN}


def provider(host: str) -> dict[str, Any]:
    own = f"urn:pulumi:demo.dc1::kumiai::kumiai:infra:Host$pulumi:providers:libvirt::{host}"
    parent = component("Host", host)["urn"]
    return {"urn": own, "custom": True, "type": "pulumi:providers:libvirt", "id": f"id-{host}", "parent": parent}


def resource(  # noqa: PLR0917  # reads like a row of a table
    owner: tuple[str, str], kind: str, name: str, libvirt_name: str, host: str, needs: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    return {
        "urn": urn(owner[0], kind, name),
        "custom": True,
        "type": TYPES[kind],
        "id": f"/pool/{libvirt_name}",
        "parent": component(*owner)["urn"],
        "provider": f"{provider(host)['urn']}::id-{host}",
        "inputs": {"name": libvirt_name},
        "outputs": {"name": libvirt_name},
        "dependencies": [need["urn"] for need in needs],
        "propertyDependencies": {"x": [need["urn"] for need in needs]},
        "protect": kind == "Volume" and name.endswith((".root", ".data")),
    }


def node(name: str, host: str) -> list[dict[str, Any]]:
    root = resource(("Node", name), "Volume", f"{name}.root", f"kumiai.demo.{name}.root.i-s", host)
    data = resource(("Node", name), "Volume", f"{name}.data", f"kumiai.demo.{name}.data.g1", host)
    seed = resource(("Node", name), "Volume", f"{name}.seed.s", f"kumiai.demo.{name}.seed.s", host)
    domain = resource(("Node", name), "Domain", name, f"kumiai.demo.{name}", host, (root, data, seed))
    return [component("Node", name), root, data, seed, domain]


def host(name: str) -> list[dict[str, Any]]:
    return [component("Host", name), provider(name), resource(("Host", name), "Pool", name, "kumiai.demo", name)]


def segment(name: str, *hosts: str) -> list[dict[str, Any]]:
    networks = [resource(("Segment", name), "Network", f"{name}.{h}", f"kumiai.demo.{name}", h) for h in hosts]
    return [component("Segment", name), *networks]


def two_hosts() -> dict[str, Any]:
    """Two hosts with a machine each, one segment on both and one on the second only."""
    resources = [
        {"urn": STACK_URN, "custom": False, "type": "pulumi:pulumi:Stack"},
        *host("h1"),
        *host("h2"),
        *segment("mgmt", "h1", "h2"),
        *segment("tenant", "h2"),
        *node("a1", "h1"),
        *node("b1", "h2"),
    ]
    return {"version": 3, "deployment": {"manifest": {}, "resources": resources}}

"""The plugin that is built: a changed network card replaces the machine. No libvirt is needed to ask for a diff."""

import json
import os
import select
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.engine import build, cache_folder, ensure_engine, pins

MAC = "52:54:00:aa:00:01"
CARD = {"networkName": "one", "mac": MAC, "__defaults": []}
INPUTS: dict[str, Any] = {
    "name": "a",
    "memory": 512,
    "networkInterfaces": [CARD],
    "fwCfgName": "opt/com.coreos/config",
    "qemuAgent": False,
    "running": True,
    "type": "kvm",
    "__defaults": [],
}
# As read back from libvirt: the MAC in capitals, the network's id, empty fields filled in.
STATE = {
    **INPUTS,
    "id": "u",
    "vcpu": 1,
    "autostart": False,
    "networkInterfaces": [
        {
            **{"networkName": "one", "networkId": "11", "mac": MAC.upper(), "hostname": "", "addresses": []},
            **{"bridge": "", "vepa": "", "private": "", "macvtap": "", "passthrough": "", "waitForLease": False},
        }
    ],
}


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.Parse(json.dumps(value), struct_pb2.Struct())


class Plugin:
    """A running plugin, asked over its own protocol."""

    def __init__(self, port: int) -> None:
        self.stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))

    def replaced_by(self, **change: Any) -> list[str]:
        """Return the properties for whose sake ``change`` would replace the machine."""
        request = provider_pb2.DiffRequest(
            id="u",
            urn="urn:pulumi:s::p::libvirt:index/domain:Domain::a",
            type="libvirt:index/domain:Domain",
            name="a",
            olds=struct(STATE),
            old_inputs=struct(INPUTS),
            news=struct({**INPUTS, **change}),
        )
        answer = self.stub.Diff(request, timeout=30)
        return sorted(set(answer.replaces))


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    ensure_engine()
    path = build.location(pins.LIBVIRT, cache_folder(os.environ)) / pins.PLUGIN.name
    if not path.exists():
        pytest.skip("this machine brings its own plugin")
    with subprocess.Popen([path, "127.0.0.1:1"], stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 60)
        assert readable, "the plugin said no port within 60 s"
        yield Plugin(int(process.stdout.readline()))
        process.kill()


def test_it_takes_the_place_of_the_published_plugin(plugin: Plugin) -> None:
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty(), timeout=30).version == pins.PLUGIN_VERSION


def test_no_change_replaces_nothing(plugin: Plugin) -> None:
    assert plugin.replaced_by() == []


@pytest.mark.parametrize(
    "cards",
    [
        pytest.param([{**CARD, "networkName": "two"}], id="other network"),
        pytest.param([{"networkId": "22", "mac": MAC, "__defaults": []}], id="other network by id"),
        pytest.param([{"bridge": "br0", "mac": MAC, "__defaults": []}], id="bridge"),
        pytest.param([{**CARD, "mac": "52:54:00:aa:00:02"}], id="other address"),
        pytest.param([CARD, {**CARD, "mac": "52:54:00:aa:00:02"}], id="one more"),
        pytest.param([], id="one less"),
    ],
)
def test_changed_cards_replace_the_machine(plugin: Plugin, cards: list[dict[str, Any]]) -> None:
    assert plugin.replaced_by(networkInterfaces=cards) == ["networkInterfaces"]


def test_other_changes_are_as_they_were(plugin: Plugin) -> None:
    assert plugin.replaced_by(metadata="<x/>") == []
    assert plugin.replaced_by(networkInterfaces=[{**CARD, "waitForLease": True}]) == []
    assert plugin.replaced_by(memory=1024) == ["memory"]

"""What applications and databases are told."""

from __future__ import annotations

import dataclasses
import json

import pytest

from infra.configure import application, database, files
from infra.plan.model import Plan
from network.model import Flow, NetworkPlan, ServiceEndpoint
from network.ports import PortRange
from tests.conftest import Golden


def endpoint(network: NetworkPlan, name: str) -> ServiceEndpoint:
    return next(e for e in network.endpoints if e.name == name)


def prefixes(network: NetworkPlan, name: str, member: str) -> list[str]:
    return [str(prefix) for prefix in application.source_prefixes(network, endpoint(network, name), member)]


def with_flow(network: NetworkPlan, source: str, target: str) -> NetworkPlan:
    flow = Flow(source=source, target=target, allow=(PortRange("tcp", 8443, 8443),), kind="specific", reason="試験")
    return dataclasses.replace(network, flows=(*network.flows, flow))


def test_rendered_files_are_as_reviewed(plan: Plan, golden: Golden) -> None:
    texts = {
        f"{node.name}{path}": text for node in plan.nodes for path, text in files.render_node(plan, node.name).items()
    }
    golden.check_all("configure", texts)


def test_a_member_is_its_offices_of_the_services_zone(plan: Plan) -> None:
    assert prefixes(plan.network, "juki", "m1") == ["10.1.0.0/20"]
    assert prefixes(plan.network, "juki", "m2") == ["10.2.0.0/20"]


def test_another_service_acts_for_the_member_whose_own_system_it_calls(plan: Plan) -> None:
    callers = [
        f"{database.address_of(plan.network, name, endpoint(plan.network, 'juki'))}/32"
        for name in ("juki-ap1", "juki-ap2")
    ]
    assert prefixes(plan.network, "zaimu-m1", "m1") == ["10.1.16.0/20", *callers]
    assert prefixes(plan.network, "zaimu-m2", "m2") == ["10.2.16.0/20", *callers]


def test_a_service_of_one_member_acts_for_it_on_a_shared_system(plan: Plan) -> None:
    network = with_flow(plan.network, "service:zaimu", "service:juki")
    caller = f"{database.address_of(network, 'zaimu-m1-ap1', endpoint(network, 'zaimu-m1'))}/32"
    assert caller in prefixes(network, "juki", "m1")
    assert caller not in prefixes(network, "juki", "m2")


def test_a_service_of_several_members_is_nobody_on_a_shared_system(plan: Plan) -> None:
    other = dataclasses.replace(endpoint(plan.network, "juki"), service="zei")
    network = with_flow(
        dataclasses.replace(plan.network, endpoints=(*plan.network.endpoints, other)),
        "service:juki@each_member",
        "service:zei",
    )
    assert [str(p) for p in application.source_prefixes(network, other, "m1")] == []


def test_an_office_that_may_enter_another_members_system_works_on_that_members_data(plan: Plan) -> None:
    network = with_flow(plan.network, "office:m2/lgwan", "service:zaimu@m1")
    assert "10.2.16.0/20" in prefixes(network, "zaimu-m1", "m1")


def test_every_node_of_the_entry_may_speak_for_a_client_and_nobody_else(plan: Plan) -> None:
    config = json.loads(files.render_node(plan, "juki-ap1")["/etc/kumiai/application/juki.json"])
    juki = endpoint(plan.network, "juki")
    vip = plan.network.vip_by_name[juki.vip].address.ip
    own = [database.address_of(plan.network, name, juki) for name in juki.application]
    assert config["proxies"] == [str(address) for address in sorted([vip, *own])]


@pytest.mark.parametrize(("node", "serves"), [("juki-db1", True), ("juki-ap1", False), ("zaimu-m1-ap1", True)])
def test_a_service_without_database_nodes_keeps_its_data_on_its_first_application_node(
    plan: Plan, node: str, serves: bool
) -> None:
    assert bool(database.render_node(plan, node)) is serves


def test_only_a_services_application_nodes_enter_its_databases_each_by_its_own_name(plan: Plan) -> None:
    lines = files.render_node(plan, "juki-db1")["/etc/kumiai/database/pg_hba.conf"].splitlines()
    juki = endpoint(plan.network, "juki")
    expected = {
        f'host "juki_{member}" "juki_{member}" {database.address_of(plan.network, node, juki)}/32 scram-sha-256'
        for member in ("m1", "m2")
        for node in ("juki-ap1", "juki-ap2")
    }
    assert {line for line in lines if not line.startswith("#")} == {"local all postgres peer", *expected}


def test_a_gateway_gets_neither(plan: Plan) -> None:
    gateway = next(node.name for node in plan.nodes if node.role == "gateway")
    assert files.render_node(plan, gateway) == {}


def test_a_verifier_is_what_postgresql_computes() -> None:
    # From RFC 7677, 3: user "user", password "pencil", this salt, 4096 iterations.
    verifier = database.scram_verifier("role", "pencil")
    assert verifier == database.scram_verifier("role", "pencil")
    assert verifier != database.scram_verifier("other", "pencil"), "each role has its own salt"
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert "pencil" not in verifier

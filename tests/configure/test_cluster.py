"""What servers, voters and users of a replicated database are told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import yaml

from infra.configure import cluster, database, files, inventory
from infra.configure.node_secrets import node_secrets
from infra.plan.model import Plan
from network import flows, timers
from network.model import Cluster
from tests.configure import replicated
from tests.conftest import Golden

PLAN, SECRETS = replicated.PLAN, replicated.SECRETS
NETWORK = PLAN.network


def juki() -> Cluster:
    return NETWORK.clusters[0]


def address(node: str) -> str:
    return str(NETWORK.node_by_name[node].interface(NETWORK.cluster_by_node[node].segment).address.ip)


def patroni(node: str, plan: Plan = PLAN) -> Any:
    return yaml.safe_load(files.render_node(plan, node)[cluster.PATRONI_PATH])


def test_rendered_files_are_as_reviewed(golden: Golden) -> None:
    nodes = ("juki-db1", "juki-db2", "juki-ap1", "juki-ap2", "zaimu-m1-wt1", "zaimu-m1-db1")
    texts = {f"{node}{path}": text for node in nodes for path, text in files.render_node(PLAN, node).items()}
    golden.check_all("cluster", texts)


def test_three_vote_two_servers_and_a_witness_or_else_an_application_node() -> None:
    found = {one.name: (one.databases, one.voters) for one in NETWORK.clusters}
    assert found["juki"] == (("juki-db1", "juki-db2"), ("juki-db1", "juki-db2", "juki-ap1"))
    assert found["zaimu-m1"] == (
        ("zaimu-m1-db1", "zaimu-m1-db2"),
        ("zaimu-m1-db1", "zaimu-m1-db2", "zaimu-m1-wt1"),
    )
    assert set(found) == {"juki", "zaimu-m1", "zaimu-m2"}, (
        "what runs on another service's nodes has no cluster of its own"
    )
    assert [e.name for e in NETWORK.clusters[1].endpoints] == ["zaimu-m1", "jinji-m1"]


def test_voters_are_on_hosts_of_their_own() -> None:
    for one in NETWORK.clusters:
        assert len({PLAN.node_by_name[name].host for name in one.voters}) == 3


@pytest.mark.parametrize("profile", list(timers.PROFILES.values()), ids=list(timers.PROFILES))
def test_timers_are_those_that_recovery_is_computed_from_and_patroni_accepts_them(profile: timers.Timers) -> None:
    plan = dataclasses.replace(PLAN, network=dataclasses.replace(NETWORK, timers=profile))
    document, settings = patroni("juki-db1", plan), cluster.settings(plan, juki())
    assert document["bootstrap"]["dcs"] == settings
    assert settings["loop_wait"] + 2 * settings["retry_timeout"] <= settings["ttl"]
    assert settings["ttl"] >= 20
    # The watchdog fires before the lock ends, and not before the next look of Patroni.
    watchdog_s = settings["ttl"] - document["watchdog"]["safety_margin"]
    assert settings["loop_wait"] < watchdog_s < settings["ttl"]
    # A server that stands still is out of HAProxy's hands before another one takes over.
    database_timers = profile.database
    cut_s = database_timers.check_fall * (database_timers.check_s + database_timers.check_timeout_s)
    assert cut_s < settings["ttl"]
    voter = files.render_node(plan, "juki-ap1")[cluster.VOTER_PATH]
    assert f"ETCD_ELECTION_TIMEOUT={database_timers.voter_election_ms}\n" in voter
    assert database_timers.voter_election_ms >= 5 * database_timers.voter_heartbeat_ms, "etcd demands it"


def test_standard_timers_are_the_designed_ones() -> None:
    settings = cluster.settings(PLAN, juki())
    told = {key: settings[key] for key in ("ttl", "loop_wait", "retry_timeout", "primary_start_timeout")}
    assert told == {"ttl": 20, "loop_wait": 3, "retry_timeout": 8, "primary_start_timeout": 0}
    assert (settings["synchronous_mode"], settings["synchronous_mode_strict"]) == (True, False)
    assert settings["failsafe_mode"] is True
    parameters = settings["postgresql"]["parameters"]
    assert (parameters["wal_sender_timeout"], parameters["wal_receiver_timeout"]) == ("4s", "4s")
    assert patroni("juki-db2")["watchdog"]["mode"] == "required"


def test_one_server_alone_may_begin_and_sends_changed_settings() -> None:
    assert "bootstrap" in patroni("juki-db1")
    assert "bootstrap" not in patroni("juki-db2")
    assert json.loads(files.render_node(PLAN, "juki-db1")[cluster.SETTINGS_PATH]) == cluster.settings(PLAN, juki())
    assert cluster.SETTINGS_PATH not in files.render_node(PLAN, "juki-db2")


def test_who_gets_in_servers_by_certificate_applications_by_password_and_nobody_unencrypted() -> None:
    servers = [f"{kind} {address(node)}/32 cert map=cluster" for node in juki().databases
               for kind in ("hostssl replication replicator", "hostssl postgres rewind")]  # fmt: skip
    members = [
        f'hostssl "juki_{member}" "juki_{member}" {address(node)}/32 scram-sha-256'
        for member in ("m1", "m2")
        for node in ("juki-ap1", "juki-ap2")
    ]
    assert sorted(patroni("juki-db2")["postgresql"]["pg_hba"]) == sorted(
        ["local all postgres peer", *servers, *members]
    )
    assert patroni("juki-db2")["postgresql"]["pg_ident"] == [
        f"cluster {node} {role}" for role in ("replicator", "rewind") for node in ("juki-db1", "juki-db2")
    ]


def test_services_on_the_same_nodes_have_their_databases_in_the_same_servers() -> None:
    access = patroni("zaimu-m1-db1")["postgresql"]["pg_hba"]
    assert len([line for line in access if line.startswith('hostssl "jinji_m1"')]) == 1
    assert {d.name for d in database.databases_on(NETWORK, "zaimu-m1-db2")} == {"zaimu_m1", "jinji_m1"}


def test_an_application_finds_its_database_on_its_own_node_by_the_name_in_the_certificate() -> None:
    told = json.loads(files.render_node(PLAN, "juki-ap2")["/etc/kumiai/application/juki.json"])
    found = told["members"][0]["database"]
    assert {key: found[key] for key in ("host", "hostaddr", "port", "sslmode")} == {
        "host": "juki-database",
        "hostaddr": "127.0.0.1",
        "port": 5432,
        "sslmode": "verify-full",
    }
    assert found["sslrootcert"] in node_secrets(PLAN, SECRETS, "juki-ap2")["load_balancer_authorities"]  # type: ignore[operator]


def test_keys_go_to_their_own_node_only() -> None:
    def texts(node: str) -> str:
        return json.dumps(node_secrets(PLAN, SECRETS, node))

    for name, keys in SECRETS.clusters.items():
        for owner, pair in keys.nodes.items():
            key = json.dumps(pair.key_pem)[1:-1]
            assert [node.name for node in PLAN.nodes if key in texts(node.name)] == [owner]
        assert not [node.name for node in PLAN.nodes if json.dumps(keys.authority.key_pem)[1:-1] in texts(node.name)], (
            name
        )


def test_the_inventory_names_voters_and_servers() -> None:
    found = inventory.plan_inventory(PLAN)
    assert {"juki-db1", "juki-db2", "juki-ap1", "zaimu-m2-wt1"} <= set(found.groups["runs_database"])
    assert "juki-ap2" not in found.groups["runs_database"]
    assert "zaimu-m1-ap1" in found.groups["runs_load_balancer"]
    voter = found.hosts["zaimu-m1-wt1"]
    assert voter["database_files"] == {}
    assert voter["database_voters"] == ["zaimu-m1-db1", "zaimu-m1-db2", "zaimu-m1-wt1"]
    # It has no data volume: its vote is made anew with its root disk.
    assert voter["database_voter_data"] == "/var/lib/kumiai-etcd"
    assert "ETCD_DATA_DIR=/var/lib/kumiai-etcd\n" in voter["database_voter_files"][cluster.VOTER_PATH]  # type: ignore[index]


def test_firewalls_let_in_what_the_cluster_needs_and_nobody_else() -> None:
    resolution = flows.resolve(NETWORK)

    def into(node: str) -> set[tuple[str, str]]:
        names = {address(n): n for n in NETWORK.cluster_by_node if NETWORK.cluster_by_node[n] is juki()}
        return {
            (names[str(accept.source.network_address)], str(accept.ports))
            for accept in resolution.into(NETWORK.node_by_name[node])
            if str(accept.source.network_address) in names and accept.ports.first != 8080
        }

    users = {("juki-ap1", "tcp/5432"), ("juki-ap2", "tcp/5432"), ("juki-ap1", "tcp/8008"), ("juki-ap2", "tcp/8008")}
    votes = {("juki-ap1", "tcp/2379"), ("juki-ap1", "tcp/2380")}
    partner = {("juki-db2", f"tcp/{port}") for port in (2379, 2380, 5432, 8008)}
    assert into("juki-db1") == users | votes | partner
    assert into("juki-ap1") == {(node, f"tcp/{port}") for node in ("juki-db1", "juki-db2") for port in (2379, 2380)}
    assert into("juki-ap2") == set()

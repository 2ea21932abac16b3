"""A replicated database on one node: its vote (etcd), and PostgreSQL under Patroni.

Files without secrets; keys and certificates travel apart. docs/decisions/0008-certificates-of-databases.md tells who
trusts whom, docs/ARCHITECTURE.md what the settings are for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from infra.configure import database
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from network import flows
from network.model import Cluster, NetworkPlan

VOTER = "/etc/kumiai/etcd"
VOTER_TLS = f"{VOTER}/tls"
DATABASE_TLS = f"{database.DIRECTORY}/tls"
VOTER_PATH = f"{VOTER}/etcd.env"
PATRONI_PATH = f"{database.DIRECTORY}/patroni.yml"
SETTINGS_PATH = f"{database.DIRECTORY}/cluster.json"
"""What all servers of the cluster must agree on: Patroni keeps it in etcd, and a changed file is sent there."""
PROGRAMS = "/usr/lib/postgresql/17/bin"
REPLICATION, REWIND = "replicator", "rewind"
"""Roles by which one server of the cluster enters another one; each only with a certificate, none has a password."""
IDENTITY = "cluster"
"""Name of the map from certificates to these roles."""
WATCHDOG = "/dev/watchdog"


def of(network: NetworkPlan, node: str) -> Cluster | None:
    """Return the cluster that ``node`` keeps data of or votes in."""
    cluster = network.cluster_by_node.get(node)
    return cluster if cluster is not None and node in {*cluster.databases, *cluster.voters} else None


def votes(network: NetworkPlan, node: str) -> bool:
    """Say whether ``node`` votes on which server is the primary."""
    cluster = of(network, node)
    return cluster is not None and node in cluster.voters


def render_node(plan: Plan, node: str) -> dict[str, str]:
    """Return the files of ``node``; empty when it is part of no cluster."""
    cluster = of(plan.network, node)
    if cluster is None:
        return {}
    files = {}
    if node in cluster.voters:
        files[VOTER_PATH] = _voter(plan, cluster, node)
    if node in cluster.databases:
        files[PATRONI_PATH] = _patroni(plan, cluster, node)
    if begins(cluster, node):
        files[SETTINGS_PATH] = json.dumps(settings(plan, cluster), indent=1) + "\n"
    return files


def begins(cluster: Cluster, node: str) -> bool:
    """Say whether ``node`` is the one server that may begin a new cluster, and that sends changed settings to it."""
    return node == cluster.databases[0]


def voter_data(plan: Plan, node: str) -> str:
    """Return where a voter writes; without a data volume it joins anew when its root disk is made anew."""
    return "/srv/etcd" if plan.node_by_name[node].stateful else "/var/lib/kumiai-etcd"


def certificates(network: NetworkPlan, secrets: Secrets, node: str, folder: str) -> dict[str, str]:
    """Return the certificates and the key of ``node`` as files of ``folder``; empty when it is part of no cluster."""
    cluster = of(network, node)
    wanted = cluster is not None and node in (cluster.voters if folder == VOTER_TLS else cluster.databases)
    if cluster is None or not wanted:
        return {}
    keys = secrets.clusters[cluster.name]
    return {
        f"{folder}/authority.pem": keys.authority.certificate_pem,
        f"{folder}/node.pem": keys.nodes[node].certificate_pem,
        f"{folder}/node.key": keys.nodes[node].key_pem,
    }


def settings(plan: Plan, cluster: Cluster) -> dict[str, Any]:
    """Return what Patroni keeps for all servers alike."""
    timers = plan.network.timers.database
    replication_timeout = f"{timers.replication_timeout_s}s"
    disk_gib = min(plan.node_by_name[name].data_gib for name in cluster.databases)
    return {
        "ttl": timers.ttl_s,
        "loop_wait": timers.loop_wait_s,
        "retry_timeout": timers.retry_timeout_s,
        # A crashed server is replaced at once: it would have to recover before it serves again.
        "primary_start_timeout": 0,
        # A commit is on two machines before it is acknowledged, as long as there are two (one fault loses nothing).
        "synchronous_mode": True,
        "synchronous_mode_strict": False,
        # When all voters are silent, the primary goes on as long as it reaches every other server.
        "failsafe_mode": True,
        "postgresql": {
            "use_slots": True,
            "use_pg_rewind": True,
            # A server that cannot be wound back is cloned anew; what it alone has was never acknowledged.
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
            "parameters": {
                "max_connections": database.connections(cluster.endpoints),
                "max_wal_senders": 10,
                "max_replication_slots": 10,
                "wal_level": "replica",
                "wal_log_hints": "on",
                "hot_standby": "on",
                "wal_sender_timeout": replication_timeout,
                "wal_receiver_timeout": replication_timeout,
                # A standby that stays away must not fill the primary's disk.
                "max_slot_wal_keep_size": f"{max(disk_gib * 1024 // 4, 256)}MB",
            },
        },
    }


def _addresses(plan: Plan, cluster: Cluster, nodes: Iterable[str]) -> dict[str, str]:
    """Return node → address, in the given order."""
    by_name = plan.network.node_by_name
    return {node: str(by_name[node].interface(cluster.segment).address.ip) for node in nodes}


def _voter(plan: Plan, cluster: Cluster, node: str) -> str:
    timers = plan.network.timers.database
    voters = _addresses(plan, cluster, cluster.voters)
    asked, peer = flows.VOTING.first, flows.VOTERS.first
    values = {
        "NAME": node,
        "DATA_DIR": voter_data(plan, node),
        "INITIAL_CLUSTER": ",".join(f"{name}=https://{address}:{peer}" for name, address in voters.items()),
        "INITIAL_CLUSTER_TOKEN": f"kumiai-{plan.stack}-{cluster.name}",
        "INITIAL_ADVERTISE_PEER_URLS": f"https://{voters[node]}:{peer}",
        "LISTEN_PEER_URLS": f"https://{voters[node]}:{peer}",
        "ADVERTISE_CLIENT_URLS": f"https://{voters[node]}:{asked}",
        "LISTEN_CLIENT_URLS": f"https://{voters[node]}:{asked}",
        "HEARTBEAT_INTERVAL": timers.voter_heartbeat_ms,
        "ELECTION_TIMEOUT": timers.voter_election_ms,
        # A voter that comes back asks before it calls for an election that would interrupt the others.
        "PRE_VOTE": "true",
        "AUTO_COMPACTION_MODE": "periodic",
        "AUTO_COMPACTION_RETENTION": "1h",
        "SNAPSHOT_COUNT": 10000,
        "LOGGER": "zap",
        "LOG_OUTPUTS": "stderr",
        "LOG_LEVEL": "warn",
        **_voter_tls(""),
        **_voter_tls("PEER_"),
    }
    lines = [f"# Vote of {node} in {cluster.server_name}. Generated from the plan."]
    return "\n".join([*lines, *(f"ETCD_{name}={value}" for name, value in values.items())]) + "\n"


def _voter_tls(prefix: str) -> dict[str, str]:
    return {
        f"{prefix}TRUSTED_CA_FILE": f"{VOTER_TLS}/authority.pem",
        f"{prefix}CERT_FILE": f"{VOTER_TLS}/node.pem",
        f"{prefix}KEY_FILE": f"{VOTER_TLS}/node.key",
        f"{prefix}CLIENT_CERT_AUTH": "true",
    }


def _patroni(plan: Plan, cluster: Cluster, node: str) -> str:
    timers = plan.network.timers.database
    servers = _addresses(plan, cluster, cluster.databases)
    # Its own vote first, and no other unless that fails: a Patroni before 4.1 takes half a minute to notice that the
    # voter it listens to is gone (it cannot shut its TLS sockets down): longer than the lock of a lost primary lasts.
    voters = _addresses(plan, cluster, sorted(cluster.voters, key=lambda voter: voter != node))
    authority, certificate, key = (f"{DATABASE_TLS}/{name}" for name in ("authority.pem", "node.pem", "node.key"))
    entering = {"sslmode": "verify-full", "sslrootcert": authority, "sslcert": certificate, "sslkey": key}
    here = f"{servers[node]}:{flows.PATRONI.first}"
    document: dict[str, Any] = {
        "scope": cluster.name,
        "namespace": "/kumiai/",
        "name": node,
        "restapi": {
            "listen": here,
            "connect_address": here,
            "certfile": certificate,
            "keyfile": key,
            "cafile": authority,
            # Who asks for the primary needs no certificate; who wants something done needs one, and to be a server.
            "verify_client": "optional",
            "allowlist": list(servers.values()),
        },
        "ctl": {"cacert": authority, "certfile": certificate, "keyfile": key},
        "etcd3": {
            "hosts": [f"{address}:{flows.VOTING.first}" for address in voters.values()],
            "use_proxies": True,
            "protocol": "https",
            "cacert": authority,
            "cert": certificate,
            "key": key,
        },
        "postgresql": {
            "listen": f"{servers[node]}:{flows.POSTGRESQL.first}",
            "connect_address": f"{servers[node]}:{flows.POSTGRESQL.first}",
            "data_dir": database.DATA,
            "bin_dir": PROGRAMS,
            "pgpass": "/run/postgresql/pgpass",
            "use_unix_socket": True,
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": REPLICATION, **entering},
                "rewind": {"username": REWIND, **entering},
            },
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {
                **database.settings(plan, node),
                "ssl": "on",
                "ssl_ca_file": authority,
                "ssl_cert_file": certificate,
                "ssl_key_file": key,
                "ssl_min_protocol_version": "TLSv1.2",
            },
            "pg_hba": _access(plan, cluster, servers),
            "pg_ident": [f"{IDENTITY} {name} {role}" for role in (REPLICATION, REWIND) for name in cluster.databases],
        },
        "watchdog": {"mode": "required", "device": WATCHDOG, "safety_margin": timers.watchdog_margin_s},
    }
    if begins(cluster, node):
        # The other ones copy what it has.
        document["bootstrap"] = {
            "dcs": settings(plan, cluster),
            "initdb": [
                {"encoding": "UTF8"},
                {"locale": "C.UTF-8"},
                {"auth-local": "peer"},
                {"auth-host": "scram-sha-256"},
                "data-checksums",
            ],
        }
    head = f"# {node}, one server of {cluster.server_name}. Generated from the plan.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _access(plan: Plan, cluster: Cluster, servers: Mapping[str, str]) -> list[str]:
    """Return who gets in: the servers by certificate, each application by its member's password, nobody unencrypted."""
    lines = ["local all postgres peer"]
    for address in servers.values():
        lines.append(f"hostssl replication {REPLICATION} {address}/32 cert map={IDENTITY}")
        lines.append(f"hostssl postgres {REWIND} {address}/32 cert map={IDENTITY}")
    return [*lines, *database.members(plan.network, cluster.endpoints, "hostssl")]

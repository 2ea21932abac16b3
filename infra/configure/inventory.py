"""The Ansible inventory of a plan: groups, and what the roles install on each node. Pure, and without secrets."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from infra.configure import application, cluster, database, files
from infra.plan.model import Node, Plan
from network.render import haproxy, render_all

Files = Mapping[str, str]
"""Absolute path in the node → text."""
HostVars = dict[str, object]

ACCOUNT = "kumiai"
"""The one account of every machine."""
_OF_ENTRIES = ("/etc/haproxy/", "/etc/keepalived/")
_OF_GATEWAYS = (
    *("/etc/conntrackd/", "/etc/frr/", "/etc/keepalived/", "/etc/strongswan.d/", "/etc/swanctl/"),
    "/etc/systemd/networkd.conf.d/",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Who is configured, and with what."""

    groups: Mapping[str, Sequence[str]]
    """Group → nodes; ``runs_*`` decide which roles a node gets, the others are for selecting by hand."""
    hosts: Mapping[str, HostVars]

    def document(
        self, private_dir: str, ssh_args: Mapping[str, str], for_all: Mapping[str, object]
    ) -> dict[str, object]:
        """Return what a dynamic inventory prints for ``--list``.

        ``private_dir`` holds the station's key, the pinned host keys and ``secrets/<node>.json``; ``ssh_args`` are the
        further options by which each node is reached, ``for_all`` the variables of every node.
        """
        hosts = {
            name: {
                **variables,
                **for_all,
                "ansible_ssh_common_args": ssh_args[name],
                "ansible_ssh_private_key_file": f"{private_dir}/id_{variables['kumiai_site']}",
                "kumiai_secrets_file": f"{private_dir}/secrets/{name}.json",
            }
            for name, variables in self.hosts.items()
        }
        groups: dict[str, object] = {name: {"hosts": list(nodes)} for name, nodes in self.groups.items()}
        return {"_meta": {"hostvars": hosts}, "all": {"children": sorted(self.groups)}, **groups}


def plan_inventory(plan: Plan) -> Inventory:
    """Return the inventory of ``plan``; the texts in it are the rendered files, byte by byte."""
    rendered = render_all(plan.network)
    groups: dict[str, list[str]] = collections.defaultdict(list)
    hosts: dict[str, HostVars] = {}
    for node in plan.nodes:
        hosts[node.name] = _host_vars(plan, node, {**rendered[node.name], **files.render_node(plan, node.name)})
        for group in _groups_of(plan, node):
            groups[group].append(node.name)
    return Inventory(groups={name: tuple(groups[name]) for name in sorted(groups)}, hosts=hosts)


def _groups_of(plan: Plan, node: Node) -> list[str]:
    kinds = {"role": [node.role], "host": [node.host], "site": [node.site], "member": node.members}
    kinds["zone"] = [node.zone] if node.zone else []
    kinds["service"] = [node.service] if node.service else []
    # Ansible's group names have no hyphen; ids have no underscore, so no two of them meet.
    found = [f"{kind}_{value}".replace("-", "_") for kind, values in kinds.items() for value in values]
    found += [f"runs_{role}" for role, variables in _ROLES.items() if variables(plan, node.name)]
    return found


def _host_vars(plan: Plan, node: Node, rendered: Files) -> HostVars:
    is_gateway = node.role == "gateway"
    gateway = {p: t for p, t in rendered.items() if is_gateway and p.startswith(_OF_GATEWAYS)}
    load_balancer = {p: t for p, t in rendered.items() if not is_gateway and p.startswith(_OF_ENTRIES)}
    applications = {p: t for p, t in rendered.items() if p.startswith(application.DIRECTORY + "/")}
    databases = {p: t for p, t in rendered.items() if p.startswith(database.DIRECTORY + "/")}
    voter = {p: t for p, t in rendered.items() if p.startswith(cluster.VOTER + "/")}
    elsewhere = {*gateway, *load_balancer, *applications, *databases, *voter}
    variables: HostVars = {
        "ansible_host": str(plan.network.node_by_name[node.name].management.address.ip),
        "ansible_user": ACCOUNT,
        "ansible_become": True,
        "kumiai_site": node.site,
        "base_files": {path: text for path, text in rendered.items() if path not in elsewhere},
        "base_data_volume": node.stateful,
        "base_time_servers": [str(plan.network.stations[node.site].ip)],
        "base_log_activity_months": plan.log_activity_months,
        "base_log_security_years": plan.log_security_years,
    }
    if is_gateway:
        variables["gateway_files"] = gateway
    if load_balancer:
        variables["load_balancer_files"] = load_balancer
    if applications:
        served = application.served_by(plan.network, node.name)
        variables["application_files"] = applications
        variables["application_endpoints"] = [endpoint.name for endpoint in served]
    if databases or voter:
        variables["database_files"] = databases
        variables["database_cards"] = _database_cards(plan, node.name)
    part_of = cluster.of(plan.network, node.name)
    if voter and part_of is not None:
        variables["database_voter_files"] = voter
        variables["database_voter_data"] = cluster.voter_data(plan, node.name)
        variables["database_voters"] = list(part_of.voters)
    return variables


def _database_cards(plan: Plan, node: str) -> list[str]:
    segments = {endpoint.segment for endpoint in database.kept_by(plan.network, node)}
    part_of = cluster.of(plan.network, node)
    segments |= {part_of.segment} if part_of is not None else set()
    return sorted(plan.network.node_by_name[node].interface(segment).name for segment in segments)


def _runs_database(plan: Plan, node: str) -> bool:
    return bool(database.kept_by(plan.network, node)) or cluster.of(plan.network, node) is not None


def _runs_load_balancer(plan: Plan, node: str) -> bool:
    is_entry = any(node in endpoint.entry for endpoint in plan.network.endpoints)
    return is_entry or haproxy.followed(plan.network, plan.network.node_by_name[node]) is not None


_ROLES = {
    "application": lambda plan, node: bool(application.served_by(plan.network, node)),
    "database": _runs_database,
    "gateway": lambda plan, node: plan.node_by_name[node].role == "gateway",
    "load_balancer": _runs_load_balancer,
}

"""What of the stack's secrets one node gets: its own and no others."""

from __future__ import annotations

import json

from infra.configure import application, cluster, database
from infra.lab import passwords, underlay
from infra.plan.model import Plan
from infra.secrets import agreed
from infra.secrets.generate import password_name
from infra.secrets.model import Secrets
from network import flows, gateways
from network.errors import InputError
from network.render import haproxy, ipsec


def node_secrets(plan: Plan, secrets: Secrets, node: str) -> dict[str, object]:
    """Return the values of ``kumiai_secrets`` for ``node``, as the roles name them."""
    try:
        return {
            "application_password_files": _password_files(plan, secrets, node),
            "database_roles": [
                {
                    "database": one.name,
                    "role": one.name,
                    "verifier": database.scram_verifier(one.name, secrets.passwords[one.password_name]),
                }
                for one in database.databases_on(plan.network, node)
            ],
            "database_certificates": cluster.certificates(plan.network, secrets, node, cluster.DATABASE_TLS),
            "database_voter_certificates": cluster.certificates(plan.network, secrets, node, cluster.VOTER_TLS),
            "gateway_bgp_passwords": _bgp_passwords(plan, secrets, node),
            "gateway_tunnel_keys": _tunnel_keys(plan, secrets, node),
            "load_balancer_authorities": _authorities(plan, secrets, node),
            "load_balancer_pems": _pems(plan, secrets, node),
        }
    except KeyError as missing:
        raise InputError(
            f"{node}: the stack has no secret {missing}; run `kumiai up {plan.stack}`, which makes it"
        ) from None


def _bgp_passwords(plan: Plan, secrets: Secrets, node: str) -> dict[str, str]:
    """Return carrier's address → password of its session; they come from the carrier, so nothing here makes them."""
    found = {}
    machine = plan.network.node_by_name[node]
    for hand in gateways.attached(plan.network, machine) if machine.role == "gateway" else ():
        if hand.handoff.md5 is not None:
            what = f"the password of the BGP session on line {hand.line.name}"
            found[str(hand.session[1])] = _agreed(plan, secrets, node, agreed.bgp_password(hand.handoff.md5), what)
    return found


def _tunnel_keys(plan: Plan, secrets: Secrets, node: str) -> list[dict[str, str]]:
    """Return the key of each tunnel; the two ends agree on it, so nothing here makes one."""
    return [
        {
            "name": tunnel.connection,
            "own": str(tunnel.own),
            "far": str(tunnel.peer),
            "key": _agreed(
                plan, secrets, node, agreed.tunnel_key(tunnel.line), f"the key of the tunnel on line {tunnel.line}"
            ),
        }
        for tunnel in ipsec.tunnels(plan.network, plan.network.node_by_name[node])
    ]


def _agreed(plan: Plan, secrets: Secrets, node: str, name: str, what: str) -> str:
    """Return a password that somebody else gave us. Simulated carriers have known ones, unless a person set another."""
    found = secrets.passwords.get(name)
    if found is None and plan.network.node_by_name[node].site in underlay.lab_sites(plan):
        return passwords.of(name)
    if found is None:
        raise InputError(
            f"{node}: the stack has no secret {name}, {what}; ask the carrier (or the far end) for it, then run: "
            f"kumiai secret set {plan.stack} {name}"
        )
    return found


def _password_files(plan: Plan, secrets: Secrets, node: str) -> dict[str, str]:
    found = {}
    for endpoint in application.served_by(plan.network, node):
        passwords = {m: secrets.passwords[password_name(endpoint, m)] for m in endpoint.participants}
        found[application.password_path(endpoint)] = json.dumps(passwords, indent=1) + "\n"
    return found


def _authorities(plan: Plan, secrets: Secrets, node: str) -> dict[str, str]:
    """Return the certificate by which the node knows the servers of the database that it uses; it is no secret."""
    used = plan.network.cluster_by_node.get(node)
    if used is None or node not in used.applications:
        return {}
    return {haproxy.authority_path(used): secrets.clusters[used.name].authority.certificate_pem}


def _pems(plan: Plan, secrets: Secrets, node: str) -> dict[str, str]:
    """Return each entry's certificate followed by its key, the order in which HAProxy reads them."""
    resolution = flows.resolve(plan.network)
    entries = [haproxy.entry(resolution, endpoint) for endpoint in plan.network.endpoints if node in endpoint.entry]
    return {
        entry.certificate: _lines(secrets.services[entry.name].certificate_pem)
        + _lines(secrets.services[entry.name].key_pem)
        for entry in entries
        if entry.tls_ports
    }


def _lines(pem: str) -> str:
    return pem.strip() + "\n"

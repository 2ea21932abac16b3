"""Makes keys, certificates and passwords. What exists already is never changed, but for what comes to its end."""

from __future__ import annotations

import datetime
import secrets as randomness
from collections.abc import Iterable
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from infra.secrets import authority
from infra.secrets.model import Certificate, KeyPair, Secrets
from network import gateways
from network.model import NetworkPlan, ServiceEndpoint

PASSWORD_BYTES = 24
"""192 bits, 32 characters in a URL-safe alphabet that needs no quoting anywhere."""


def complete(network: NetworkPlan, site: str, known: Secrets | None, now: datetime.datetime) -> Secrets:
    """Return ``known`` and what the plan of ``site`` needs beside it; the same object when nothing is missing."""
    nodes = [node.name for node in network.nodes if node.site == site]
    endpoints = [endpoint for endpoint in network.endpoints if endpoint.site == site]
    if known is None:
        known = Secrets(
            station=ssh_key_pair(f"kumiai@{network.stack}.{site}"),
            hosts={},
            ca=authority.authority(f"Kumiai {network.stack} {site}", now),
            services={},
            passwords={},
        )
    missing_hosts = [name for name in nodes if name not in known.hosts]
    missing_services = [
        endpoint
        for endpoint in endpoints
        if endpoint.name not in known.services or not _covers(known.services[endpoint.name], network, endpoint)
    ]
    missing_passwords = [name for name in password_names(endpoints) if name not in known.passwords]
    clusters = authority.complete_clusters(network, site, known.clusters, now)
    if not (missing_hosts or missing_services or missing_passwords) and clusters is known.clusters:
        return known
    return Secrets(
        station=known.station,
        hosts={**known.hosts, **{name: ssh_key_pair(name) for name in missing_hosts}},
        ca=known.ca,
        services={
            **known.services,
            **{endpoint.name: service_certificate(network, endpoint, known.ca, now) for endpoint in missing_services},
        },
        passwords={
            **known.passwords,
            **{name: randomness.token_urlsafe(PASSWORD_BYTES) for name in missing_passwords},
        },
        clusters=clusters,
    )


def password_names(endpoints: Iterable[ServiceEndpoint]) -> tuple[str, ...]:
    """Return the names of the passwords: one for each database, of the role that the application enters it by."""
    names = (password_name(endpoint, member) for endpoint in endpoints for member in endpoint.participants)
    return tuple(dict.fromkeys(names))


def password_name(endpoint: ServiceEndpoint, member: str) -> str:
    """Return the name of the password to the database with the data of ``member``."""
    return f"database/{endpoint.name}" if endpoint.common_data else f"database/{endpoint.name}/{member}"


def ssh_key_pair(comment: str) -> KeyPair:
    """Return a new ed25519 key pair in OpenSSH format."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private=private.decode(), public=f"{public.decode()} {comment}")


def service_certificate(
    network: NetworkPlan, endpoint: ServiceEndpoint, ca: Certificate, now: datetime.datetime
) -> Certificate:
    """Return a new certificate for the name of ``endpoint`` and every address it is reached at, signed by ``ca``."""
    return authority.issue(
        ca,
        names=[endpoint.name],
        addresses=_addresses(network, endpoint),
        uses=[authority.SERVER],
        now=now,
        validity=authority.SERVICE,
    )


def _addresses(network: NetworkPlan, endpoint: ServiceEndpoint) -> tuple[IPv4Address, ...]:
    """Return the endpoint's own address, then those at which translations present it to offices, sorted."""
    own = network.vip_by_name[endpoint.vip].address.ip
    found = gateways.addresses_of(network, endpoint).items()
    return (own, *sorted({address for (member, _), address in found if member in endpoint.participants} - {own}))


def _covers(certificate: Certificate, network: NetworkPlan, endpoint: ServiceEndpoint) -> bool:
    """Say whether a certificate names every address that the endpoint is reached at."""
    names = x509.load_pem_x509_certificate(certificate.certificate_pem.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return set(_addresses(network, endpoint)) <= set(names.value.get_values_for_type(x509.IPAddress))

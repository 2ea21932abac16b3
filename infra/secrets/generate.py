"""Makes keys, certificates and passwords. What exists already is never changed."""

from __future__ import annotations

import datetime
import secrets as randomness
from collections.abc import Iterable
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.secrets.model import Certificate, KeyPair, Secrets
from network import gateways
from network.model import NetworkPlan, ServiceEndpoint

CA_YEARS = 20
SERVICE_YEARS = 5
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
            ca=authority(f"Kumiai {network.stack} {site}", now),
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
    if not (missing_hosts or missing_services or missing_passwords):
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


def authority(name: str, now: datetime.datetime) -> Certificate:
    """Return a new certificate authority that signs the certificates of services and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(subject, subject, key.public_key(), now, CA_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _certificate(key, certificate)


def service_certificate(
    network: NetworkPlan, endpoint: ServiceEndpoint, ca: Certificate, now: datetime.datetime
) -> Certificate:
    """Return a new certificate for the name of ``endpoint`` and every address it is reached at, signed by ``ca``."""
    issuer = x509.load_pem_x509_certificate(ca.certificate_pem.encode())
    issuer_key = serialization.load_pem_private_key(ca.key_pem.encode(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve key, and this module makes no others")
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [x509.DNSName(endpoint.name), *(x509.IPAddress(address) for address in _addresses(network, endpoint))]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, endpoint.name)])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, SERVICE_YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _certificate(key, certificate)


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


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, years: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A guest's clock may lag behind until it has found its time source.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * years))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _certificate(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Certificate:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(
        key_pem=pem.decode(), certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode()
    )

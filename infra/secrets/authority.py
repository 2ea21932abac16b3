"""X.509: the authority of a site, which signs what services show to people, and one authority for each cluster.

A cluster's authority signs the certificates by which its nodes know each other, and its nodes trust no other one: what
was taken from one database's machine opens nothing at another's (docs/decisions/0008-certificates-of-databases.md).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.secrets.model import Certificate, ClusterKeys
from network.model import Cluster, NetworkPlan

AUTHORITY = datetime.timedelta(days=365 * 20)
SERVICE = datetime.timedelta(days=365 * 5)
NODE = datetime.timedelta(days=365 * 2)
RENEWED_BEFORE = datetime.timedelta(days=365)
"""A node's certificate is made anew by the first `kumiai up` in this time before its end."""
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def authority(name: str, now: datetime.datetime) -> Certificate:
    """Return a new certificate authority that signs certificates of machines and of no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(key, certificate)


def issue(
    issuer: Certificate,
    *,
    names: Sequence[str],
    addresses: Iterable[IPv4Address],
    uses: Iterable[x509.ObjectIdentifier],
    now: datetime.datetime,
    validity: datetime.timedelta,
) -> Certificate:
    """Return a new certificate for ``names`` (the first is its common name) and ``addresses``, signed by ``issuer``."""
    issuer_certificate = x509.load_pem_x509_certificate(issuer.certificate_pem.encode())
    issuer_key = serialization.load_pem_private_key(issuer.key_pem.encode(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve key, and this module makes no others")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(names[0]), issuer_certificate.subject, key.public_key(), now, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_alternatives(names, addresses), critical=False)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(key, certificate)


def complete_clusters(
    network: NetworkPlan, site: str, known: Mapping[str, ClusterKeys], now: datetime.datetime
) -> Mapping[str, ClusterKeys]:
    """Return ``known`` with what the clusters of ``site`` lack or must have anew; the same object if nothing does."""
    here = [cluster for cluster in network.clusters if network.segment_by_name[cluster.segment].site == site]
    found = {cluster.name: _complete(network, cluster, known.get(cluster.name), now) for cluster in here}
    if all(known.get(name) is keys for name, keys in found.items()):
        return known
    return {**known, **found}


def _complete(network: NetworkPlan, cluster: Cluster, known: ClusterKeys | None, now: datetime.datetime) -> ClusterKeys:
    if known is None:
        name = f"Kumiai {network.stack} {cluster.server_name}"
        known = ClusterKeys(authority=authority(name, now), nodes={})
    made: dict[str, Certificate] = {}
    for node in dict.fromkeys((*cluster.databases, *cluster.voters)):
        # Every server shows the cluster's name too: the application does not know which one it is sent to.
        names = [node, cluster.server_name] if node in cluster.databases else [node]
        addresses = [network.node_by_name[node].interface(cluster.segment).address.ip]
        if node not in known.nodes or not _serves(known.nodes[node], names, addresses, now):
            made[node] = issue(
                known.authority, names=names, addresses=addresses, uses=(SERVER, CLIENT), now=now, validity=NODE
            )
    return ClusterKeys(authority=known.authority, nodes={**known.nodes, **made}) if made else known


def _serves(pair: Certificate, names: Sequence[str], addresses: Iterable[IPv4Address], now: datetime.datetime) -> bool:
    """Say whether a certificate is long enough valid for these names and addresses."""
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem.encode())
    shown = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return shown == _alternatives(names, addresses) and certificate.not_valid_after_utc > now + RENEWED_BEFORE


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(names: Iterable[str], addresses: Iterable[IPv4Address]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([*map(x509.DNSName, names), *map(x509.IPAddress, addresses)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    validity: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A guest's clock may lag behind until it has found its time source.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pair(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Certificate:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(
        key_pem=pem.decode(), certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode()
    )

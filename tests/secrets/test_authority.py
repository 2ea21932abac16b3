"""Certificates of replicated databases: who trusts whom, what they name, and when they are made anew."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.secrets import authority, generate, model
from infra.secrets.model import Certificate
from tests.configure import replicated

NETWORK = replicated.PLAN.network
KEYS = replicated.SECRETS.clusters


def read(pair: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_pem.encode())


def test_every_server_and_voter_has_a_certificate_and_nobody_else() -> None:
    assert set(KEYS) == {"juki", "zaimu-m1", "zaimu-m2"}
    assert set(KEYS["juki"].nodes) == {"juki-db1", "juki-db2", "juki-ap1"}
    assert set(KEYS["zaimu-m1"].nodes) == {"zaimu-m1-db1", "zaimu-m1-db2", "zaimu-m1-wt1"}


def test_a_certificate_names_node_address_and_on_servers_the_database() -> None:
    shown = read(KEYS["juki"].nodes["juki-db2"])
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    segment = NETWORK.clusters[0].segment
    assert names.get_values_for_type(x509.DNSName) == ["juki-db2", "juki-database"]
    assert names.get_values_for_type(x509.IPAddress) == [NETWORK.node_by_name["juki-db2"].interface(segment).address.ip]
    # PostgreSQL and etcd tell nodes apart by this.
    assert shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "juki-db2"
    uses = shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    voter = read(KEYS["juki"].nodes["juki-ap1"])
    names = voter.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["juki-ap1"], "a voter is no server of the database"


def test_the_nodes_of_one_database_do_not_trust_those_of_another() -> None:
    for name, keys in KEYS.items():
        for pair in keys.nodes.values():
            read(pair).verify_directly_issued_by(read(keys.authority))
            for other in [replicated.SECRETS.ca, *(KEYS[o].authority for o in KEYS if o != name)]:
                with pytest.raises((ValueError, InvalidSignature)):
                    read(pair).verify_directly_issued_by(read(other))


def test_certificates_are_made_anew_a_year_before_their_end_and_authorities_stay() -> None:
    known = replicated.SECRETS
    until = replicated.NOW + authority.NODE
    early, late = until - datetime.timedelta(days=366), until - datetime.timedelta(days=364)
    assert generate.complete(NETWORK, "dc1", known, early) is known
    renewed = generate.complete(NETWORK, "dc1", known, late)
    for name, keys in renewed.clusters.items():
        assert keys.authority == KEYS[name].authority
        for node, pair in keys.nodes.items():
            assert read(pair).not_valid_after_utc > until
            assert pair.key_pem != KEYS[name].nodes[node].key_pem
    assert renewed.services == known.services
    assert renewed.passwords == known.passwords


def test_a_node_with_another_address_gets_another_certificate() -> None:
    moved = {
        **KEYS,
        "juki": model.ClusterKeys(
            authority=KEYS["juki"].authority,
            nodes={**KEYS["juki"].nodes, "juki-db1": KEYS["juki"].nodes["juki-db2"]},
        ),
    }
    again = authority.complete_clusters(NETWORK, "dc1", moved, replicated.NOW)
    assert again["juki"].nodes["juki-db1"] != KEYS["juki"].nodes["juki-db2"]
    assert again["juki"].nodes["juki-db2"] is KEYS["juki"].nodes["juki-db2"]
    assert again["zaimu-m1"] is KEYS["zaimu-m1"]


def test_values_survive_being_written_down_and_older_ones_are_read() -> None:
    text = model.dump(replicated.SECRETS)
    assert model.parse(text) == replicated.SECRETS
    none = model.dump(generate.complete(NETWORK, "nowhere", None, replicated.NOW))
    assert model.parse(none.replace('"clusters":{},', "")) == model.parse(none)
    assert "PRIVATE" not in repr(replicated.SECRETS)

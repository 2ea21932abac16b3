from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infra.secrets import generate, model
from network import errors
from network.model import Translation
from tests.resources import examples

PLAN = examples.demo_plan()
SECRETS = examples.demo_secrets()


def test_every_node_endpoint_and_member_database_has_its_own() -> None:
    assert set(SECRETS.hosts) == {node.name for node in PLAN.nodes}
    assert set(SECRETS.services) == {endpoint.name for endpoint in PLAN.network.endpoints}
    assert set(SECRETS.passwords) == {
        "database/juki/nishiki",
        "database/juki/tsuno",
        "database/zaimu-nishiki/nishiki",
        "database/zaimu-tsuno/tsuno",
    }
    keys = [pair.private for pair in (SECRETS.station, *SECRETS.hosts.values())]
    assert len(set(keys)) == len(keys)
    assert len(set(SECRETS.passwords.values())) == len(SECRETS.passwords)
    assert all(len(password) == 32 for password in SECRETS.passwords.values())


def test_what_exists_is_never_changed() -> None:
    assert generate.complete(PLAN.network, "dc1", SECRETS, examples.NOW) is SECRETS
    fewer = dataclasses.replace(
        SECRETS,
        hosts={name: pair for name, pair in SECRETS.hosts.items() if name != "juki-ap1"},
        passwords={},
    )
    again = generate.complete(PLAN.network, "dc1", fewer, examples.NOW)
    assert again.station is SECRETS.station
    assert again.ca is SECRETS.ca
    assert {n: p for n, p in again.hosts.items() if n != "juki-ap1"} == fewer.hosts
    assert again.hosts["juki-ap1"] != SECRETS.hosts["juki-ap1"]
    assert again.services == SECRETS.services
    assert set(again.passwords) == set(SECRETS.passwords)


def test_keys_of_nodes_that_left_stay() -> None:
    more = dataclasses.replace(SECRETS, hosts={**SECRETS.hosts, "old-ap1": SECRETS.station})
    assert generate.complete(PLAN.network, "dc1", more, examples.NOW) is more


def test_certificates_name_service_and_address_and_come_from_the_authority() -> None:
    authority = x509.load_pem_x509_certificate(SECRETS.ca.certificate_pem.encode())
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for endpoint in PLAN.network.endpoints:
        pair = SECRETS.services[endpoint.name]
        certificate = x509.load_pem_x509_certificate(pair.certificate_pem.encode())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [endpoint.name]
        address: ipaddress.IPv4Address = PLAN.network.vip_by_name[endpoint.vip].address.ip
        assert names.get_values_for_type(x509.IPAddress) == [address]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        key = serialization.load_pem_private_key(pair.key_pem.encode(), password=None)
        assert key.public_key() == certificate.public_key()
        assert certificate.not_valid_before_utc < examples.NOW < certificate.not_valid_after_utc
        assert certificate.not_valid_after_utc < authority.not_valid_after_utc


def test_a_certificate_names_the_address_at_which_a_line_presents_the_service_and_is_renewed_for_it() -> None:
    endpoint = PLAN.network.endpoints[0]
    own = PLAN.network.vip_by_name[endpoint.vip].address.ip
    moved = dataclasses.replace(
        next(
            line for line in PLAN.network.lines if line.member in endpoint.participants and endpoint.zone in line.zones
        ),
        destinations=(Translation(inside=ipaddress.IPv4Network(own), outside=ipaddress.IPv4Network("198.51.100.7")),),
    )
    lines = tuple(moved if line.name == moved.name else line for line in PLAN.network.lines)
    network = dataclasses.replace(PLAN.network, lines=lines)
    renewed = generate.complete(network, "dc1", SECRETS, examples.NOW)
    certificate = x509.load_pem_x509_certificate(renewed.services[endpoint.name].certificate_pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.IPAddress)) == {own, ipaddress.IPv4Address("198.51.100.7")}
    assert renewed.passwords == SECRETS.passwords
    others = [e.name for e in PLAN.network.endpoints if e.name != endpoint.name]
    assert {name: renewed.services[name] for name in others} == {name: SECRETS.services[name] for name in others}
    assert generate.complete(network, "dc1", renewed, examples.NOW) is renewed


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_openssh_reads_the_keys(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(SECRETS.station.private)
    argv = ["ssh-keygen", "-y", "-f", str(path)]
    public = subprocess.run(argv, capture_output=True, check=True, encoding="utf-8").stdout
    assert public.split()[:2] == SECRETS.station.public.split()[:2]


def test_values_survive_being_written_down() -> None:
    assert model.parse(model.dump(SECRETS)) == SECRETS


def test_nothing_prints_a_value() -> None:
    text = f"{SECRETS!r} {SECRETS} {SECRETS.station!r} {SECRETS.ca!r}"
    values = [
        *(line for pair in (SECRETS.station, *SECRETS.hosts.values()) for line in pair.private.splitlines()[1:-1]),
        *(line for pair in (SECRETS.ca, *SECRETS.services.values()) for line in pair.key_pem.splitlines()[1:-1]),
        *SECRETS.passwords.values(),
    ]
    assert len(values) > 20
    assert "station" in text
    assert not [value for value in values if value in text]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "station": {"hunter2": 1}}', "hunter2"]
)
def test_a_damaged_value_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(errors.InputError) as raised:
        model.parse(text)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert "restore the file" in str(raised.value)

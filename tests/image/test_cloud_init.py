"""The NoCloud disk says exactly what a machine must know, and the same bytes every time."""

import dataclasses
import ipaddress

import pytest
import yaml

from infra.image import cloud_init

SEED = cloud_init.NodeSeed(
    hostname="juki-db1",
    instance_id="demo.juki-db1.g1",
    management_address=ipaddress.IPv4Interface("172.16.0.5/24"),
    management_mac="52:54:00:AB:CD:EF",
    host_key_private="-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n",
    host_key_public="ssh-ed25519 AAAAhost",
    authorized_key="ssh-ed25519 AAAAstation",
)


def test_meta_data() -> None:
    assert yaml.safe_load(cloud_init.meta_data(SEED)) == {
        "instance-id": "demo.juki-db1.g1",
        "local-hostname": "juki-db1",
    }


def test_network_config_has_one_card_and_no_way_out() -> None:
    config = yaml.safe_load(cloud_init.network_config(SEED))
    assert config["version"] == 2
    (card,) = config["ethernets"].values()
    assert card["match"] == {"macaddress": "52:54:00:ab:cd:ef"}
    assert (card["set-name"], card["addresses"]) == ("mgmt", ["172.16.0.5/24"])
    assert not {"gateway4", "routes", "nameservers"} & card.keys()
    assert not card["dhcp4"]


def test_user_data_makes_one_account_and_pins_the_host_key() -> None:
    text = cloud_init.user_data(SEED)
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    (user,) = config["users"]
    assert (user["name"], user["ssh_authorized_keys"]) == ("kumiai", ["ssh-ed25519 AAAAstation"])
    assert user["sudo"] == ["ALL=(ALL) NOPASSWD:ALL"]
    assert user["lock_passwd"] is True
    assert config["ssh_keys"] == {"ed25519_private": SEED.host_key_private, "ed25519_public": "ssh-ed25519 AAAAhost\n"}
    assert config["ssh_pwauth"] is False
    assert config["disable_root"] is True


def test_later_boots_need_no_disk() -> None:
    config = yaml.safe_load(cloud_init.user_data(SEED))
    (link,) = config["write_files"]
    assert link["path"] == "/etc/systemd/network/10-mgmt.link"
    assert "MACAddress=52:54:00:ab:cd:ef\n" in link["content"]
    assert config["runcmd"][-1] == ["touch", cloud_init.DONE_MARKER]


def test_same_seed_same_bytes_and_surrounding_white_space_does_not_count() -> None:
    spaced = dataclasses.replace(
        SEED, host_key_private=SEED.host_key_private.rstrip(), host_key_public=f"{SEED.host_key_public}\n"
    )
    assert cloud_init.user_data(spaced) == cloud_init.user_data(SEED)


@pytest.mark.parametrize("hostname", ["db: [1]", 'db"1', "db # 1"])
def test_no_value_can_become_syntax(hostname: str) -> None:
    seed = dataclasses.replace(SEED, hostname=hostname)
    assert yaml.safe_load(cloud_init.user_data(seed))["hostname"] == hostname


def test_the_private_key_is_not_in_the_seeds_representation() -> None:
    assert "secret" not in repr(SEED)

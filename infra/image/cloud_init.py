"""The three files of a machine's NoCloud disk: what cloud-init tells a new machine about itself, once.

The disk is an ISO 9660 image labelled ``cidata``. Everything here is a pure function of the seed: the same seed gives
the same bytes, so that the name of the disk can be the digest of its content. JSON is YAML as well, and unlike a YAML
writer it needs no settings to keep order and quoting stable.
"""

import json
from dataclasses import dataclass, field
from ipaddress import IPv4Interface

ACCOUNT = "kumiai"
"""The one account of a machine; it logs in by key and may become root."""

MANAGEMENT_INTERFACE = "mgmt"
"""Name of the management card inside every machine."""

VOLUME_LABEL = "cidata"
"""File system label by which cloud-init finds the disk."""

DONE_MARKER = "/etc/cloud/cloud-init.disabled"
"""Exists as soon as the first boot has used its disk up: from here on the disk may be wiped, and no boot reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeed:
    """What a machine must know before anyone can reach it."""

    hostname: str
    instance_id: str
    """cloud-init takes a machine with another id for a new one."""
    management_address: IPv4Interface
    """Address and prefix length, e.g. ``172.16.0.5/24``."""
    management_mac: str
    """e.g. ``52:54:00:12:34:56``."""
    host_key_private: str = field(repr=False)
    """ed25519 host key, OpenSSH format (``-----BEGIN OPENSSH PRIVATE KEY-----``)."""
    host_key_public: str
    """One line, e.g. ``ssh-ed25519 AAAA…``."""
    authorized_key: str
    """One line: the key that may log in as `ACCOUNT`."""


def meta_data(seed: NodeSeed) -> str:
    """Return the file ``meta-data``."""
    return _document({"instance-id": seed.instance_id, "local-hostname": seed.hostname})


def network_config(seed: NodeSeed) -> str:
    """Return the file ``network-config``: the management card, and not a word about any other."""
    card = {
        "match": {"macaddress": seed.management_mac.lower()},
        "set-name": MANAGEMENT_INTERFACE,
        "addresses": [seed.management_address.with_prefixlen],
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
    }
    return _document({"version": 2, "ethernets": {MANAGEMENT_INTERFACE: card}})


def user_data(seed: NodeSeed) -> str:
    """Return the file ``user-data``; it holds the host key, so treat it as a secret."""
    # cloud-init renames the card at the first boot only; for the later ones udev has to know the name.
    link = f"[Match]\nMACAddress={seed.management_mac.lower()}\n\n[Link]\nName={MANAGEMENT_INTERFACE}\n"
    config: dict[str, object] = {
        "hostname": seed.hostname,
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        "disable_root": True,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": seed.host_key_private.strip() + "\n",
            "ed25519_public": seed.host_key_public.strip() + "\n",
        },
        # Public keys, but the console is a log that others read.
        "ssh": {"emit_keys_to_console": False},
        "no_ssh_fingerprints": True,
        "users": [
            {
                "name": ACCOUNT,
                "gecos": "Kumiai",
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
                "ssh_authorized_keys": [seed.authorized_key.strip()],
            }
        ],
        "write_files": [
            {"path": f"/etc/systemd/network/10-{MANAGEMENT_INTERFACE}.link", "permissions": "0644", "content": link}
        ],
        "runcmd": [["touch", DONE_MARKER]],
    }
    return "#cloud-config\n" + _document(config)


def _document(content: dict[str, object]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"

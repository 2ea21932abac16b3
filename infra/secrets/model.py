"""What is secret in a stack. Nothing here prints its values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from network import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """An SSH key pair in OpenSSH format."""

    private: str = dataclasses.field(repr=False)
    public: str
    """One line such as ``ssh-ed25519 AAAA… kumiai``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A private key with its X.509 certificate, both PEM."""

    key_pem: str = dataclasses.field(repr=False)
    certificate_pem: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterKeys:
    """What the nodes of one replicated database know each other by."""

    authority: Certificate
    nodes: Mapping[str, Certificate] = dataclasses.field(repr=False)
    """Node → its certificate, as server and as client."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """All secrets of one site of a stack."""

    station: KeyPair
    """The management station's key: what Ansible logs in with."""
    hosts: Mapping[str, KeyPair] = dataclasses.field(repr=False)
    """Node → its SSH host key, made before the first boot."""
    ca: Certificate
    services: Mapping[str, Certificate] = dataclasses.field(repr=False)
    """Endpoint name → the certificate that it shows."""
    passwords: Mapping[str, str] = dataclasses.field(repr=False)
    """``database/<endpoint>/<member>`` → the password of that member's database role; ``line/…`` and ``tunnel/…``: what
    a person stored (`agreed`)."""
    clusters: Mapping[str, ClusterKeys] = dataclasses.field(default_factory=dict, repr=False)
    """Replicated database → its keys."""


def dump(secrets: Secrets) -> str:
    """Return ``secrets`` as one line of JSON, the form in which they are encrypted."""
    return json.dumps({"format": 1, **dataclasses.asdict(secrets)}, sort_keys=True, separators=(",", ":"))


def parse(text: str) -> Secrets:
    """Return the secrets in ``text``; the error of a damaged value quotes nothing of it."""
    try:
        document = json.loads(text)
        if document.pop("format") != 1:
            raise ValueError
        document.setdefault("clusters", {})  # stacks without a replicated database may have been written before
        return Secrets(
            station=KeyPair(**document["station"]),
            hosts={name: KeyPair(**pair) for name, pair in document["hosts"].items()},
            ca=Certificate(**document["ca"]),
            services={name: Certificate(**item) for name, item in document["services"].items()},
            passwords=dict(document["passwords"]),
            clusters={
                name: ClusterKeys(
                    authority=Certificate(**keys["authority"]),
                    nodes={node: Certificate(**pair) for node, pair in keys["nodes"].items()},
                )
                for name, keys in document["clusters"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise errors.InputError(
            "the value kumiai:secrets in the stack's configuration is damaged or of another version; restore the file "
            "stacks/Pulumi.<stack>.<site>.yaml from its last commit"
        ) from None

"""Passwords that a stack shares with somebody outside: a carrier, or whoever runs the far end of a tunnel.

Nothing makes them; a person stores what was agreed (``kumiai secret set``).
"""

from __future__ import annotations

from collections.abc import Mapping

from network.errors import InputError
from network.model import NetworkPlan

BGP_BYTES_MAX = 80
"""Longest key that Linux takes for TCP-MD5 (TCP_MD5SIG_MAXKEYLEN)."""
TUNNEL_BYTES_MIN = 20
"""Who has recorded an IKE exchange can try keys at leisure (RFC 7296, 2.15), so a short one is none."""
TUNNEL_BYTES_MAX = 128
"""More than usual routers take."""


def bgp_password(secret: str) -> str:
    """Return the name under which the secret that a stack file names (``md5: NAME``) is kept."""
    return f"line/{secret}"


def tunnel_key(line: str) -> str:
    """Return the name under which the key of a line's tunnels is kept."""
    return f"tunnel/{line}"


def needed(network: NetworkPlan, site: str) -> Mapping[str, str]:
    """Return name → what it is for, of every such password that the lines of ``site`` need, sorted by name."""
    found: dict[str, str] = {}
    for line in network.lines:
        for handoff in line.handoffs if line.site == site else ():
            if handoff.md5 is not None:
                name = bgp_password(handoff.md5)
                found[name] = f"{found[name]}, {line.name}" if name in found else f"BGP on line {line.name}"
            if handoff.tunnel is not None:
                found[tunnel_key(line.name)] = f"IPsec on line {line.name}"
    return dict(sorted(found.items()))


def check_value(name: str, value: str) -> None:
    """Raise InputError for a value that a router would refuse or that protects nothing; quotes nothing of it."""
    if not value:
        raise InputError(f"{name}: the value is empty")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise InputError(f"{name}: a password here has letters, digits and punctuation of ASCII only, and no blank")
    least, most = (1, BGP_BYTES_MAX) if name.startswith("line/") else (TUNNEL_BYTES_MIN, TUNNEL_BYTES_MAX)
    if not least <= len(value) <= most:
        raise InputError(f"{name}: the value has {len(value)} characters; {least} to {most} are possible")

"""What simulated carriers and far ends have agreed with the data center: no secrets, both sides are this machine."""

from __future__ import annotations


def of(name: str) -> str:
    """Return the password with the name ``line/…`` or ``tunnel/…`` of a site of simulated hosts."""
    return f"lab-{name.replace('/', '-')}"

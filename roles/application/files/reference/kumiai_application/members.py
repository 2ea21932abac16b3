"""Whose request is it? Members are told apart by the address that a request comes from."""

from __future__ import annotations

import ipaddress

from kumiai_application.config import Config, Member


def client_address(config: Config, peer: str, forwarded_for: str | None) -> ipaddress.IPv4Address | None:
    """Return the address that the request comes from; None when nobody trustworthy told it.

    Only a load balancer's word counts, and of its header only the last entry, which it has written itself: everything
    before may come from the client.
    """
    try:
        address = ipaddress.IPv4Address(peer)
        if address not in config.proxies:
            return address
        return ipaddress.IPv4Address(forwarded_for.split(",")[-1].strip()) if forwarded_for else None
    except ipaddress.AddressValueError:
        return None


def member_of(config: Config, address: ipaddress.IPv4Address | None) -> Member | None:
    """Return the member whose longest prefix holds ``address``; None when no prefix does."""
    if address is None:
        return None
    matches = [
        (prefix.prefixlen, member) for member in config.members for prefix in member.prefixes if address in prefix
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None

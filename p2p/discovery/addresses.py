"""Which addresses may be dialled on hearsay, and who may be told of them."""

from __future__ import annotations

import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_of(host: str) -> IpAddress | None:
    """Return the IP address that a host is written as, None for a name; ::ffff:a.b.c.d is IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_loopback(host: str) -> bool:
    """Tell whether a host can only mean the machine itself."""
    address = ip_of(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def may_travel(host: str, other_end: str) -> bool:
    """Tell whether an address may pass between us and a peer seen at `other_end`.

    Only IP addresses of single machines do: a name would make us ask our name server on a
    stranger's word, and could mean anything. Loopback passes between loopback peers only,
    link-local addresses never, because they mean nothing beyond their link.
    """
    address = ip_of(host)
    if address is None or address.is_unspecified or address.is_multicast:
        return False
    if address.is_loopback:
        return is_loopback(other_end)
    return not (address.is_link_local or address.is_reserved)

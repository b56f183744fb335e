"""Which headers a proxy hands on, which it takes off and which it writes itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from multidict import CIMultiDict

from voidlux_site.environment_seneschal import IpNetwork

VIA = "1.1 seneschal"
HOP_BY_HOP = frozenset(
    {
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Of one handshake only: the Seneschal shakes hands with each side itself.
OF_HANDSHAKE = frozenset(
    {
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")


class NotText(ValueError):
    """A header is not UTF-8, so that it could not be handed on as it came."""


def passed_on(raw: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Return the headers that concern both ends, in their order, also repeated ones.

    Without hop-by-hop headers and those that Connection names. NotText for other than UTF-8.
    """
    kept: list[tuple[str, str]] = []
    named: set[str] = set()
    try:
        for name, value in raw:
            lower = name.lower()
            if lower == b"connection":
                named.update(word.strip().lower() for word in value.decode().split(","))
            elif lower not in HOP_BY_HOP:
                kept.append((name.decode("ascii"), value.decode()))
    except UnicodeDecodeError as error:
        raise NotText(f"a header is not UTF-8: {error.object[:40]!r}") from None
    if named:
        kept = [(name, value) for name, value in kept if name.lower() not in named]
    return CIMultiDict(kept)


def add_forwarded(
    headers: CIMultiDict[str], *, peer: str, scheme: str, trusted: Sequence[IpNetwork]
) -> None:
    """Write who asked for what: anew, unless `peer` is a proxy that is trusted to have done so."""
    before = ", ".join(headers.getall("X-Forwarded-For", ()))
    if is_of(peer, trusted):
        chain = f"{before}, {peer}" if before else peer
    else:
        chain = peer
        for name in FORWARDED:
            headers.popall(name, None)
    headers["X-Forwarded-For"] = chain
    headers.setdefault("X-Forwarded-Proto", scheme)
    if "Host" in headers:
        headers.setdefault("X-Forwarded-Host", headers["Host"])
    add_via(headers)


def add_via(headers: CIMultiDict[str]) -> None:
    """Name this proxy behind those that a message passed before."""
    headers["Via"] = ", ".join([*headers.getall("Via", ()), VIA])


def is_of(peer: str, networks: Sequence[IpNetwork]) -> bool:
    """Tell whether an IP address is of one of the networks; False for anything else."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)

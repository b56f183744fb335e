"""The types of environment variables: what is allowed, checked and brought into one form."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from voidlux_site.zones import check_zone

IN_MEMORY_DATABASE = "sqlite://:memory:"
AUTH_SECRET_CHARS_MIN = 16
_HOST_LABELS = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_PORT_ALLOWED = "a whole number from 1 to 65535"
_NAME_ALLOWED = "a word of up to 64 of a-z, 0-9 and '._+-', a letter or digit first,"


class SeedAddress(NamedTuple):
    """Where a node that is known from the start listens for peers."""

    host: str
    port: int


def _check_host(host: str) -> str:
    """Return the host without brackets when it is an IP address or a host name."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if bare != host or len(host) > 253 or not _HOST_LABELS.fullmatch(host):
            raise ValueError(f"{host!r} is neither an IP address nor a host name") from None
    return bare


def is_loopback_host(host: str) -> bool:
    """Tell whether an address or host name is of this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trusted_origins(patterns: Iterable[str]) -> list[str]:
    """Return the `https://` origins of allowed hosts: a proxy that ends TLS asks over `http://`.

    '*' allows any host to be asked for, and gives no origin.
    """
    named = (host for host in patterns if host != "*")
    return [f"https://{'*' if host.startswith('.') else ''}{host}" for host in named]


def _check_allowed_host(host: str) -> str:
    """Return the pattern in the form that Django's ALLOWED_HOSTS expects."""
    if host == "*":
        return host
    bare = _check_host(host.removeprefix("."))
    return f"[{bare}]" if ":" in bare else host


def _check_llm_host(host: str) -> str:
    """Return the host name, or the URL without a slash at its end."""
    if not host:
        return host
    if "://" not in host:
        return _check_host(host)
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in host:
        raise ValueError("no plain URL of http:// or https://")
    return host.rstrip("/")


def _parse_seed(text: str) -> SeedAddress:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no port from 1 to 65535")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r} is an IPv6 address without brackets")
    return SeedAddress(_check_host(host), int(port))


def _split(value: Any) -> Any:
    """Cut a comma list into its trimmed, non-empty parts."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split_seeds(value: Any) -> Any:
    return tuple(_parse_seed(part) if isinstance(part, str) else part for part in _split(value))


def _check_url(schemes: frozenset[str]) -> AfterValidator:
    def check(url: str) -> str:
        if url == IN_MEMORY_DATABASE:
            return url
        parts = urlsplit(url)
        if url and (parts.scheme not in schemes or parts.port == 0):
            raise ValueError("unknown scheme or port")
        return url

    return AfterValidator(check)


def _check_secret(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < AUTH_SECRET_CHARS_MIN:
        raise ValueError("too short")
    return secret


def _check_forge(url: str) -> str:
    """Return the base URL of a forge without a slash at its end; tokens travel only in TLS."""
    parts = urlsplit(url)
    plain_text = parts.scheme == "http" and is_loopback_host(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain_text) or parts.port == 0:
        raise ValueError("no https URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("more than an address")
    return url.rstrip("/")


DatabaseUrl = Annotated[str, _check_url(frozenset({"postgres", "postgresql", "pgsql", "sqlite"}))]
RedisUrl = Annotated[str, _check_url(frozenset({"redis", "rediss"}))]

Port = Annotated[int, Field(ge=1, le=65535, description=_PORT_ALLOWED)]
Host = Annotated[
    str, AfterValidator(_check_host), Field(description="an IP address or a host name")
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$", description=_NAME_ALLOWED)]
NodeIdText = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
CapabilityText = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
HostPattern = Annotated[str, AfterValidator(_check_allowed_host)]
ForgeUrl = Annotated[
    str,
    AfterValidator(_check_forge),
    Field(description="an https:// URL, or http:// of a loopback address,"),
]
LlmHost = Annotated[
    str,
    AfterValidator(_check_llm_host),
    Field(max_length=512, description="a host name, or a URL of http:// or https://"),
]
Token = Annotated[SecretStr, Field(max_length=512, description="up to 512 characters")]
TimeZone = Annotated[
    str,
    AfterValidator(check_zone),
    Field(max_length=64, description="a time zone such as Europe/Berlin"),
]

Seeds = Annotated[tuple[SeedAddress, ...], NoDecode, BeforeValidator(_split_seeds)]
MemberSecret = Annotated[SecretStr, AfterValidator(_check_secret)]
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]
NodeIds = Annotated[tuple[NodeIdText, ...], NoDecode, BeforeValidator(_split)]
Capabilities = Annotated[tuple[CapabilityText, ...], NoDecode, BeforeValidator(_split)]
HostPatterns = Annotated[tuple[HostPattern, ...], NoDecode, BeforeValidator(_split)]

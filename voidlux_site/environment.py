"""All environment variables that a node reads, typed and checked in one place."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from p2p.discovery.addresses import is_loopback
from voidlux_site.zones import check_zone

EXIT_WRONG_ENVIRONMENT = 2
AGENTS_MAX = 50
TEST_WORKERS_MAX = 8
AMOUNT_MAX = 10**12
VALUE_SHOWN_MAX = 200
IN_MEMORY_DATABASE = "sqlite://:memory:"
AUTH_SECRET_CHARS_MIN = 16
LOOK_S_MAX = 86_400
SECRET_VARIABLES = frozenset(
    {
        "DATABASE_URL",
        "REDIS_URL",
        "VOIDLUX_AUTH_SECRET",
        "VOIDLUX_GITHUB_TOKEN",
        "VOIDLUX_GITLAB_TOKEN",
    }
)

_HOST_LABELS = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_USER_OF_URL = re.compile(r"//[^/@\s]+@")
_PORT_ALLOWED = "a whole number from 1 to 65535"
_NAME_ALLOWED = "a word of up to 64 of a-z, 0-9 and '._+-', a letter or digit first,"


class InvalidEnvironment(Exception):
    """A variable has a value that is not allowed; the message is one line for the user."""


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_allowed_host(host: str) -> str:
    """Return the pattern in the form that Django's ALLOWED_HOSTS expects."""
    if host == "*":
        return host
    bare = _check_host(host.removeprefix("."))
    return f"[{bare}]" if ":" in bare else host


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
    plain_text = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain_text) or parts.port == 0:
        raise ValueError("no https URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("more than an address")
    return url.rstrip("/")


_DATABASE_URL = _check_url(frozenset({"postgres", "postgresql", "pgsql", "sqlite"}))
_REDIS_URL = _check_url(frozenset({"redis", "rediss"}))

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
Token = Annotated[SecretStr, Field(max_length=512, description="up to 512 characters")]
TimeZone = Annotated[
    str,
    AfterValidator(check_zone),
    Field(max_length=64, description="a time zone such as Europe/Berlin"),
]


class Environment(BaseSettings):
    """What the environment says; each field's description tells which values are allowed."""

    model_config = SettingsConfigDict(
        env_prefix="VOIDLUX_",
        env_ignore_empty=True,
        str_strip_whitespace=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Field(
        default=Path(), description="a directory that this user may create and write"
    )
    p2p_port: Port = 7101
    http_port: Port = 9091
    host: Host = "127.0.0.1"
    seeds: Annotated[tuple[SeedAddress, ...], NoDecode, BeforeValidator(_split_seeds)] = Field(
        default=(), description="a comma list of host:port, IPv6 addresses in brackets,"
    )
    mesh_tls: Literal["on", "off"] = Field(
        default="on", description="'on', or 'off' where VOIDLUX_HOST is a loopback address,"
    )
    discovery_port: Annotated[
        int, Field(ge=0, le=65535, description="a whole number from 0 to 65535")
    ] = 6101
    swarm: Name = "home"
    auth_secret: Annotated[SecretStr, AfterValidator(_check_secret)] = Field(
        default=SecretStr(""),
        description=f"a secret of at least {AUTH_SECRET_CHARS_MIN} characters",
    )
    network: Name = "galaxy"
    role: Literal["emperor", "worker"] = Field(
        default="emperor", description="'emperor' or 'worker'"
    )
    test_command: str = Field(
        default="", max_length=4096, description="a command of 4096 characters"
    )
    test_time_limit_s: int = Field(
        default=600, ge=1, le=86_400, description="a whole number of seconds from 1 to 86400"
    )
    test_workers: int = Field(
        default=1,
        ge=1,
        le=TEST_WORKERS_MAX,
        description=f"a whole number from 1 to {TEST_WORKERS_MAX}",
    )
    batch_wait_s: float = Field(
        default=0.0, ge=0.0, le=3600.0, description="a number of seconds from 0 to 3600"
    )
    test_network: Literal["0", "1"] = Field(default="0", description="'0' or '1'")
    test_sandbox_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), max_length=32, description="a comma list of up to 32 absolute paths"
    )
    unsafe_test_without_sandbox: Literal["0", "1"] = Field(default="0", description="'0' or '1'")
    sold_network: Literal["0", "1"] = Field(default="1", description="'0' or '1'")
    sold_sandbox_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), max_length=32, description="a comma list of up to 32 absolute paths"
    )
    sell_without_sandbox: Literal["0", "1"] = Field(default="1", description="'0' or '1'")
    review_command: str = Field(
        default="", max_length=4096, description="a command of up to 4096 characters"
    )
    reviewer: Literal["", "human", "command"] = Field(
        default="", description="'human', or 'command' with VOIDLUX_REVIEW_COMMAND,"
    )
    review_time_limit_s: int = Field(
        default=300, ge=1, le=86_400, description="a whole number of seconds from 1 to 86400"
    )
    initial_balance: int = Field(
        default=1000, ge=0, le=AMOUNT_MAX, description=f"a whole number from 0 to {AMOUNT_MAX}"
    )
    allow_nodes: Annotated[tuple[NodeIdText, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="a comma list of node ids of 32 hexadecimal digits in lower case"
    )
    price_per_task: int = Field(
        default=1, ge=0, le=AMOUNT_MAX, description=f"a whole number from 0 to {AMOUNT_MAX}"
    )
    hired_token_limit: int = Field(
        default=0, ge=0, le=AMOUNT_MAX, description=f"a whole number from 0 to {AMOUNT_MAX}"
    )
    hired_cost_limit_usd: float = Field(
        default=0.0, ge=0.0, le=1e6, description="a number of US dollars from 0 to 1000000"
    )
    agents: int = Field(
        default=0, ge=0, le=AGENTS_MAX, description=f"a whole number from 0 to {AGENTS_MAX}"
    )
    agent_capabilities: Annotated[tuple[CapabilityText, ...], NoDecode, BeforeValidator(_split)] = (
        Field(
            default=(),
            max_length=32,
            description="a comma list of up to 32 words of a-z, 0-9 and any of '._+-'",
        )
    )
    max_concurrent_tasks: int = Field(
        default=0, ge=0, le=AGENTS_MAX, description=f"a whole number from 0 to {AGENTS_MAX}"
    )
    load_per_core_max: float = Field(
        default=0.0, ge=0.0, le=1000.0, description="a number from 0 to 1000"
    )
    memory_free_mb_min: int = Field(
        default=0, ge=0, le=10**7, description="a whole number from 0 to 10000000"
    )
    sell: Literal["on", "off"] = Field(default="off", description="'on' or 'off'")
    reservation_s: int = Field(
        default=60, ge=1, le=86_400, description="a whole number of seconds from 1 to 86400"
    )
    work_deadline_s: int = Field(
        default=86_400,
        ge=60,
        le=604_800,
        description="a whole number of seconds from 60 to 604800",
    )
    offering_ttl_s: int = Field(
        default=300, ge=1, le=86_400, description="a whole number of seconds from 1 to 86400"
    )
    time_zone: TimeZone = ""
    lease_s: int = Field(
        default=90, ge=10, le=86_400, description="a whole number of seconds from 10 to 86400"
    )
    worktrees_mb_max: int = Field(
        default=0, ge=0, le=10**9, description="a whole number of MB from 0 (no limit) to 10**9"
    )
    github_url: ForgeUrl = "https://github.com"
    github_token: Token = SecretStr("")
    gitlab_url: ForgeUrl = "https://gitlab.com"
    gitlab_token: Token = SecretStr("")
    forge_timeout_s: int = Field(
        default=20, ge=1, le=300, description="a whole number of seconds from 1 to 300"
    )
    auto_merge: Literal["on", "off"] = Field(default="off", description="'on' or 'off'")
    review_from: Literal["writers", "anyone"] = Field(
        default="writers", description="'writers' or 'anyone'"
    )
    pull_request_look_s: int = Field(
        default=300,
        ge=5,
        le=LOOK_S_MAX,
        description=f"a whole number of seconds from 5 to {LOOK_S_MAX}",
    )
    allowed_hosts: Annotated[tuple[HostPattern, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="a comma list of host names, '.domain' for all below it, or '*'"
    )
    database_url: Annotated[str, _DATABASE_URL] = Field(
        default="",
        validation_alias="DATABASE_URL",
        description="a URL that begins with postgresql:// or sqlite://",
    )
    redis_url: Annotated[str, _REDIS_URL] = Field(
        default="",
        validation_alias="REDIS_URL",
        description="a URL that begins with redis:// or rediss://",
    )

    @field_validator("mesh_tls")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        """Refuse to go without TLS where others than this machine can connect."""
        if value == "off" and not _is_loopback(info.data.get("host", "")):
            raise ValueError("without TLS beyond loopback")
        return value

    @field_validator("reviewer")
    @classmethod
    def _reviewer_has_a_command(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a reviewer that is never asked anything."""
        if value == "command" and not info.data.get("review_command"):
            raise ValueError("no command")
        return value

    @field_validator("test_sandbox_paths", "sold_sandbox_paths")
    @classmethod
    def _absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        """Refuse paths that would mean another place in another folder."""
        if not all(path.is_absolute() for path in value):
            raise ValueError("not absolute")
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_home(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Name the home after the p2p port, so that two nodes in one folder do not meet."""
        return {"home": f"data/{values.get('p2p_port', 7101)}", **values}

    @model_validator(mode="after")
    def _quiet_on_loopback(self) -> Environment:
        """Send no beacon, unless told to, from a node that only this machine can dial."""
        if "discovery_port" not in self.model_fields_set and is_loopback(self.host):
            object.__setattr__(self, "discovery_port", 0)
        return self

    @model_validator(mode="after")
    def _absolute_home(self) -> Environment:
        object.__setattr__(self, "home", Path(self.home).expanduser().absolute())
        return self

    @property
    def sells(self) -> bool:
        """Whether idle agents are offered to the network."""
        return self.sell == "on"


def _variable_of(field: str) -> str:
    alias = getattr(Environment.model_fields.get(field), "validation_alias", None)
    return alias if isinstance(alias, str) else f"VOIDLUX_{field.upper()}"


def _shown(value: str) -> str:
    value = _USER_OF_URL.sub("//***@", value)
    return repr(value if len(value) <= VALUE_SHOWN_MAX else f"{value[:VALUE_SHOWN_MAX]}...")


def _line_for(error: ValidationError, variables: Mapping[str, str]) -> str:
    """Name variable, value and what is allowed, without the value of a secret."""
    location = str(error.errors()[0]["loc"][0])
    field = next(
        name
        for name, info in Environment.model_fields.items()
        if location in (name, info.validation_alias)
    )
    variable = _variable_of(field)
    by_name = {name.upper(): value for name, value in variables.items()}
    value = "not allowed" if variable in SECRET_VARIABLES else _shown(by_name.get(variable, ""))
    allowed = Environment.model_fields[field].description
    return f"{variable} is {value}: {allowed} is allowed"


def read_environment() -> Environment:
    """Return the typed environment; raises InvalidEnvironment with a line for the user."""
    try:
        return Environment()
    except ValidationError as error:
        raise InvalidEnvironment(_line_for(error, os.environ)) from None


def require_environment() -> Environment:
    """Return the typed environment, or end the process with one line and exit code 2."""
    try:
        return read_environment()
    except InvalidEnvironment as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_WRONG_ENVIRONMENT) from None

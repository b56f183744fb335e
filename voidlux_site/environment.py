"""All environment variables that a node reads, typed and checked in one place."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from p2p.discovery.addresses import is_loopback
from voidlux_site.environment_seneschal import SeneschalVariables
from voidlux_site.environment_swarm import ElectionVariables, LlmVariables
from voidlux_site.environment_types import (
    AUTH_SECRET_CHARS_MIN,
    Capabilities,
    DatabaseUrl,
    ForgeUrl,
    Host,
    HostPatterns,
    MemberSecret,
    Name,
    NodeIds,
    Paths,
    Port,
    RedisUrl,
    Seeds,
    TimeZone,
    Token,
    is_loopback_host,
)

EXIT_WRONG_ENVIRONMENT = 2
AGENTS_MAX = 50
TEST_WORKERS_MAX = 8
AMOUNT_MAX = 10**12
VALUE_SHOWN_MAX = 200
LOOK_S_MAX = 86_400
SECRET_VARIABLES = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "DATABASE_URL",
        "OPENAI_API_KEY",
        "REDIS_URL",
        "VOIDLUX_AUTH_SECRET",
        "VOIDLUX_GITHUB_TOKEN",
        "VOIDLUX_GITLAB_TOKEN",
    }
)

_USER_OF_URL = re.compile(r"//[^/@\s]+@")


class InvalidEnvironment(Exception):
    """A variable has a value that is not allowed; the message is one line for the user."""


class Environment(ElectionVariables, LlmVariables, SeneschalVariables):
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
    seeds: Seeds = Field(
        default=(), description="a comma list of host:port, IPv6 addresses in brackets,"
    )
    mesh_tls: Literal["on", "off"] = Field(
        default="on", description="'on', or 'off' where VOIDLUX_HOST is a loopback address,"
    )
    discovery_port: Annotated[
        int, Field(ge=0, le=65535, description="a whole number from 0 to 65535")
    ] = 6101
    swarm: Name = "home"
    auth_secret: MemberSecret = Field(
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
    test_sandbox_paths: Paths = Field(
        default=(), max_length=32, description="a comma list of up to 32 absolute paths"
    )
    unsafe_test_without_sandbox: Literal["0", "1"] = Field(default="0", description="'0' or '1'")
    sold_network: Literal["0", "1"] = Field(default="1", description="'0' or '1'")
    sold_sandbox_paths: Paths = Field(
        default=(), max_length=32, description="a comma list of up to 32 absolute paths"
    )
    sell_without_sandbox: Literal["0", "1"] = Field(default="1", description="'0' or '1'")
    review_command: str = Field(
        default="", max_length=4096, description="a command of up to 4096 characters"
    )
    reviewer: Literal["", "human", "command", "llm"] = Field(
        default="",
        description="'human', 'command' with VOIDLUX_REVIEW_COMMAND, or 'llm' with"
        " VOIDLUX_LLM_PROVIDER,",
    )
    review_time_limit_s: int = Field(
        default=300, ge=1, le=86_400, description="a whole number of seconds from 1 to 86400"
    )
    initial_balance: int = Field(
        default=1000, ge=0, le=AMOUNT_MAX, description=f"a whole number from 0 to {AMOUNT_MAX}"
    )
    allow_nodes: NodeIds = Field(
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
    agent_capabilities: Capabilities = Field(
        default=(),
        max_length=32,
        description="a comma list of up to 32 words of a-z, 0-9 and any of '._+-'",
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
    allowed_hosts: HostPatterns = Field(
        default=(), description="a comma list of host names, '.domain' for all below it, or '*'"
    )
    database_url: DatabaseUrl = Field(
        default="",
        validation_alias="DATABASE_URL",
        description="a URL that begins with postgresql:// or sqlite://",
    )
    redis_url: RedisUrl = Field(
        default="",
        validation_alias="REDIS_URL",
        description="a URL that begins with redis:// or rediss://",
    )

    @field_validator("mesh_tls")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        """Refuse to go without TLS where others than this machine can connect."""
        if value == "off" and not is_loopback_host(info.data.get("host", "")):
            raise ValueError("without TLS beyond loopback")
        return value

    @field_validator("reviewer")
    @classmethod
    def _reviewer_has_a_command(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a reviewer that is never asked anything."""
        if value == "command" and not info.data.get("review_command"):
            raise ValueError("no command")
        if value == "llm" and not info.data.get("llm_provider"):
            raise ValueError("no provider")
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

"""Variables about the swarm's leader: its election, its language model and what it plans with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from voidlux_site.environment_types import LlmHost, Token

SECONDS_MAX = 3600.0
TOKENS_MAX = 10**12
USD_MAX = 1e6

_Model = Annotated[str, Field(max_length=128, description="a model's name of 128 characters")]
_Limit = Annotated[
    int, Field(ge=0, le=TOKENS_MAX, description=f"a whole number from 0 to {TOKENS_MAX}")
]


class ElectionVariables(BaseSettings):
    """How the swarm's members notice that their emperor is gone, and follow another one."""

    emperor_heartbeat_s: float = Field(
        default=10.0, ge=0.1, le=SECONDS_MAX, description="a number of seconds from 0.1 to 3600"
    )
    emperor_stale_s: float = Field(
        default=30.0,
        ge=0.2,
        le=SECONDS_MAX,
        description="a number of seconds up to 3600, at least twice VOIDLUX_EMPEROR_HEARTBEAT_S,",
    )
    candidacy_s: float = Field(
        default=5.0, ge=0.1, le=SECONDS_MAX, description="a number of seconds from 0.1 to 3600"
    )
    candidate: Literal["on", "off"] = Field(default="on", description="'on' or 'off'")

    @field_validator("emperor_stale_s")
    @classmethod
    def _longer_than_a_heartbeat(cls, value: float, info: ValidationInfo) -> float:
        """Refuse to depose an emperor for one heartbeat that came late."""
        if value < 2 * info.data.get("emperor_heartbeat_s", 0.0):
            raise ValueError("shorter than two heartbeats")
        return value


class LlmVariables(BaseSettings):
    """Which language model plans and reviews, and what that may cost."""

    llm_provider: Literal["", "anthropic", "openai", "ollama"] = Field(
        default="", description="'anthropic', 'openai' or 'ollama', with VOIDLUX_LLM_MODEL,"
    )
    llm_model: _Model = ""
    llm_model_small: _Model = ""
    llm_model_large: _Model = ""
    llm_host: LlmHost = ""
    llm_port: int = Field(
        default=0, ge=0, le=65535, description="a whole number from 0 (the provider's) to 65535"
    )
    anthropic_api_key: Token = Field(
        default=SecretStr(""),
        validation_alias="ANTHROPIC_API_KEY",
        description="up to 512 characters",
    )
    openai_api_key: Token = Field(
        default=SecretStr(""),
        validation_alias="OPENAI_API_KEY",
        description="up to 512 characters",
    )
    llm_time_limit_s: int = Field(
        default=120, ge=1, le=3600, description="a whole number of seconds from 1 to 3600"
    )
    llm_tries: int = Field(default=3, ge=1, le=10, description="a whole number from 1 to 10")
    llm_output_tokens: int = Field(
        default=8192, ge=256, le=1_000_000, description="a whole number from 256 to 1000000"
    )
    llm_token_limit: _Limit = 0
    llm_cost_limit_usd: float = Field(
        default=0.0, ge=0.0, le=USD_MAX, description="a number of US dollars from 0 to 1000000"
    )
    planner: Literal["", "llm", "agent"] = Field(
        default="", description="'llm' with VOIDLUX_LLM_PROVIDER, or 'agent',"
    )
    plan_approval: Literal["auto", "approve"] = Field(
        default="auto", description="'auto' or 'approve'"
    )
    plan_context_chars: int = Field(
        default=40_000, ge=1000, le=1_000_000, description="a whole number from 1000 to 1000000"
    )
    model_small: _Model = ""
    model_medium: _Model = ""
    model_large: _Model = ""
    model_xl: _Model = ""

    @field_validator("llm_model")
    @classmethod
    def _provider_has_a_model(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a provider that is asked for no model."""
        if info.data.get("llm_provider") and not value:
            raise ValueError("no model")
        return value

    @field_validator("planner")
    @classmethod
    def _planner_has_a_model(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a planner that cannot be asked."""
        if value == "llm" and not info.data.get("llm_provider"):
            raise ValueError("no provider")
        return value

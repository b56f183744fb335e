"""Which model is asked, at which address and with which key: as the settings say, and nobody else.

Reading this module costs nothing; the client library comes with `swarm.llm.requesting`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings

from p2p.protocol.errors import DomainError
from swarm.llm.models import LlmPurpose
from swarm.states import Complexity

ANTHROPIC, OPENAI, OLLAMA = "anthropic", "openai", "ollama"
_OWN_URLS = {
    ANTHROPIC: "https://api.anthropic.com",
    OPENAI: "https://api.openai.com/v1",
    OLLAMA: "http://localhost:11434/v1",
}
_PLANNING = frozenset({LlmPurpose.PLAN, LlmPurpose.NOTES})
_LARGE = frozenset({Complexity.LARGE, Complexity.XL})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked: kind of provider, base URL, model and key (empty: none is sent)."""

    provider: str
    base_url: str
    model: str
    key: str = field(repr=False)
    is_own: bool

    @property
    def place(self) -> str:
        """Provider and address for messages to people."""
        return f"{self.provider} at {urlsplit(self.base_url).netloc}"


def is_configured() -> bool:
    """Tell whether this node has a language model to ask."""
    return bool(settings.ENVIRONMENT.llm_provider)


def endpoint_for(purpose: LlmPurpose, complexity: str) -> Endpoint:
    """Return where a question is asked; DomainError `llm_not_configured` where nobody can be."""
    own = settings.ENVIRONMENT
    if not own.llm_provider:
        raise DomainError("llm_not_configured", "VOIDLUX_LLM_PROVIDER names no provider")
    key = _key_of(own.llm_provider)
    if own.llm_provider == ANTHROPIC and not key:
        raise DomainError("llm_not_configured", "ANTHROPIC_API_KEY is empty")
    is_own = not own.llm_host and not own.llm_port
    if own.llm_provider == OPENAI and is_own and not key:
        raise DomainError("llm_not_configured", "OPENAI_API_KEY is empty")
    return Endpoint(
        provider=own.llm_provider,
        base_url=base_url_of(own.llm_provider, own.llm_host, own.llm_port),
        model=model_for(purpose, complexity),
        key=key,
        is_own=is_own,
    )


def model_for(purpose: LlmPurpose, complexity: str) -> str:
    """Return the model's name: plans, notes and large tasks are for the large one."""
    own = settings.ENVIRONMENT
    if purpose in _PLANNING or complexity in _LARGE:
        return own.llm_model_large or own.llm_model
    if complexity == Complexity.SMALL:
        return own.llm_model_small or own.llm_model
    return own.llm_model


def base_url_of(provider: str, host: str, port: int) -> str:
    """Return the base URL of a provider's API.

    A host name alone is asked in plain text where it is this machine, or where it is an Ollama;
    anything else in TLS. A URL says so itself, and may have a path.
    """
    standard = urlsplit(_OWN_URLS[provider])
    if not host and not port:
        return standard.geturl()
    named = host or (standard.hostname or "")
    url = urlsplit(named if "://" in named else f"{_scheme_of(provider, host)}://{_quoted(named)}")
    if port:
        url = url._replace(netloc=f"{_quoted(url.hostname or '')}:{port}")
    elif provider == OLLAMA and "://" not in named:
        url = url._replace(netloc=f"{url.netloc}:{standard.port}")
    return (url if url.path else url._replace(path=standard.path)).geturl()


def _scheme_of(provider: str, host: str) -> str:
    if not host:
        return urlsplit(_OWN_URLS[provider]).scheme
    return "http" if provider == OLLAMA or _is_this_machine(host) else "https"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _quoted(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _key_of(provider: str) -> str:
    own = settings.ENVIRONMENT
    keys = {ANTHROPIC: own.anthropic_api_key, OPENAI: own.openai_api_key}
    return keys[provider].get_secret_value() if provider in keys else ""

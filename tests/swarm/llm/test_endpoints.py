"""Which model is asked, and where: as the settings say."""

from __future__ import annotations

import pytest
from django.conf import settings
from pydantic import SecretStr

from p2p.protocol.errors import DomainError
from swarm.llm.models import LlmPurpose
from swarm.llm.providers import base_url_of, endpoint_for, is_configured, model_for


def configured(monkeypatch: pytest.MonkeyPatch, **update: object) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))


@pytest.mark.parametrize(
    ("provider", "host", "port", "url"),
    [
        ("anthropic", "", 0, "https://api.anthropic.com"),
        ("openai", "", 0, "https://api.openai.com/v1"),
        ("ollama", "", 0, "http://localhost:11434/v1"),
        ("ollama", "", 11500, "http://localhost:11500/v1"),
        ("ollama", "gpu-box", 0, "http://gpu-box:11434/v1"),
        ("ollama", "gpu-box", 8000, "http://gpu-box:8000/v1"),
        ("ollama", "https://gpu-box", 0, "https://gpu-box/v1"),
        ("openai", "localhost", 8080, "http://localhost:8080/v1"),
        ("openai", "127.0.0.1", 8080, "http://127.0.0.1:8080/v1"),
        ("openai", "::1", 8080, "http://[::1]:8080/v1"),
        ("openai", "gateway.example", 0, "https://gateway.example/v1"),
        ("openai", "http://gateway.example/llm/v2", 0, "http://gateway.example/llm/v2"),
        ("openai", "http://gateway.example/llm/v2", 81, "http://gateway.example:81/llm/v2"),
        ("anthropic", "http://127.0.0.1", 99, "http://127.0.0.1:99"),
    ],
)
def test_the_base_url(provider: str, host: str, port: int, url: str) -> None:
    assert base_url_of(provider, host, port) == url


@pytest.mark.parametrize(
    ("purpose", "complexity", "model"),
    [
        (LlmPurpose.PLAN, "small", "L"),
        (LlmPurpose.NOTES, "medium", "L"),
        (LlmPurpose.REVIEW, "small", "S"),
        (LlmPurpose.REVIEW, "medium", "M"),
        (LlmPurpose.REVIEW, "large", "L"),
        (LlmPurpose.REVIEW, "xl", "L"),
    ],
)
def test_the_model_by_complexity(
    purpose: LlmPurpose, complexity: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, llm_model="M", llm_model_small="S", llm_model_large="L")
    assert model_for(purpose, complexity) == model

    configured(monkeypatch, llm_model="M", llm_model_small="", llm_model_large="")
    assert model_for(purpose, complexity) == "M"


@pytest.mark.parametrize("missing", ["", "anthropic", "openai"])
def test_without_a_provider_or_its_key_nobody_is_asked(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = SecretStr("")
    configured(
        monkeypatch,
        llm_provider=missing,
        llm_model="M",
        anthropic_api_key=none,
        openai_api_key=none,
    )

    with pytest.raises(DomainError) as raised:
        endpoint_for(LlmPurpose.PLAN, "medium")

    assert raised.value.code == "llm_not_configured"
    assert is_configured() == bool(missing)


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(
        monkeypatch,
        llm_provider="openai",
        llm_model="M",
        llm_host="localhost",
        llm_port=8080,
        openai_api_key=SecretStr(""),
    )

    assert endpoint_for(LlmPurpose.PLAN, "medium").key == ""


def test_a_key_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(
        monkeypatch,
        llm_provider="openai",
        llm_model="M",
        openai_api_key=SecretStr("sk-not-to-be-seen"),
    )

    assert "sk-not" not in repr(endpoint_for(LlmPurpose.PLAN, "medium"))

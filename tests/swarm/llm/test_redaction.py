"""Secrets are taken out of text; what only looks like code stays."""

from __future__ import annotations

import pytest
from django.conf import settings
from pydantic import SecretStr

from swarm.llm.redaction import redact, without_own_secrets

# Put together, so that no scanner takes this file for a leak.
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-" + "a1B2" * 6, "[secret]"),
        ("key sk-" + "ant-api03-" + "x" * 20 + ".", "key [secret]."),
        ("ghp_" + "A1b2" * 9, "[secret]"),
        ("github_pat_" + "A1b2_" * 6, "[secret]"),
        ("glpat-" + "A1b2" * 5, "[secret]"),
        ("AKIA" + "ABCD1234" * 2, "[secret]"),
        ("xoxb-" + "123456789012-abc", "[secret]"),
        ("https://user:" + "hunter2@forge/team/a.git", "https://[secret]@forge/team/a.git"),
        ("https://" + "t0ken@forge/a.git", "https://[secret]@forge/a.git"),
        ("Authorization: Bearer " + "abc123def456", "Authorization: Bearer [secret]"),
        ('"x-api-key": "' + "k3y-0123456789" + '"', '"x-api-key": "[secret]"'),
        (f"before\n{PEM}\nafter", "before\n[secret]\nafter"),
        (PEM[:60], "[secret]"),
        ("DB_PASSWORD=" + "x7" * 12, "DB_PASSWORD=[secret]"),
        ('aws_secret_access_key = "' + "wJalrXUt/nFEMI" + '"', "aws_secret_access_key = [secret]"),
        ("eyJ" + "hbGciOiJIUzI1" + ".eyJ" + "zdWIiOiIxMjM0" + ".SflKxwRJSMeKKF2QT4", "[secret]"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "token = get_token_from_the_environment(name)",
        "def api_key(self) -> str | None:",
        "authorization: str | None = None",
        "tokens_used = models.PositiveBigIntegerField(default=0)",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "ssh://git@forge/team/greetings.git",
        "risk-averse sk-learn",
        "the secret of a good plan",
        "cookie = SimpleCookie()",
    ],
)
def test_code_and_prose_stay(text: str) -> None:
    assert redact(text) == text


def test_the_nodes_own_secrets_are_found_whatever_their_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update = {
        "openai_api_key": SecretStr("plain words of mine"),
        "auth_secret": SecretStr("plain words of mine, and more"),
    }
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))

    said = "a plain words of mine, and more b plain words of mine c"
    assert redact(said) == "a [secret] b [secret] c"
    assert without_own_secrets(said) == redact(said)


@pytest.mark.parametrize(
    "part",
    ["TOKEN", "cookie=", "-eyJ", "sk-", "://a:", "API_KEY = ", "-----BEGIN ", "bearer ", "a" * 50],
)
def test_text_made_to_be_slow_is_read_once(part: str) -> None:
    """Time that grows with the square of the length would last beyond the limit of a test."""
    assert redact(part * (1_000_000 // len(part)))

"""Tokens of agents: one for each attempt, kept as a hash, known after their attempt's end."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.conf import settings

from p2p.protocol.errors import DomainError
from swarm.mcp.access import config_for, mcp_url
from swarm.mcp.tokens import bearer_of, issue_token
from swarm.models import Attempt, McpToken
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_agent, make_attempt, make_task

pytestmark = pytest.mark.django_db


def an_attempt(name: str = "ada", **columns: Any) -> Attempt:
    """A working attempt of an agent of that name."""
    return make_attempt(make_task("Write", TaskStatus.IN_PROGRESS), make_agent(name), **columns)


def test_a_token_names_its_agent_and_attempt() -> None:
    first, second = an_attempt("ada"), an_attempt("bob")
    tokens = [issue_token(each, now=NOW) for each in (first, second)]
    bearers = [bearer_of(token) for token in tokens]
    assert [each and each.attempt_id for each in bearers] == [first.id, second.id]
    assert [each and each.agent.name for each in bearers] == ["ada", "bob"]


def test_only_the_hash_is_stored() -> None:
    token = issue_token(an_attempt(), now=NOW)
    row = McpToken.objects.values().get()
    assert row["token_sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert not any(token in str(value) for value in row.values())


def test_a_new_token_ends_the_one_before() -> None:
    attempt = an_attempt()
    old, new = issue_token(attempt, now=NOW), issue_token(attempt, now=NOW)
    assert bearer_of(old) is None
    assert bearer_of(new) is not None
    assert McpToken.objects.count() == 1


@pytest.mark.parametrize("token", ["", "vlx_", "vlx_" + "A" * 43, "\ud800", "x" * 100_000])
def test_a_token_that_was_never_issued_is_nobodys(token: str) -> None:
    issue_token(an_attempt(), now=NOW)
    assert bearer_of(token) is None


def test_an_ended_attempt_gets_no_token() -> None:
    attempt = an_attempt(status="failed")
    with pytest.raises(DomainError, match="is failed") as refusal:
        issue_token(attempt, now=NOW)
    assert refusal.value.code == "attempt_ended"
    assert not McpToken.objects.exists()


def test_an_attempt_without_an_agent_gets_no_token() -> None:
    attempt = an_attempt()
    attempt.agent = None
    with pytest.raises(DomainError, match="was removed") as refusal:
        issue_token(attempt, now=NOW)
    assert refusal.value.code == "agent_gone"


def test_the_access_shows_its_token_in_no_log() -> None:
    access = config_for(an_attempt())
    assert access.url == mcp_url()
    assert bearer_of(access.token) is not None
    assert access.token not in f"{access} {access!r}"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:9091/mcp"),
        ("0.0.0.0", "http://127.0.0.1:9091/mcp"),
        ("::", "http://[::1]:9091/mcp"),
        ("fd00::7", "http://[fd00::7]:9091/mcp"),
        ("forge.example", "http://forge.example:9091/mcp"),
    ],
)
def test_the_address_can_be_reached_by_agents_of_the_same_host(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    environment = settings.ENVIRONMENT.model_copy(update={"host": host, "http_port": 9091})
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)
    assert mcp_url() == expected

"""Questions to a model through the real client libraries, in three wire formats."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from p2p.protocol.errors import DomainError, ExternalError
from swarm.llm.asking import Question, ask
from swarm.llm.models import LlmCall, LlmPurpose
from swarm.models import Task
from swarm.states import TaskStatus
from tests.support.factories import make_task
from tests.support.llm_server import (
    KEY,
    PROVIDERS,
    Provider,
    Reply,
    answer,
    ask_at,
    closed_early,
    dropped,
    failing,
    http_status,
    plain_text,
    raw_answer,
    refused,
    running_llm,
    stalled,
    truncated,
)
from tests.support.nodes import HOST

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("provider", PROVIDERS),
]

GOOD = {"colour": "red", "number": 3}


class Lamp(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")

    colour: str
    number: int


def question(**changes: Any) -> Question[Lamp]:
    return Question(
        **{
            "purpose": LlmPurpose.REVIEW,
            "system": "You know lamps.",
            "prompt": "Which lamp?",
            "answer": Lamp,
            **changes,
        }
    )


def asked(
    provider: Provider,
    replies: list[Reply],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[Lamp, list[dict[str, Any]]]:
    """Ask one question; returns the answer and the bodies of all requests."""
    with running_llm(provider, replies) as llm:
        ask_at(monkeypatch, llm, **(variables or {}))
        lamp = ask(question(**changes), task=None)
    assert llm.replies == []
    return lamp, [each.body for each in llm.requests]


def failed(
    provider: Provider,
    replies: list[Reply],
    monkeypatch: pytest.MonkeyPatch,
    **variables: Any,
) -> DomainError | ExternalError:
    """Ask one question in vain; returns the error, after all replies were used."""
    with running_llm(provider, replies) as llm:
        ask_at(monkeypatch, llm, **variables)
        with pytest.raises((DomainError, ExternalError)) as raised:
            ask(question(), task=None)
    assert llm.replies == []
    assert KEY not in str(raised.value)
    return raised.value


def closed() -> tuple[str, int]:
    """Return the outcome and the number of requests of the only question."""
    call = LlmCall.objects.get()
    assert call.ended_at is not None
    return call.outcome, call.requests


def test_a_good_answer_comes_in_the_form_of_its_provider(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp, [body] = asked(provider, [answer(GOOD)], monkeypatch)

    assert lamp == Lamp(colour="red", number=3)
    assert body["model"] == "test-model"
    assert body["stream"] is True
    assert body["max_tokens"] == 8192
    if provider == "ollama":
        assert body["response_format"]["type"] == "json_schema"
        assert "tools" not in body
    else:
        assert body["tool_choice"] == ({"type": "any"} if provider == "anthropic" else "required")
        assert len(body["tools"]) == 1
    assert closed() == ("answered", 1)


def test_the_key_is_ours_whatever_the_environment_says(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_AUTH_TOKEN", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OLLAMA_API_KEY"):
        monkeypatch.setenv(name, "from-the-environment")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with running_llm(provider, [answer(GOOD)]) as llm:
        ask_at(monkeypatch, llm)
        ask(question(), task=None)

    [sent] = llm.requests
    keys = {name: sent.headers.get(name) for name in ("authorization", "x-api-key")}
    assert keys == {
        "authorization": f"Bearer {KEY}" if provider == "openai" else None,
        "x-api-key": KEY if provider == "anthropic" else None,
    }
    assert "from-the-environment" not in str(sent)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (raw_answer('{"colour": '), "Invalid JSON"),
        (raw_answer(""), "The answer was empty"),
        (answer({"colour": "red"}), "number: Field required"),
        (answer({**GOOD, "shape": "round"}), "shape: Extra inputs are not permitted"),
        (plain_text("I like lamps."), "Invalid JSON"),
    ],
)
def test_an_invalid_answer_is_repaired(
    wrong: Reply, complaint: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp, [_, again] = asked(provider, [wrong, answer(GOOD)], monkeypatch)

    assert lamp.colour == "red"
    assert complaint in str(again["messages"][-1])
    assert closed() == ("answered", 2)


def test_a_message_with_the_object_in_it_is_an_answer(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'Here it is:\n```json\n{"colour": "red", "number": 3}\n```'

    lamp, [_] = asked(provider, [plain_text(said)], monkeypatch)

    assert lamp.number == 3


def test_what_the_caller_does_not_accept_is_repaired(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(lamp: Lamp) -> None:
        if lamp.number > 8:
            raise ValueError(f"{lamp.number} lamps: at most 8")

    replies = [answer({"colour": "red", "number": 50}), answer(GOOD)]
    lamp, [_, again] = asked(provider, replies, monkeypatch, check=check)

    assert lamp.number == 3
    assert "50 lamps: at most 8" in str(again["messages"][-1])


def test_invalid_till_the_end_is_an_error_with_the_last_complaint(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [raw_answer("{}")] * 3, monkeypatch)

    assert isinstance(error, DomainError)
    assert error.code == "llm_invalid"
    assert "in 3 tries: colour: Field required number: Field required" in error.message
    assert closed() == ("invalid", 3)


def test_a_cut_answer_is_asked_for_once_more_and_shorter(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp, [_, again] = asked(provider, [truncated('{"colour": "r'), answer(GOOD)], monkeypatch)

    assert lamp.colour == "red"
    assert "much shorter" in str(again["messages"])
    assert '"r' not in str(again["messages"])


def test_twice_cut_is_invalid(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failed(provider, [truncated('{"col')] * 2, monkeypatch, llm_tries=5)

    assert isinstance(error, DomainError)
    assert error.code == "llm_invalid"
    assert "VOIDLUX_LLM_OUTPUT_TOKENS" in error.message


def test_too_many_requests_says_when_to_come_again(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [http_status(429, "slow down", retry_after="7")], monkeypatch)

    assert isinstance(error, ExternalError)
    assert (error.retryable, error.retry_after_s) == (True, 7.0)
    assert "429" in str(error)
    assert "slow down" in str(error)
    assert closed() == ("rate_limited", 1)


@pytest.mark.parametrize("status", [500, 503, 529])
def test_a_provider_that_is_down_is_asked_again_later(
    status: int, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [http_status(status)], monkeypatch)

    assert isinstance(error, ExternalError)
    assert error.retryable
    assert str(status) in str(error)
    assert closed() == ("unreachable", 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_request_is_not_asked_again(
    status: int, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [http_status(status, f"wrong key {KEY}")], monkeypatch)

    assert isinstance(error, DomainError)
    assert error.code == "llm_refused"
    assert str(status) in error.message
    assert "wrong key [secret]" in error.message
    assert closed() == ("refused", 1)


def test_a_model_may_refuse(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failed(provider, [refused()], monkeypatch)

    assert isinstance(error, DomainError)
    assert error.code == "llm_refused"


@pytest.mark.parametrize("broken", [dropped('{"col'), closed_early('{"col')])
def test_an_answer_that_breaks_off_is_asked_for_again_later(
    broken: Reply, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [broken], monkeypatch)

    assert isinstance(error, ExternalError)
    assert error.retryable
    call = LlmCall.objects.get()
    assert call.outcome in ("unreachable", "failed")
    assert call.tokens_in > 0, "what was sent is paid for"


def test_an_error_within_the_stream_is_asked_again_later(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [failing('{"col', "overloaded, come back")], monkeypatch)

    assert isinstance(error, ExternalError)
    assert error.retryable
    assert "overloaded, come back" in str(error)


@pytest.mark.parametrize(
    ("reply", "limit_s", "why"),
    [(stalled(), 1, "no answer within 1 s"), (stalled('{"co'), 4, "nothing more for 1 s")],
)
def test_silence_ends_in_time(
    reply: Reply, limit_s: int, why: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed(provider, [reply], monkeypatch, llm_time_limit_s=limit_s)

    assert isinstance(error, ExternalError)
    assert error.retryable
    assert why in str(error)
    assert closed() == ("timed_out", 1)


def test_nobody_listens(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    with running_llm(provider, []) as llm:
        ask_at(monkeypatch, llm, llm_port=port)
        with pytest.raises(ExternalError, match="cannot be reached") as raised:
            ask(question(), task=None)

    assert raised.value.retryable
    assert closed() == ("unreachable", 1)


def test_what_was_used_is_counted(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [raw_answer("{}").using(1000, 10), answer(GOOD).using(1200, 20)]
    asked(provider, replies, monkeypatch)

    call = LlmCall.objects.get()
    assert (call.tokens_in, call.tokens_out, call.cost_micros) == (2200, 30, None)


def test_a_known_model_has_a_price(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"anthropic": "claude-sonnet-5", "openai": "gpt-4o", "ollama": "qwen3:32b"}
    variables = {"llm_model": known[provider]}
    asked(provider, [answer(GOOD).using(1_000_000, 0)], monkeypatch, variables)

    micros = LlmCall.objects.get().cost_micros
    assert (micros is None) == (provider == "ollama")
    assert micros is None or micros > 100_000


def test_what_is_not_counted_is_counted_by_its_length(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(provider, [answer(GOOD).uncounted()], monkeypatch, prompt="x" * 4000)

    call = LlmCall.objects.get()
    assert 1000 <= call.tokens_in <= 1010
    assert 5 <= call.tokens_out <= 10


def test_progress_is_told(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    asked(provider, [answer(GOOD)], monkeypatch, on_progress=told.append)

    assert len(told) == 1, "once per second at most"


def test_progress_may_be_stored(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    goal = make_task("A goal", TaskStatus.PLANNING)

    def store(chars: int) -> None:
        Task.objects.filter(id=goal.id).update(progress=f"planning: {chars} characters")

    asked(provider, [answer(GOOD)], monkeypatch, on_progress=store)

    goal.refresh_from_db()
    assert goal.progress.startswith("planning: ")


def test_who_is_told_of_progress_may_end_the_question(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(chars: int) -> None:
        raise DomainError("gone", "the goal is cancelled")

    with pytest.raises(DomainError, match="the goal is cancelled"):
        asked(provider, [answer(GOOD)], monkeypatch, on_progress=over)

    assert closed() == ("failed", 1)


def test_logs_name_no_prompt_and_no_key(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked(provider, [answer(GOOD)], monkeypatch, prompt=f"Which lamp? {KEY}")

    assert "review by test-model: answered after 1 requests, 120 tokens in, 30 out" in caplog.text
    assert "Which lamp" not in caplog.text
    assert KEY not in caplog.text

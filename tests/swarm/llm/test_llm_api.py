"""Questions to models over the API: what they cost, and not what was said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from p2p.clock import now_utc
from swarm.llm.accounting import begin, close, note_request
from swarm.llm.models import LlmCall, LlmOutcome, LlmPurpose
from swarm.llm.providers import Endpoint
from swarm.retention import forget_old
from swarm.states import TaskStatus
from tests.support.factories import make_task

pytestmark = pytest.mark.django_db

HERE = Endpoint("ollama", "http://localhost:11434/v1", "qwen3:32b", "", True)


def test_the_day_and_the_calls(admin_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    update = {"llm_provider": "ollama", "llm_model": "qwen3:32b", "llm_token_limit": 5000}
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))
    goal, now = make_task("A goal", TaskStatus.PLANNING), now_utc()
    call = begin(LlmPurpose.PLAN, HERE, goal, now=now)
    note_request(call, tokens_in=300, tokens_out=20, cost_usd=None)
    close(call, LlmOutcome.REFUSED, "wrong key " + "sk-" + "a1" * 12, now=now)
    begin(LlmPurpose.REVIEW, HERE, None, now=now - timedelta(days=2))

    assert admin_client.get("/api/swarm/llm").json() == {
        "provider": "ollama",
        "model": "qwen3:32b",
        "model_small": "qwen3:32b",
        "model_large": "qwen3:32b",
        "tokens_today": 320,
        "token_limit": 5000,
        "cost_today_usd": 0.0,
        "cost_limit_usd": None,
    }
    [shown] = admin_client.get(f"/api/swarm/llm/calls?task_id={goal.id}").json()["items"]
    assert shown["error"] == "wrong key [secret]"
    assert (shown["outcome"], shown["tokens_in"], shown["cost_usd"]) == ("refused", 300, None)
    assert len(admin_client.get("/api/swarm/llm/calls").json()["items"]) == 2


def test_old_calls_are_forgotten() -> None:
    now = now_utc()
    begin(LlmPurpose.PLAN, HERE, None, now=now - timedelta(days=181))
    kept = begin(LlmPurpose.PLAN, HERE, None, now=now - timedelta(days=179))

    forget_old(now)

    assert list(LlmCall.objects.all()) == [kept]

"""Budgets of questions: the day's of the node, and the goal's, held before each request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.llm.accounting import begin, close_abandoned, require_budget
from swarm.llm.asking import Question, ask
from swarm.llm.models import LlmCall, LlmOutcome, LlmPurpose
from swarm.llm.providers import Endpoint
from swarm.models import Task
from swarm.states import TaskStatus
from tests.support.factories import make_subtask, make_task
from tests.support.llm_server import LlmServer, Reply, answer, ask_at, raw_answer, running_llm
from voidlux_site.node.start_up import reconcile

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HERE = Endpoint("ollama", "http://localhost:11434/v1", "m", "", True)


class Word(BaseModel):
    """What the model is asked for."""

    word: str


QUESTION = Question(purpose=LlmPurpose.PLAN, system="s", prompt="p", answer=Word)
GOOD = answer({"word": "yes"})


def asked(
    replies: list[Reply],
    monkeypatch: pytest.MonkeyPatch,
    task: Task | None = None,
    **variables: Any,
) -> LlmServer:
    with running_llm("anthropic", replies) as llm:
        ask_at(monkeypatch, llm, **variables)
        ask(QUESTION, task=task)
    return llm


def over_budget(
    replies: list[Reply],
    monkeypatch: pytest.MonkeyPatch,
    task: Task | None = None,
    **variables: Any,
) -> tuple[str, int]:
    """Ask in vain; returns why, and how many requests were made."""
    with running_llm("anthropic", replies) as llm:
        ask_at(monkeypatch, llm, **variables)
        with pytest.raises(DomainError) as raised:
            ask(QUESTION, task=task)
    assert raised.value.code == "llm_over_budget"
    assert LlmCall.objects.latest("id").outcome == "over_budget"
    return raised.value.message, len(llm.requests)


def a_goal(**columns: Any) -> Task:
    return make_task("A goal", TaskStatus.PLANNING, **columns)


def test_the_days_tokens_stop_the_next_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked([GOOD.using(900, 100)], monkeypatch, llm_token_limit=1000)

    why, requests = over_budget([GOOD], monkeypatch, llm_token_limit=1000)

    assert why == "1,000 tokens are used today, the node's limit is 1,000"
    assert requests == 0


def test_the_days_tokens_stop_a_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [raw_answer("{}").using(900, 100), GOOD]

    _, requests = over_budget(replies, monkeypatch, llm_token_limit=1000)

    assert requests == 1


def test_the_days_cost_stops_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"llm_model": "claude-sonnet-5", "llm_cost_limit_usd": 0.5}
    asked([GOOD.using(1_000_000, 0)], monkeypatch, **known)

    why, requests = over_budget([GOOD], monkeypatch, **known)

    assert why.endswith("today, the node's limit is $0.50")
    assert requests == 0


def test_a_new_day_has_a_new_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    asked([GOOD.using(900, 100)], monkeypatch, llm_token_limit=1000)
    LlmCall.objects.update(started_at=NOON)
    call = begin(LlmPurpose.PLAN, HERE, None, now=NOON)

    with pytest.raises(DomainError, match="today"):
        require_budget(call, now=NOON.replace(hour=23, minute=59))
    require_budget(call, now=NOON + timedelta(hours=12))


def test_the_goal_counts_what_is_asked_for_it_and_for_its_subtasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal = a_goal()
    subtask = make_subtask(goal, 1, "One", TaskStatus.PENDING_REVIEW, NOON)

    for task in (goal, subtask):
        asked([GOOD.using(100, 10)], monkeypatch, task, llm_model="claude-sonnet-5")

    goal.refresh_from_db()
    subtask.refresh_from_db()
    assert (goal.tokens_used, subtask.tokens_used) == (220, 0)
    assert goal.cost_used_micros > 0


def test_a_goals_own_limit_stops_its_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = a_goal(token_limit=500, tokens_used=400)

    why, requests = over_budget([raw_answer("{}").using(90, 10), GOOD], monkeypatch, goal)

    assert why == "500 tokens are used by it, the goal's limit is 500"
    assert requests == 1
    goal.refresh_from_db()
    assert goal.status == "planning"


def test_a_question_of_a_dead_worker_is_closed_at_the_next_start() -> None:
    call = begin(LlmPurpose.PLAN, HERE, None, now=now_utc())

    reconcile()

    call.refresh_from_db()
    assert (call.outcome, call.error) == (LlmOutcome.FAILED, "its worker ended before it")
    assert call.ended_at is not None
    assert close_abandoned(now_utc()) == 0


def test_a_question_of_a_dead_worker_is_closed_when_it_is_asked_again() -> None:
    goal, other = a_goal(), a_goal()
    left = begin(LlmPurpose.PLAN, HERE, goal, now=NOON)
    elsewhere = begin(LlmPurpose.PLAN, HERE, other, now=NOON)
    notes = begin(LlmPurpose.NOTES, HERE, goal, now=NOON)

    begin(LlmPurpose.PLAN, HERE, goal, now=NOON)

    for call in (left, elsewhere, notes):
        call.refresh_from_db()
    assert [left.outcome, elsewhere.outcome, notes.outcome] == ["failed", "running", "running"]

"""Budgets: what was used is summed, and a run over its limit ends as its task says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.budgets.days import set_agent_limits
from swarm.budgets.enforcement import enforce_time_limits, worked_s
from swarm.budgets.limits import Limits
from swarm.budgets.money import micros_of, shown_usd
from swarm.budgets.pauses import pause_agent, resume_agent
from swarm.budgets.spent import set_limits
from swarm.budgets.usage import record_usage
from swarm.models import Agent, Attempt, Task, TaskEvent, Usage
from swarm.queries import describe_agent, describe_task, idle_agents
from swarm.services import asking, attempts, claims
from swarm.services.answering import answer_task
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_agent, make_attempt, make_task

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(seconds=100)


def a_run(**limits: Any) -> tuple[Task, Attempt]:
    """A subtask of this node with these limits, and the run that works on it."""
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    task = make_task(
        "Part",
        TaskStatus.IN_PROGRESS,
        parent=goal,
        number=1,
        attempt=1,
        generation=1,
        assigned_node=local_node().node_id,
        lease_expires_at=LATER,
        **limits,
    )
    return task, make_attempt(task, make_agent("ada"), typed_at=NOW)


def heeded(attempt: Attempt) -> tuple[str, str]:
    """End the run as its runner does, and return code and reason."""
    with pytest.raises(DomainError) as wish:
        claims.heed_wishes(attempt.id)
    code, reason = wish.value.code, str(wish.value)
    attempts.fail(attempt.id, code=code, error=reason, now=LATER)
    return code, reason


def test_usage_is_summed_in_attempt_task_and_agent() -> None:
    task, attempt = a_run()
    for _ in range(2):
        record_usage(
            attempt, tokens_in=100, tokens_out=20, cost_usd=0.1, source="task_progress", now=NOW
        )
    attempt.refresh_from_db()
    task.refresh_from_db()
    assert (attempt.tokens_used, attempt.cost_used_micros) == (240, 200_000)
    assert (task.tokens_used, task.cost_used_micros) == (240, 200_000)
    assert describe_task(task)["budget"]["cost_used_usd"] == 0.2
    shown = describe_agent(Agent.objects.get())["budget"]
    assert (shown["day"], shown["tokens_used"], shown["cost_used_usd"]) == ("2026-05-04", 240, 0.2)
    assert Usage.objects.count() == 2


@pytest.mark.parametrize(
    "figures",
    [
        {"tokens_in": -1},
        {"tokens_out": 10**12 + 1},
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
        {"cost_usd": -0.01},
    ],
)
def test_impossible_figures_are_refused_and_count_nothing(figures: dict[str, Any]) -> None:
    task, attempt = a_run(token_limit=1)
    with pytest.raises(DomainError, match="0 to"):
        record_usage(attempt, **figures, source="hook", now=NOW)
    task.refresh_from_db()
    assert (task.tokens_used, Usage.objects.count()) == (0, 0)


def test_at_the_limit_nothing_happens_and_over_it_the_task_stops_without_another_attempt() -> None:
    task, attempt = a_run(token_limit=1000)
    record_usage(attempt, tokens_in=1000, source="hook", now=NOW)
    claims.heed_wishes(attempt.id)
    record_usage(attempt, tokens_out=1, source="hook", now=NOW)
    reason = "1,001 tokens used, the task's limit is 1,000"
    assert heeded(attempt) == ("task_budget", reason)
    task.refresh_from_db()
    assert (task.status, task.error, task.attempt) == ("failed", f"over budget: {reason}", 1)
    assert Agent.objects.get().attempt is None
    assert Task.objects.get(id=task.parent_id).status == "failed"


def test_a_cost_limit_of_the_goal_holds_for_its_subtasks() -> None:
    task, attempt = a_run()
    Task.objects.filter(id=task.parent_id).update(cost_limit_micros=micros_of(2.5))
    record_usage(attempt, cost_usd=2.75, source="hook", now=NOW)
    assert heeded(attempt)[1] == "$2.75 used, the task's limit is $2.50"


def test_asked_for_more_the_operator_lets_it_go_on_and_it_costs_no_attempt() -> None:
    task, attempt = a_run(token_limit=1000, on_budget="ask", attempts_max=1)
    record_usage(attempt, tokens_in=1500, source="hook", now=NOW)
    heeded(attempt)
    task.refresh_from_db()
    assert (task.status, task.choices, task.lease_expires_at) == (
        "waiting_input",
        ["continue", "stop"],
        None,
    )
    assert task.question == (
        "The budget is used up: 1,500 tokens used, the task's limit is 1,000. Allow as much again?"
    )
    with pytest.raises(DomainError, match="'maybe'") as refusal:
        answer_task(task.id, text="maybe", now=LATER)
    assert refusal.value.code == "bad_answer"

    answer_task(task.id, text="continue", now=LATER)

    task.refresh_from_db()
    assert (task.status, task.token_limit, task.over_budget) == ("pending", 2500, "")
    assert task.attempts_max == 2
    assert TaskEvent.objects.latest("id").reason == "the operator allows more: continue"


def test_asked_for_more_the_operator_may_stop_it() -> None:
    task, attempt = a_run(token_limit=1, on_budget="ask")
    record_usage(attempt, tokens_in=2, source="hook", now=NOW)
    heeded(attempt)
    answer_task(task.id, text="stop", now=LATER)
    task.refresh_from_db()
    assert (task.status, task.error) == (
        "failed",
        "over budget: 2 tokens used, the task's limit is 1",
    )


def test_a_new_budget_sends_a_waiting_task_back_to_work() -> None:
    task, attempt = a_run(token_limit=1, on_budget="ask")
    record_usage(attempt, tokens_in=2, source="hook", now=NOW)
    heeded(attempt)
    set_limits(task.id, Limits(token_limit=50), now=LATER)
    task.refresh_from_db()
    assert (task.status, task.token_limit, task.on_budget) == ("pending", 50, "")


def test_an_ended_task_takes_no_budget() -> None:
    task, _ = a_run()
    Task.objects.filter(id=task.id).update(status="completed")
    with pytest.raises(DomainError, match="uses no more"):
        set_limits(task.id, Limits(token_limit=50), now=LATER)
    task.refresh_from_db()
    assert task.token_limit is None


def test_time_is_what_was_worked_without_waits_for_answers() -> None:
    _, attempt = a_run(time_limit_s=60)
    asking.ask(attempt.id, question="Go on?", choices=[], now=NOW + timedelta(seconds=30))
    much_later = NOW + timedelta(hours=3)
    assert enforce_time_limits(much_later) == 0
    answer_task(attempt.task_id, text="yes", now=much_later)
    assert worked_s(Attempt.objects.get(), much_later) == 30.0
    assert enforce_time_limits(much_later + timedelta(seconds=30)) == 0
    assert enforce_time_limits(much_later + timedelta(seconds=31)) == 1
    assert enforce_time_limits(much_later + timedelta(seconds=32)) == 0
    assert heeded(attempt) == ("task_budget", "attempt 1 worked 61 s, allowed are 60 s")


def test_an_agent_over_its_day_is_paused_and_its_task_given_to_another() -> None:
    task, attempt = a_run()
    agent = Agent.objects.get()
    set_agent_limits(agent.id, token_limit=10, cost_limit_usd=None, now=NOW)
    record_usage(attempt, tokens_in=11, source="hook", now=NOW)
    assert heeded(attempt) == ("agent_budget", "agent ada used 11 tokens today, its limit is 10")
    task.refresh_from_db()
    agent.refresh_from_db()
    assert task.status == "pending"
    assert agent.paused_until == datetime(2026, 5, 5, tzinfo=UTC)
    assert list(idle_agents(LATER)) == []
    assert list(idle_agents(datetime(2026, 5, 5, tzinfo=UTC))) == [agent]


def test_a_new_day_begins_at_nothing() -> None:
    _, attempt = a_run()
    record_usage(attempt, tokens_in=11, source="hook", now=NOW)
    record_usage(attempt, tokens_in=2, source="hook", now=NOW + timedelta(days=1))
    assert Agent.objects.get().tokens_today == 2
    attempt.refresh_from_db()
    assert attempt.tokens_used == 13


def test_a_pause_is_shown_and_ended() -> None:
    agent = make_agent("ada")
    pause_agent(agent.id, until=LATER, reason="usage window\x1b[0m is exhausted", now=NOW)
    shown = describe_agent(Agent.objects.get())
    assert shown["paused_reason"] == "usage window is exhausted"
    assert shown["paused_until"] == "2026-05-04T12:01:40Z"
    assert list(idle_agents(NOW)) == []
    resume_agent(agent.id, now=NOW)
    assert list(idle_agents(NOW)) == [agent]
    with pytest.raises(DomainError, match="is over"):
        pause_agent(agent.id, until=NOW, reason="late", now=NOW)


@pytest.mark.parametrize(
    ("micros", "shown"), [(0, "$0.00"), (2_500_000, "$2.50"), (1_234_567, "$1.234567")]
)
def test_money_is_shown_exactly(micros: int, shown: str) -> None:
    assert shown_usd(micros) == shown

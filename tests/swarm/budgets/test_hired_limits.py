"""Limits of runs for other nodes: what the buyer's budget leaves, and what the seller gives."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from p2p import outbox
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.budgets.usage import record_usage
from swarm.messages import TaskAssign
from swarm.models import Attempt, Task
from swarm.services import claims
from swarm.services.dispatch import dispatch_ready
from swarm.states import TaskStatus
from tests.support.factories import BUYER, NOW, SELLER, make_agent, make_attempt, make_task

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(seconds=100)


def a_hired_run(**columns: Any) -> Attempt:
    """A run of this node's agent for a buyer; its task is the buyer's."""
    theirs = Task(id=uuid.uuid4(), title="Part", attempt=1, generation=1, base_commit="ba5e" * 10)
    return make_attempt(
        theirs,
        make_agent("ada"),
        assigner_node_id=BUYER,
        tribute_id=uuid.uuid4(),
        typed_at=NOW,
        **columns,
    )


def wish_of(attempt: Attempt) -> tuple[str, str] | None:
    """Return code and reason with which the runner is told to stop; None where it is not."""
    try:
        claims.heed_wishes(attempt.id)
    except DomainError as wish:
        return wish.code, str(wish)
    return None


def sells(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
    changed = settings.ENVIRONMENT.model_copy(update=limits)
    monkeypatch.setattr(settings, "ENVIRONMENT", changed)


@pytest.mark.parametrize(
    ("limits", "used", "reason"),
    [
        (
            {"token_limit": 100},
            {"tokens_in": 60, "tokens_out": 41},
            "101 tokens used, its assigner's limit of the run is 100",
        ),
        (
            {"cost_limit_micros": 2_000_000},
            {"cost_usd": 2.5},
            "$2.50 used, its assigner's limit of the run is $2.00",
        ),
        (
            {"token_limit": 0},
            {"tokens_in": 1},
            "1 tokens used, its assigner's limit of the run is 0",
        ),
    ],
)
def test_a_hired_run_over_its_buyers_limit_is_stopped(
    limits: dict[str, int], used: dict[str, Any], reason: str
) -> None:
    attempt = a_hired_run(**limits)

    record_usage(attempt, **used, source="hook", now=LATER)

    assert wish_of(attempt) == ("task_budget", reason)


def test_a_hired_run_at_its_limit_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sells(monkeypatch, hired_token_limit=100, hired_cost_limit_usd=1.0)
    attempt = a_hired_run(token_limit=100, cost_limit_micros=1_000_000)

    record_usage(attempt, tokens_in=100, cost_usd=1.0, source="hook", now=LATER)

    assert wish_of(attempt) is None


def test_the_sellers_own_limit_holds_whatever_the_buyer_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sells(monkeypatch, hired_token_limit=50)
    attempt = a_hired_run(token_limit=10_000)

    record_usage(attempt, tokens_out=51, source="hook", now=LATER)

    reason = "51 tokens used, the seller's limit of a run is 50"
    assert wish_of(attempt) == ("agent_budget", reason)
    attempt.refresh_from_db()
    assert attempt.agent is not None and attempt.agent.paused_until is None


def test_the_sellers_limit_of_costs_holds_where_the_buyer_states_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sells(monkeypatch, hired_cost_limit_usd=0.5)
    attempt = a_hired_run()

    record_usage(attempt, cost_usd=0.51, source="hook", now=LATER)

    assert wish_of(attempt) == ("agent_budget", "$0.51 used, the seller's limit of a run is $0.50")


def test_work_for_a_member_knows_no_limit_of_sellers(monkeypatch: pytest.MonkeyPatch) -> None:
    sells(monkeypatch, hired_token_limit=50)
    attempt = a_hired_run()
    Attempt.objects.update(tribute_id=None)
    attempt.refresh_from_db()

    record_usage(attempt, tokens_out=51, source="hook", now=LATER)

    assert wish_of(attempt) is None


@pytest.mark.parametrize(
    ("columns", "goals", "sent"),
    [
        ({"token_limit": 100, "tokens_used": 30}, {}, (70, None)),
        ({"tokens_used": 130}, {"token_limit": 100}, (0, None)),
        ({"cost_limit_micros": 5, "cost_used_micros": 2}, {"token_limit": 9}, (9, 3)),
        ({}, {}, (None, None)),
    ],
)
def test_what_a_budget_leaves_travels_with_the_task(
    monkeypatch: pytest.MonkeyPatch,
    columns: dict[str, int],
    goals: dict[str, int],
    sent: tuple[int | None, int | None],
) -> None:
    goal = make_task("Goal", TaskStatus.IN_PROGRESS, **goals)
    make_task("Part", TaskStatus.PENDING, parent=goal, number=1, **columns)
    place = hooks.Hire(SELLER, uuid.uuid4())
    source = hooks.HireSource(lambda: {goal.id}, lambda task, now: place)
    monkeypatch.setattr(hooks, "hire_sources", [source])
    told: list[dict[str, Any]] = []

    def keep(kind: type, **fields: Any) -> None:
        if kind is TaskAssign:
            told.append(fields)

    monkeypatch.setattr(outbox, "send_command", keep)

    assert dispatch_ready(NOW) == 1

    [fields] = told
    assert (fields["task"].token_limit, fields["task"].cost_limit_micros) == sent

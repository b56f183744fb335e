"""Tasks over their budget: ended, or waiting for the operator to allow more."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p.protocol.errors import DomainError
from swarm.budgets.limits import Limits, columns_of, limit_of, on_budget_of
from swarm.errors import WrongState
from swarm.models import Task
from swarm.replication import terms
from swarm.services.goals import get_task, settle_dependants
from swarm.services.transitions import move_task, note_event
from swarm.states import TASK_TERMINAL, Actor, OnBudget, TaskStatus

ALLOW_MORE = "continue"
STOP = "stop"
_LIMITS = ("time_limit_s", "token_limit", "cost_limit_micros")


def set_limits(task_id: UUID, limits: Limits, *, now: datetime) -> Task:
    """Give a task new limits; one that waits because of the old ones goes back to work."""
    terms.require_emperor()
    with transaction.atomic():
        task = get_task(task_id)
        if task.status in TASK_TERMINAL:
            raise DomainError("wrong_state", f"task {task_id} is {task.status}: it uses no more")
        Task.objects.filter(id=task_id).update(**columns_of(limits), updated_at=now)
        task.refresh_from_db()
        status = TaskStatus(task.status)
        reason = f"budget: {_shown(task)}"
        note_event(task, status, status, by=Actor.OPERATOR, reason=reason, now=now)
        if task.over_budget:
            return _back_to_work(task, "the operator set a new budget", now)
    return task


def apply_task_over_budget(task: Task, *, reason: str, branch: str | None, now: datetime) -> None:
    """End a task whose run was stopped by its budget, or ask the operator, as it says itself."""
    choice = on_budget_of(task)
    if branch:
        Task.objects.filter(id=task.id).update(git_branch=branch)
    gone: dict[str, Any] = {
        "assigned_node": "",
        "assigned_agent": "",
        "lease_expires_at": None,
        "progress": "",
        "error": f"over budget: {reason}",
        "feedback": f"The attempt before was interrupted: {reason}",
    }
    with transaction.atomic():
        if choice == OnBudget.ASK:
            gone |= _question(task, reason, now)
        target = TaskStatus.WAITING_INPUT if choice == OnBudget.ASK else TaskStatus.FAILED
        if target == task.status:
            Task.objects.filter(id=task.id, status=target).update(**gone, updated_at=now)
            task.refresh_from_db()
            note_event(task, target, target, by=Actor.BUDGET, reason=gone["error"], now=now)
            return
        move_task(
            task.id, target, by=Actor.BUDGET, reason=f"over budget: {reason}", now=now, **gone
        )
        if target == TaskStatus.FAILED and task.parent_id:
            settle_dependants(task.parent_id, now=now)


def decide(task: Task, answer: str, *, now: datetime) -> Task:
    """Do what the operator answers to a task over its budget: allow as much again, or stop.

    DomainError `bad_answer` for any other answer.
    """
    if answer.lower() == ALLOW_MORE:
        raised = {name: _twice(task, name) for name in _LIMITS[1:]}
        Task.objects.filter(id=task.id, status=TaskStatus.WAITING_INPUT).update(**raised)
        return _back_to_work(task, f"the operator allows more: {answer}", now, answer=answer)
    if answer.lower() == STOP:
        with transaction.atomic():
            error = f"over budget: {task.over_budget}"
            moved = move_task(
                task.id,
                TaskStatus.FAILED,
                by=Actor.BUDGET,
                reason=f"stopped by the operator; {error}",
                now=now,
                error=error,
                answer=answer,
                answered_at=now,
                over_budget="",
            )
            if task.parent_id:
                settle_dependants(task.parent_id, now=now)
        return moved
    raise DomainError(
        "bad_answer",
        f"answer {answer[:80]!r}: {ALLOW_MORE!r} allows as much again, {STOP!r} ends the task",
        status=422,
    )


def _question(task: Task, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "over_budget": reason[:300],
        "question": f"The budget is used up: {reason}. Allow as much again?",
        "choices": [ALLOW_MORE, STOP],
        "question_generation": task.generation,
        "question_number": task.question_number + 1,
        "asked_at": now,
        "answer": "",
        "answered_at": None,
    }


def _back_to_work(task: Task, reason: str, now: datetime, answer: str = "") -> Task:
    if task.status != TaskStatus.WAITING_INPUT:
        raise WrongState(f"task {task.id}", task.status, TaskStatus.PENDING)
    return move_task(
        task.id,
        TaskStatus.PENDING,
        by=Actor.BUDGET,
        reason=reason,
        now=now,
        over_budget="",
        error="",
        answer=answer,
        answered_at=now,
        # An interruption is nobody's failure: it costs no attempt.
        attempts_max=max(task.attempts_max, task.attempt + 1),
    )


def _twice(task: Task, name: str) -> int | None:
    used = {"token_limit": task.tokens_used, "cost_limit_micros": task.cost_used_micros}
    limit = limit_of(task, name)
    return None if limit is None else max(used[name], limit) + limit


def _shown(task: Task) -> str:
    parts = [f"{name}={getattr(task, name)}" for name in _LIMITS if getattr(task, name) is not None]
    return ", ".join(parts) or "no limit of its own"

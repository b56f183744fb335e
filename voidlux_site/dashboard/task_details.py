"""A task close up: its history, its attempts, its question, its budget; and what one can do."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.budgets.limits import limit_of
from swarm.budgets.money import shown_usd
from swarm.errors import NotFound
from swarm.gate.repository_settings import SETTINGS_FILE
from swarm.models import Attempt, Task, TaskCopy
from swarm.replication.bodies import copy_details, copy_history, describe_copy
from swarm.replication.terms import has_members
from swarm.services.answering import answer_task
from swarm.services.goals import cancel_task, get_task
from swarm.services.lifecycle import archive_task, requeue_task
from swarm.states import TASK_MOVES, TASK_TERMINAL, Actor, TaskStatus, TestSource, sources_of
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.attention import is_asking
from voidlux_site.dashboard.parts import node_context

ATTEMPTS_SHOWN = 10
TEST_RUNS_SHOWN = 10
REVIEWS_SHOWN = 10
EVENTS_SHOWN = 200
CANCEL_REASON = "cancelled on the dashboard"
REQUEUE_REASON = "queued anew on the dashboard"
_TASK_PARTS = ("tasks", "attention", "waiting", "task-facts")
_TEST_SOURCES: dict[str, str] = {
    TestSource.GOAL: "the goal",
    TestSource.ENVIRONMENT: "VOIDLUX_TEST_COMMAND",
    TestSource.REPOSITORY: SETTINGS_FILE,
    TestSource.NOBODY: "nobody",
}

Context = dict[str, Any]


@require_GET
@staff_only
@refusals_shown
def show(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Show a task's dialog; its facts refresh themselves."""
    return render(request, "dashboard/details/task.html", _facts_of(task_id, now_utc()))


@require_GET
@staff_only
@refusals_shown
def facts(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Show the inside of a task's facts."""
    return render(request, "dashboard/details/task_facts.html", _facts_of(task_id, now_utc()))


@require_POST
@staff_only
@refusals_shown
def cancel(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Cancel a goal or a subtask."""
    task = cancel_task(task_id, reason=CANCEL_REASON, now=now_utc())
    return saved(f"{task.title} is cancelled", *_TASK_PARTS, "tributes", stay=True)


@require_POST
@staff_only
@refusals_shown
def requeue(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Take a subtask back and queue it anew, or plan a goal again."""
    task = requeue_task(task_id, reason=REQUEUE_REASON, now=now_utc())
    return saved(f"{task.title} is queued anew", *_TASK_PARTS, "agents", stay=True)


@require_POST
@staff_only
@refusals_shown
def archive(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Hide a task that has ended."""
    task = archive_task(task_id, now=now_utc())
    return saved(f"{task.title} is archived", "tasks")


@require_POST
@staff_only
@refusals_shown
def answer(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Answer the question of a task: one of its choices, or a text."""
    text = request.POST.get("choice") or request.POST.get("text", "")
    task = answer_task(task_id, text=text, now=now_utc())
    return saved(f"{task.title} has its answer", *_TASK_PARTS, stay=True)


def _facts_of(task_id: UUID, now: datetime) -> Context:
    own = Task.objects.filter(id=task_id).exists()
    copy = None if own else TaskCopy.objects.filter(id=task_id).first()
    if not own and copy is None:
        raise NotFound("task", task_id)
    context = _facts_of_copy(copy) if copy is not None else _facts_of_own(get_task(task_id))
    return {**node_context(now), **context, "task_id": task_id}


def _facts_of_own(task: Task) -> Context:
    attempts = Attempt.objects.filter(task_id=task.id).select_related("agent")
    events = list(task.events.order_by("-id")[:EVENTS_SHOWN])
    return {
        "task": task,
        "emperor_node_id": local_node().node_id,
        "own": True,
        "movable": True,
        "details": {"instructions": task.instructions, "shell": task.shell},
        "asking": is_asking(task),
        "usage": _usage_of(task),
        "prerequisites": list(task.depends_on.order_by("number")),
        "subtasks": list(task.subtasks.order_by("number")),
        "attempts": list(attempts.order_by("-created_at")[:ATTEMPTS_SHOWN]),
        "test_runs": list(task.test_runs.order_by("-id")[:TEST_RUNS_SHOWN]),
        "reviews": list(task.reviews.defer("diff").order_by("-created_at")[:REVIEWS_SHOWN]),
        "tested": _TEST_SOURCES.get(task.test_source, ""),
        "events": events,
        "ended": task.status in TASK_TERMINAL,
        "requeueable": _is_requeueable(task),
        "plannable": task.status == TaskStatus.PLANNING and bool(task.base_commit),
    }


def _facts_of_copy(copy: TaskCopy) -> Context:
    described = describe_copy(copy)
    times = {
        name: datetime.fromisoformat(described[name]) if described[name] else None
        for name in ("created_at", "updated_at", "completed_at")
    }
    history = reversed(copy_history(copy))
    return {
        "task": {**described, **times, "id8": copy.id.hex[:8]},
        "emperor_node_id": copy.emperor_node_id,
        "own": False,
        "movable": has_members(),  # the emperor is one of them: what is done here is passed on
        "details": copy_details(copy),
        "events": [{**each, "at": datetime.fromisoformat(each["at"])} for each in history],
        "ended": copy.status in TASK_TERMINAL,
    }


def _is_requeueable(task: Task) -> bool:
    if task.parent_id is None:
        return task.status == TaskStatus.PLANNING
    return task.status in sources_of(TASK_MOVES, TaskStatus.PENDING, Actor.OPERATOR)


def _usage_of(task: Task) -> list[tuple[str, str]]:
    """Return what a task used and may use, as pairs of a name and its value; none without both."""
    tokens, cost, time_s = (
        limit_of(task, name) for name in ("token_limit", "cost_limit_micros", "time_limit_s")
    )
    shown = []
    if task.tokens_used or tokens:
        most = f" of {tokens:,}" if tokens else ""
        shown.append(("tokens", f"{task.tokens_used:,}{most}"))
    if task.cost_used_micros or cost:
        most = f" of {shown_usd(cost)}" if cost else ""
        shown.append(("cost", f"{shown_usd(task.cost_used_micros)}{most}"))
    if time_s:
        shown.append(("a run at most", f"{time_s:,} s"))
    return shown

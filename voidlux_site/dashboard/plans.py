"""A plan close up: read it, change it, have it carried out or made anew."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import REVIEW_REASONS_CHARS_MAX
from swarm.models import Task
from swarm.plain_text import require_text
from swarm.plan import PlannedSubtask
from swarm.services import plan_drafts
from swarm.services.goals import get_task
from swarm.states import Complexity
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.plan_form import PlanForm

_PARTS = ("attention", "waiting", "tasks", "task-facts")


@require_http_methods(["GET", "POST"])
@staff_only
@refusals_shown
def show(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Show the plan of a goal, or do with it what the pressed button says."""
    goal = get_task(task_id)
    if request.method == "GET":
        subtasks = plan_drafts.subtasks_of(goal) if goal.plan_draft else []
        return _form(request, goal, PlanForm.of(subtasks, plan_drafts.notes_of(goal)))
    form, (action, _, number) = PlanForm.read(request.POST), _pressed(request).partition(" ")
    if action == "reject":
        return _reject(request, goal)
    if action in {"add", "remove"}:
        form.add() if action == "add" else form.remove(int(number) if number.isdigit() else 0)
        return _form(request, goal, form)
    subtasks_read = form.subtasks()
    if subtasks_read is None:
        return _form(request, goal, form, status=422)
    try:
        return _carry_out(request, goal, subtasks_read, form.notes, approve=action == "approve")
    except DomainError as error:
        form.error = error.message
        return _form(request, goal, form, status=422)


def _carry_out(
    request: HttpRequest, goal: Task, subtasks: list[PlannedSubtask], notes: str, *, approve: bool
) -> HttpResponse:
    """Save what was changed, and with `approve` carry it out: what is seen is what is done."""
    who, now = request.user.get_username(), now_utc()
    with transaction.atomic():
        if not _is_kept(goal, subtasks, notes):
            plan_drafts.write_draft(goal.id, subtasks, notes=notes, by=who, now=now)
        if approve:
            plan_drafts.approve_draft(goal.id, by=who, now=now)
    if approve:
        return saved(f"The plan of {goal.title} is carried out", *_PARTS)
    return saved(f"The plan of {goal.title} is saved", *_PARTS, stay=True)


def _reject(request: HttpRequest, goal: Task) -> HttpResponse:
    reason = require_text("reason", request.POST.get("reason", ""), REVIEW_REASONS_CHARS_MAX)
    who = request.user.get_username()
    plan_drafts.reject_draft(goal.id, reason=reason, by=who, now=now_utc())
    return saved(f"{goal.title} is planned again", *_PARTS)


def _is_kept(goal: Task, subtasks: list[PlannedSubtask], notes: str) -> bool:
    if goal.plan_draft is None:
        return False
    same_notes = plan_drafts.cleaned_notes(notes) == plan_drafts.notes_of(goal)
    return same_notes and subtasks == plan_drafts.subtasks_of(goal)


def _pressed(request: HttpRequest) -> str:
    return request.POST.get("do", "save")


def _form(request: HttpRequest, goal: Task, form: PlanForm, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "goal": goal,
        "form": form,
        "draft": goal.plan_draft,
        "complexities": Complexity.values,
        "notes_max": plan_drafts.NOTES_CHARS_MAX,
        "all_open": len(form.rows) <= 2,
        "now": now_utc(),
    }
    return render(request, "dashboard/details/plan.html", context, status=status)

"""Plans that wait for their user: kept, edited, approved, or planned again with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import SUMMARY_CHARS_MAX
from swarm.errors import WrongState
from swarm.models import Task
from swarm.plain_text import clean_text
from swarm.plan import PlannedSubtask, items_of_plan
from swarm.replication import terms
from swarm.services import jobs
from swarm.services.attempts import cancel_open
from swarm.services.goals import PREPARE_GOAL, get_task, lane_of, store_plan
from swarm.services.planned_goals import FEEDBACK_CHARS_MAX
from swarm.services.transitions import note_event
from swarm.states import Actor, PlanApproval, TaskStatus

EDITED = ", edited by "
NOTES_CHARS_MAX = SUMMARY_CHARS_MAX  # as much as a member's record of the goal carries


class NoDraft(DomainError):
    """A goal that has no plan that waits for approval."""

    def __init__(self, goal: Task) -> None:
        super().__init__(
            "no_draft", f"goal {goal.id} is {goal.status} and has no plan that waits for approval"
        )


def wants_approval(goal: Task) -> bool:
    """Tell whether a goal's plan is shown to its user before it is carried out."""
    return (goal.plan_approval or settings.ENVIRONMENT.plan_approval) == PlanApproval.APPROVE


def drafts() -> QuerySet[Task]:
    """Return the goals of this node whose plan waits for approval, oldest first."""
    waiting = Task.objects.filter(status=TaskStatus.PLANNING, plan_draft__isnull=False)
    return waiting.order_by("updated_at")


def take_plan(
    goal: Task, subtasks: Sequence[PlannedSubtask], *, notes: str, by: str, now: datetime
) -> list[Task]:
    """Carry out a plan, or keep it until its user approves; returns the subtasks created.

    PlanError for a plan that is wrong, WrongState for a goal that is not planned any more.
    """
    items = items_of_plan(subtasks)
    if get_task(goal.id).generation != goal.generation:
        raise WrongState(f"goal {goal.id}", "planned otherwise", "planned by this answer")
    if wants_approval(goal):
        _keep(goal, subtasks, notes, by=by, now=now)
        how = f"see it on the dashboard, or POST /api/swarm/tasks/{goal.id.hex}/plan/approve"
        reason = f"the plan of {_counted(subtasks)} by {by} waits for approval: {how}"
        _note(goal, Actor.PLANNER, reason, now)
        return []
    return store_plan(
        goal.id,
        base_branch=goal.base_branch,
        base_commit=goal.base_commit,
        items=items,
        notes=cleaned_notes(notes),
        now=now,
    )


def get_draft(goal_id: UUID) -> Task:
    """Return a goal with its draft; NotFound, or NoDraft where nothing waits."""
    goal = get_task(goal_id)
    if goal.plan_draft is None:
        raise NoDraft(goal)
    return goal


def write_draft(
    goal_id: UUID, subtasks: Sequence[PlannedSubtask], *, notes: str, by: str, now: datetime
) -> Task:
    """Replace the plan that waits by an edited one, or write one where no planner made any.

    A planner that is still at work on the goal is stopped. PlanError for a plan that is wrong,
    WrongState for a goal that is not being planned, or not yet prepared.
    """
    terms.require_emperor()
    items_of_plan(subtasks)
    with transaction.atomic():
        goal = _planning(goal_id)
        before = str((goal.plan_draft or {}).get("by", "")).partition(EDITED)[0]
        _keep(goal, subtasks, notes, by=f"{before}{EDITED}{by}" if before else by, now=now)
        cancel_open(
            goal.id, assigner_node_id=local_node().node_id, reason="planned by hand", now=now
        )
        verb = "written" if goal.plan_draft is None else "edited"
        _note(goal, Actor.OPERATOR, f"the plan is {verb} by {by}: {_counted(subtasks)}", now)
        return get_task(goal_id)


def approve_draft(goal_id: UUID, *, by: str, now: datetime) -> list[Task]:
    """Carry out the plan that waits; NoDraft, or WrongState when another was faster."""
    terms.require_emperor()
    with transaction.atomic():
        goal = get_draft(goal_id)
        subtasks = subtasks_of(goal)
        _note(goal, Actor.OPERATOR, f"the plan of {_counted(subtasks)} is approved by {by}", now)
        return store_plan(
            goal.id,
            base_branch=goal.base_branch,
            base_commit=goal.base_commit,
            items=items_of_plan(subtasks),
            notes=notes_of(goal),
            now=now,
        )


def reject_draft(goal_id: UUID, *, reason: str, by: str, now: datetime) -> Task:
    """Have a goal planned again, its planner being told why; NoDraft where nothing waits."""
    terms.require_emperor()
    with transaction.atomic():
        goal = get_draft(goal_id)
        titles = "\n".join(f"- {each.title}" for each in subtasks_of(goal))
        feedback = f"The last plan was rejected: {reason}\n\nIts subtasks were:\n{titles}"
        return plan_again(goal, f"the plan is rejected by {by}: {reason}", now, feedback=feedback)


def plan_again(goal: Task, reason: str, now: datetime, *, feedback: str = "") -> Task:
    """Prepare and plan a goal anew: a draft is dropped, and so is what a model answers late.

    The operator's word is worth one more attempt of a planner agent where none is left.
    """
    if goal.status != TaskStatus.PLANNING:
        raise WrongState(f"goal {goal.id}", goal.status, TaskStatus.PLANNING)
    changed: dict[str, Any] = {"feedback": feedback[:FEEDBACK_CHARS_MAX]} if feedback else {}
    Task.objects.filter(id=goal.id, status=TaskStatus.PLANNING).update(
        plan_draft=None,
        generation=F("generation") + 1,
        error="",
        progress="",
        updated_at=now,
        **changed,
    )
    spent = Task.objects.filter(id=goal.id, attempt__gte=F("attempts_max"))
    spent.update(attempts_max=F("attempt") + 1)
    jobs.enqueue(PREPARE_GOAL, key=goal.id.hex, lane=lane_of(goal), now=now)
    _note(goal, Actor.OPERATOR, reason, now)
    ring_on_commit()
    return get_task(goal.id)


def subtasks_of(goal: Task) -> list[PlannedSubtask]:
    """Return the subtasks of a goal's draft."""
    return [PlannedSubtask.model_validate(each) for each in (goal.plan_draft or {})["subtasks"]]


def notes_of(goal: Task) -> str:
    """Return the notes of a goal's draft, or those that it is carried out with."""
    return str((goal.plan_draft or {}).get("notes", "")) or goal.notes


def cleaned_notes(notes: str) -> str:
    """Return notes without what steers a terminal; DomainError `too_long`."""
    return clean_text("notes", notes, NOTES_CHARS_MAX).strip()


def _planning(goal_id: UUID) -> Task:
    goal = get_task(goal_id)
    if goal.status != TaskStatus.PLANNING or not goal.base_commit:
        waits = goal.status == TaskStatus.PLANNING
        status = "not prepared yet" if waits else goal.status
        raise WrongState(f"goal {goal.id}", status, "planned by hand")
    return goal


def _keep(
    goal: Task, subtasks: Sequence[PlannedSubtask], notes: str, *, by: str, now: datetime
) -> None:
    draft = {
        "notes": cleaned_notes(notes),
        "subtasks": [_storable(each.model_dump()) for each in subtasks],
        "by": by,
    }
    still = Q(id=goal.id, status=TaskStatus.PLANNING, generation=goal.generation)
    kept = Task.objects.filter(still).update(
        plan_draft=draft,
        generation=F("generation") + 1,
        assigned_node="",
        assigned_agent="",
        progress="",
        error="",
        updated_at=now,
    )
    if not kept:
        raise WrongState(f"goal {goal.id}", "planned otherwise", "kept for approval")


def _storable(value: Any) -> Any:
    """Return JSON data without what a database refuses: zero bytes and halves of characters."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {name: _storable(each) for name, each in value.items()}
    return value


def _counted(subtasks: Sequence[PlannedSubtask]) -> str:
    return f"{len(subtasks)} subtask{'' if len(subtasks) == 1 else 's'}"


def _note(goal: Task, by: Actor, reason: str, now: datetime) -> None:
    status = TaskStatus.PLANNING
    note_event(get_task(goal.id), status, status, by=by, reason=reason, now=now)

"""Plans that wait for approval, over REST."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.protocol.limits import REVIEW_REASONS_CHARS_MAX
from swarm.models import Task, TaskCopy
from swarm.outline import ITEMS_MAX
from swarm.plan import PlannedSubtask
from swarm.queries import describe_task
from swarm.replication.terms import not_emperor
from swarm.services import plan_drafts
from swarm.services.goals import get_task

router = Router(tags=["tasks"])


class PlanIn(Schema):
    """A whole plan, which replaces the one that waits."""

    model_config = ConfigDict(extra="forbid")

    notes: Annotated[
        str,
        Field(max_length=plan_drafts.NOTES_CHARS_MAX, description="For the agents of all of it."),
    ] = ""
    subtasks: Annotated[list[PlannedSubtask], Field(description=f"1 to {ITEMS_MAX} subtasks.")]


class RejectPlanIn(Schema):
    """Why a plan is not what was wanted: its planner is told."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=REVIEW_REASONS_CHARS_MAX)]


@router.get("/tasks/{task_id}/plan", summary="Show the plan that waits for approval")
def show_plan(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """The subtasks and the notes as they would be carried out; 409 when no plan waits."""
    _require_own(task_id)
    return _describe(plan_drafts.get_draft(task_id))


@router.put("/tasks/{task_id}/plan", summary="Edit the plan that waits for approval")
def edit_plan(request: HttpRequest, task_id: UUID, body: PlanIn) -> dict[str, Any]:
    """Replace the plan that waits, or write one where no planner made any.

    It is checked as a whole: 422 names the subtask and the field. It then waits for approval.
    """
    _require_own(task_id)
    goal = plan_drafts.write_draft(
        task_id, body.subtasks, notes=body.notes, by=_caller(request), now=now_utc()
    )
    return _describe(goal)


@router.post("/tasks/{task_id}/plan/approve", summary="Approve a plan")
def approve_plan(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """Create the subtasks and give them to agents; 409 when no plan waits."""
    _require_own(task_id)
    plan_drafts.approve_draft(task_id, by=_caller(request), now=now_utc())
    return describe_task(get_task(task_id))


@router.post("/tasks/{task_id}/plan/reject", summary="Reject a plan")
def reject_plan(request: HttpRequest, task_id: UUID, body: RejectPlanIn) -> dict[str, Any]:
    """Have the goal planned again, its planner being told the reason; 409 when no plan waits."""
    _require_own(task_id)
    return describe_task(
        plan_drafts.reject_draft(task_id, reason=body.reason, by=_caller(request), now=now_utc())
    )


def _describe(goal: Task) -> dict[str, Any]:
    subtasks = [each.model_dump() for each in plan_drafts.subtasks_of(goal)]
    return {
        "task_id": goal.id.hex,
        "by": (goal.plan_draft or {}).get("by", ""),
        "notes": plan_drafts.notes_of(goal),
        "subtasks": subtasks,
    }


def _require_own(task_id: UUID) -> None:
    """Raise NotEmperor for a goal that another node moves."""
    if not Task.objects.filter(id=task_id).exists():
        copy = TaskCopy.objects.filter(id=task_id).first()
        if copy is not None:
            raise not_emperor(copy.emperor_node_id)


def _caller(request: HttpRequest) -> str:
    """Return who decides: the name of the session's user, or that of the API token."""
    caller = getattr(request, "auth", "")
    return caller if isinstance(caller, str) else str(caller.get_username())

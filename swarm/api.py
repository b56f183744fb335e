"""The swarm over REST: goals and their subtasks, agents, and this node's runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from swarm.agent_api import router as agent_router
from swarm.budgets.limits import Limits
from swarm.budgets.money import USD_MAX
from swarm.budgets.spent import set_limits
from swarm.descriptions import (
    describe_attempt,
    describe_event,
    describe_merge_run,
    describe_test_run,
)
from swarm.models import Attempt, Task
from swarm.queries import describe_task, trouble_of
from swarm.services.answering import answer_task
from swarm.services.goals import GoalRequest, cancel_task, create_goal, get_task
from swarm.states import AttemptStatus, TaskStatus

router = Router()
router.add_router("", agent_router)


class TaskQuery(PageQuery):
    """Which tasks are wanted: of a status, below a goal, or `none` for the goals themselves."""

    status: TaskStatus | None = None
    parent: Annotated[str, Field(pattern=r"^(none|[0-9a-fA-F-]{32,36})?$")] = ""


class BudgetIn(Schema):
    """What a task, or each subtask of a goal, may use; null for no limit."""

    model_config = ConfigDict(extra="forbid")

    time_limit_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    token_limit: Annotated[int, Field(ge=1, le=10**12)] | None = None
    cost_limit_usd: Annotated[float, Field(gt=0, le=USD_MAX)] | None = None
    on_budget: Literal["", "stop", "ask"] = ""


class GoalIn(Schema):
    """A goal: an outline, the repository it is about, and how it is proved."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[
        str, Field(min_length=1, max_length=100_000, description="The outline, in Markdown.")
    ]
    repository: Annotated[str, Field(min_length=1, max_length=512)]
    title: Annotated[str, Field(max_length=200)] = ""
    base_branch: Annotated[str, Field(max_length=200)] = ""
    test_command: Annotated[str, Field(max_length=1000)] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    budget: BudgetIn | None = None


class CancelIn(Schema):
    """Why a task is cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)] = "cancelled by the operator"


class AnswerIn(Schema):
    """What the operator answers to the agent of a task."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=4000)]


class AttemptQuery(PageQuery):
    """Which runs are wanted."""

    status: AttemptStatus | None = None


@router.get("/tasks", tags=["tasks"], summary="List tasks")
def list_tasks(request: HttpRequest, query: Query[TaskQuery]) -> dict[str, Any]:
    """Goals and subtasks, newest first."""
    rows = Task.objects.all()
    if query.status:
        rows = rows.filter(status=query.status)
    if query.parent == "none":
        rows = rows.filter(parent__isnull=True)
    elif query.parent:
        rows = rows.filter(parent_id=get_task(_uuid(query.parent)).id)
    return paginate(rows, query, order="-created_at", describe=describe_task)


@router.post("/tasks", tags=["tasks"], summary="Submit a goal", response={201: dict})
def submit_goal(request: HttpRequest, goal: GoalIn) -> Status[dict[str, Any]]:
    """Store a goal; it is planned, dispatched, merged and tested from here on."""
    fields = goal.dict(exclude={"budget"})
    limits = Limits(**goal.budget.dict()) if goal.budget else Limits()
    created = create_goal(GoalRequest(**fields, limits=limits), now=now_utc())
    return Status(201, describe_task(created))


@router.get("/tasks/{task_id}", tags=["tasks"], summary="Show a task")
def show_task(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """One task with its prerequisites, how it was asked for and what holds its goal up now."""
    task = get_task(task_id)
    return {
        **describe_task(task),
        "description": task.description,
        "instructions": task.instructions,
        "shell": task.shell,
        "feedback": task.feedback,
        "depends_on": [each.id.hex for each in task.depends_on.order_by("number")],
        "trouble": trouble_of(task),
    }


@router.get("/tasks/{task_id}/subtasks", tags=["tasks"], summary="List a goal's subtasks")
def list_subtasks(request: HttpRequest, task_id: UUID, page: Query[PageQuery]) -> dict[str, Any]:
    """The subtasks of a goal in plan order."""
    subtasks = get_task(task_id).subtasks.all()
    return paginate(subtasks, page, order="number", describe=describe_task)


@router.get("/tasks/{task_id}/events", tags=["tasks"], summary="List a task's transitions")
def list_events(request: HttpRequest, task_id: UUID, page: Query[PageQuery]) -> dict[str, Any]:
    """Who moved the task where, why and on what evidence; oldest first."""
    return paginate(get_task(task_id).events.all(), page, order="id", describe=describe_event)


@router.get("/tasks/{task_id}/evidence", tags=["tasks"], summary="Show a goal's evidence")
def show_evidence(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """The gate's merge runs and test runs of a goal, oldest first."""
    task = get_task(task_id)
    goal = task.parent or task
    return {
        "goal_id": goal.id.hex,
        "merge_runs": [describe_merge_run(run) for run in goal.merge_runs.all()],
        "test_runs": [describe_test_run(run) for run in goal.test_runs.all()],
    }


@router.post("/tasks/{task_id}/cancel", tags=["tasks"], summary="Cancel a task")
def cancel(request: HttpRequest, task_id: UUID, body: CancelIn | None = None) -> dict[str, Any]:
    """Cancel a task and its open subtasks; 409 when it has already ended."""
    reason = (body or CancelIn()).reason
    return describe_task(cancel_task(task_id, reason=reason, now=now_utc()))


@router.post("/tasks/{task_id}/answer", tags=["tasks"], summary="Answer a task's question")
def answer(request: HttpRequest, task_id: UUID, body: AnswerIn) -> dict[str, Any]:
    """Answer the agent that asked, here or on another node; 409 when nothing is asked."""
    return describe_task(answer_task(task_id, text=body.text, now=now_utc()))


@router.post("/tasks/{task_id}/budget", tags=["tasks"], summary="Set a task's budget")
def set_budget(request: HttpRequest, task_id: UUID, body: BudgetIn) -> dict[str, Any]:
    """Replace a task's limits; one that waits for this decision goes back to work."""
    return describe_task(set_limits(task_id, Limits(**body.dict()), now=now_utc()))


@router.get("/attempts", tags=["tasks"], summary="List this node's runs")
def list_attempts(request: HttpRequest, query: Query[AttemptQuery]) -> dict[str, Any]:
    """Runs of tasks by this node's agents, for itself and for other nodes, newest first."""
    rows = Attempt.objects.select_related("agent")
    if query.status:
        rows = rows.filter(status=query.status)
    return paginate(rows, query, order="-created_at", describe=describe_attempt)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)  # matches the pattern, but is no id: there is no such task

"""Tasks over REST: this node's own, and at a member the copies of its emperor's."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate, paginate_together
from p2p.protocol.limits import DESCRIPTION_CHARS_MAX
from swarm.budgets.limits import Limits
from swarm.budgets.money import USD_MAX
from swarm.budgets.spent import set_limits
from swarm.descriptions import (
    describe_event,
    describe_flaky_test,
    describe_merge_run,
    describe_test_run,
)
from swarm.forge.queries import describe_contribution
from swarm.gate.flaky import flaky_tests_of
from swarm.models import Task, TaskCopy
from swarm.queries import describe_task, describe_tasks, trouble_of
from swarm.replication.bodies import copy_details, copy_history, describe_copy
from swarm.replication.terms import has_members, not_emperor, require_emperor
from swarm.services import repeated_goals
from swarm.services.answering import answer_task
from swarm.services.goals import GoalRequest, cancel_task, create_goal, get_task
from swarm.services.lifecycle import archive_task, requeue_task
from swarm.states import TaskStatus

router = Router(tags=["tasks"])

NO_TASK = UUID(int=0)


class TaskQuery(PageQuery):
    """Which tasks are wanted: of a status, below a goal, or `none` for the goals themselves."""

    status: TaskStatus | None = None
    parent: Annotated[str, Field(pattern=r"^(none|[0-9a-fA-F-]{32,36})?$")] = ""
    archived: Annotated[
        Literal["no", "yes", "any"], Field(description="Archived tasks are left out by default.")
    ] = "no"


class BudgetIn(Schema):
    """What a task, or each subtask of a goal, may use; null for no limit."""

    model_config = ConfigDict(extra="forbid")

    time_limit_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    token_limit: Annotated[int, Field(ge=1, le=10**12)] | None = None
    cost_limit_usd: Annotated[float, Field(gt=0, le=USD_MAX)] | None = None
    on_budget: Literal["", "stop", "ask"] = ""


class AnswerIn(Schema):
    """What the operator answers to the agent of a task."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=4000)]


class GoalIn(Schema):
    """A goal: an outline, the repository it is about, and how it is proved."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[
        str,
        Field(min_length=1, max_length=DESCRIPTION_CHARS_MAX, description="The outline, Markdown."),
    ]
    repository: Annotated[str, Field(min_length=1, max_length=512)]
    title: Annotated[str, Field(max_length=200)] = ""
    base_branch: Annotated[str, Field(max_length=200)] = ""
    test_command: Annotated[str, Field(max_length=1000)] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    budget: BudgetIn | None = None
    auto_merge: (
        Annotated[bool, Field(description="Merge the pull request when its checks are green.")]
        | None
    ) = None
    plan_approval: Annotated[
        Literal["", "auto", "approve"],
        Field(description="Whether its plan waits for your approval; empty: as the node is set."),
    ] = ""


class ReasonIn(Schema):
    """Why the operator steps in."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None


@router.get("/tasks", summary="List tasks")
def list_tasks(request: HttpRequest, query: Query[TaskQuery]) -> dict[str, Any]:
    """Goals and subtasks, newest first; without archived ones unless they are asked for."""
    own, copies = Task.objects.all(), TaskCopy.objects.all()
    if query.status:
        own, copies = own.filter(status=query.status), copies.filter(status=query.status)
    if query.archived != "any":
        shown = {"archived_at__isnull": query.archived == "no"}
        own, copies = own.filter(**shown), copies.filter(**shown)
    if query.parent == "none":
        own, copies = own.filter(parent__isnull=True), copies.filter(parent_id__isnull=True)
    elif query.parent:
        parent_id = _existing(_uuid(query.parent))
        own, copies = own.filter(parent_id=parent_id), copies.filter(parent_id=parent_id)
    return _page(own, copies, query, order="-created_at")


@router.post("/tasks", summary="Submit a goal", response={201: dict})
def submit_goal(request: HttpRequest, goal: GoalIn) -> Status[dict[str, Any]]:
    """Store a goal; it is planned, dispatched, merged and tested from here on.

    With an Idempotency-Key that came before, also to an earlier emperor, that goal is answered.
    """
    require_emperor()
    key = request.headers.get("Idempotency-Key", "")
    goal_id = repeated_goals.goal_id_of(key) if key else None
    if goal_id is not None:
        earlier = repeated_goals.find(goal_id, goal.description, goal.repository)
        if earlier is not None:
            return Status(201, earlier)
    fields = goal.dict(exclude={"budget"})
    limits = Limits(**goal.budget.dict()) if goal.budget else Limits()
    created = create_goal(GoalRequest(**fields, limits=limits), now=now_utc(), goal_id=goal_id)
    return Status(201, describe_task(created))


@router.get("/tasks/{task_id}", summary="Show a task")
def show_task(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """One task with its prerequisites, how it was asked for and what holds its goal up now."""
    copy = _copy_of(task_id)
    if copy is not None:
        names = ("trouble", "contribution", "test_run_count", "plan_waits")
        unknown: dict[str, None] = dict.fromkeys(names)
        return {**describe_copy(copy), **copy_details(copy), **unknown}
    task = _known(task_id)
    return {
        **describe_task(task),
        "description": task.description,
        "instructions": task.instructions,
        "shell": task.shell,
        "feedback": task.feedback,
        "depends_on": [each.id.hex for each in task.depends_on.order_by("number")],
        "test_run_count": task.test_runs.count(),
        "trouble": trouble_of(task),
        "auto_merge": task.auto_merge,
        "contribution": describe_contribution(task),
        "notes": task.notes,
        "plan_approval": task.plan_approval,
        "plan_waits": task.status == TaskStatus.PLANNING and task.plan_draft is not None,
    }


@router.get("/tasks/{task_id}/subtasks", summary="List a goal's subtasks")
def list_subtasks(request: HttpRequest, task_id: UUID, page: Query[PageQuery]) -> dict[str, Any]:
    """The subtasks of a goal in plan order."""
    goal_id = _existing(task_id)
    own = Task.objects.filter(parent_id=goal_id)
    return _page(own, TaskCopy.objects.filter(parent_id=goal_id), page, order="number")


@router.get("/tasks/{task_id}/events", summary="List a task's transitions")
def list_events(request: HttpRequest, task_id: UUID, page: Query[PageQuery]) -> dict[str, Any]:
    """Who moved the task where, why and on what evidence; oldest first.

    Of another emperor's task the last ones are known, without their evidence.
    """
    copy = _copy_of(task_id)
    if copy is not None:
        return {"items": copy_history(copy), "next_cursor": None}
    return paginate(_known(task_id).events.all(), page, order="id", describe=describe_event)


@router.get("/tasks/{task_id}/evidence", summary="Show a goal's evidence")
def show_evidence(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """The gate's merge runs and test runs of a goal, oldest first; its emperor alone has them.

    With them the tests of its repository that are known to be flaky, the last one first.
    """
    _require_own(task_id)
    task = get_task(task_id)
    goal = task.parent or task
    return {
        "goal_id": goal.id.hex,
        "merge_runs": [describe_merge_run(run) for run in goal.merge_runs.all()],
        "test_runs": [describe_test_run(run) for run in goal.test_runs.all()],
        "flaky_tests": [describe_flaky_test(each) for each in flaky_tests_of(goal)],
    }


@router.post("/tasks/{task_id}/cancel", summary="Cancel a task")
def cancel(request: HttpRequest, task_id: UUID, body: ReasonIn | None = None) -> dict[str, Any]:
    """Cancel a task and its open subtasks; 409 when it has already ended."""
    _require_own(task_id)
    reason = (body and body.reason) or "cancelled by the operator"
    return describe_task(cancel_task(task_id, reason=reason, now=now_utc()))


@router.post("/tasks/{task_id}/requeue", summary="Queue a task anew")
def requeue(request: HttpRequest, task_id: UUID, body: ReasonIn | None = None) -> dict[str, Any]:
    """Take a subtask from whoever has it, or plan a goal again; 409 when there is nothing to."""
    _require_own(task_id)
    reason = (body and body.reason) or "queued anew by the operator"
    return describe_task(requeue_task(task_id, reason=reason, now=now_utc()))


@router.post("/tasks/{task_id}/archive", summary="Archive a task")
def archive(request: HttpRequest, task_id: UUID) -> dict[str, Any]:
    """Hide a task that has ended, with its subtasks, from lists; 409 when it has not."""
    _require_own(task_id)
    return describe_task(archive_task(task_id, now=now_utc()))


@router.post("/tasks/{task_id}/answer", summary="Answer a task's question")
def answer(request: HttpRequest, task_id: UUID, body: AnswerIn) -> dict[str, Any]:
    """Answer the agent that asked, here or on another node; 409 when nothing is asked."""
    _require_own(task_id)
    return describe_task(answer_task(task_id, text=body.text, now=now_utc()))


@router.post("/tasks/{task_id}/budget", summary="Set a task's budget")
def set_budget(request: HttpRequest, task_id: UUID, body: BudgetIn) -> dict[str, Any]:
    """Replace a task's limits; one that waits for this decision goes back to work."""
    _require_own(task_id)
    return describe_task(set_limits(task_id, Limits(**body.dict()), now=now_utc()))


def _page(
    own: QuerySet[Task], copies: QuerySet[TaskCopy], page: PageQuery, *, order: str
) -> dict[str, Any]:
    if not TaskCopy.objects.exists():
        return _own_page(own, page, order)
    return paginate_together([(own, describe_task), (copies, describe_copy)], page, order=order)


def _own_page(own: QuerySet[Task], page: PageQuery, order: str) -> dict[str, Any]:
    found = paginate(own, page, order=order, describe=lambda task: {"task": task})
    tasks = [each["task"] for each in found["items"]]
    return {"items": describe_tasks(tasks), "next_cursor": found["next_cursor"]}


def _existing(task_id: UUID) -> UUID:
    """Return the id of a task that is known here, own or not; NotFound for another."""
    return task_id if _copy_of(task_id) is not None else _known(task_id).id


def _known(task_id: UUID) -> Task:
    """Return a task of this node's; the emperor may know one of which no copy has come yet."""
    task = Task.objects.filter(id=task_id).first()
    if task is None and has_members():
        require_emperor()
    return task or get_task(task_id)


def _copy_of(task_id: UUID) -> TaskCopy | None:
    if Task.objects.filter(id=task_id).exists():
        return None
    return TaskCopy.objects.filter(id=task_id).first()


def _require_own(task_id: UUID) -> None:
    """Raise NotEmperor for a task that another node moves, or that only the emperor may know."""
    copy = _copy_of(task_id)
    if copy is not None:
        raise not_emperor(copy.emperor_node_id)
    if not Task.objects.filter(id=task_id).exists():
        require_emperor()


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return NO_TASK  # matches the pattern, but is no id: there is no such task

"""Goals: from the user's outline to stored subtasks, and from merged subtasks to an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.budgets.limits import NO_LIMITS, Limits, columns_of
from swarm.errors import NotFound, WrongState
from swarm.git.repository import validate_url
from swarm.models import Task
from swarm.outline import PROMPTS, OutlineItem, parse_goal, parse_outline
from swarm.replication import terms
from swarm.replication.tasks import publish_task
from swarm.services import jobs
from swarm.services.dependencies import check_acyclic
from swarm.services.transitions import move_task, note_event
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus, TestSource

PREPARE_GOAL = "prepare_goal"
GATE = "gate"
TITLE_CHARS_MAX = 200
TEST_COMMAND_CHARS_MAX = 1000
PRIORITY_LIMIT = 100


@dataclass(frozen=True, kw_only=True)
class GoalRequest:
    """What a user asks for: an outline, the repository it is about and how it is proved.

    A description without a checklist is planned by a language model, or by an agent with the
    capability `planner`.

    Without a test command (None) the node's VOIDLUX_TEST_COMMAND proves it, or else what the
    repository names; "" means no test.
    Without a word on `auto_merge` (None) VOIDLUX_AUTO_MERGE counts, without one on
    `plan_approval` ("") VOIDLUX_PLAN_APPROVAL.
    """

    description: str
    repository: str
    title: str = ""
    base_branch: str = ""
    test_command: str | None = None
    priority: int = 0
    limits: Limits = NO_LIMITS
    auto_merge: bool | None = None
    plan_approval: str = ""


def create_goal(request: GoalRequest, *, now: datetime, goal_id: UUID | None = None) -> Task:
    """Store a goal and start to prepare it; DomainError names what is wrong with the request.

    Without a `goal_id` it gets a new one.
    """
    terms.require_emperor()
    outline = parse_goal(request.description)
    title = (request.title or outline.title or outline.items[0].title).strip()
    test_command, test_source = _test_of(request)
    auto_merge = request.auto_merge
    if auto_merge is None:
        auto_merge = settings.ENVIRONMENT.auto_merge == "on"
    _check(title, test_command, request)
    with transaction.atomic():
        goal = Task.objects.create(
            id=goal_id or uuid4(),
            title=title,
            description=request.description,
            instructions=outline.intro,
            status=TaskStatus.PLANNING,
            repository=request.repository,
            base_branch=request.base_branch,
            test_command=test_command,
            test_source=test_source,
            priority=request.priority,
            auto_merge=auto_merge,
            plan_approval=request.plan_approval,
            **columns_of(request.limits),
            created_by=local_node().node_id,
            created_at=now,
            updated_at=now,
        )
        note_event(
            goal, "", TaskStatus.PLANNING, by=Actor.OPERATOR, reason="goal submitted", now=now
        )
        jobs.enqueue(PREPARE_GOAL, key=goal.id.hex, lane=lane_of(goal), now=now)
    return goal


def lane_of(goal: Task) -> str:
    """Return the lane of a goal's jobs: one at a time per repository."""
    return f"repository:{goal.repository}"


def enqueue_gate(goal: Task, *, now: datetime, at_once: bool = False) -> None:
    """Ask for a run of the merge gate over a goal's ready subtasks.

    While others of them are at work it waits up to VOIDLUX_BATCH_WAIT_S for those that are about
    to report too, so that one test run judges all of them; not where it is wanted `at_once`.
    """
    wait_s = 0.0 if at_once else settings.ENVIRONMENT.batch_wait_s
    waits = wait_s > 0 and goal.subtasks.filter(status__in=TASK_WITH_AGENT).exists()
    due_at = now + timedelta(seconds=wait_s) if waits else now
    job = jobs.enqueue(GATE, key=goal.id.hex, lane=lane_of(goal), now=now, due_at=due_at)
    if not waits and job.due_at > now:
        jobs.bring_forward(job, now=now)


def store_plan(
    goal_id: UUID,
    *,
    base_branch: str,
    base_commit: str,
    items: Sequence[OutlineItem] | None = None,
    notes: str = "",
    now: datetime,
) -> list[Task]:
    """Create all subtasks of a goal with their dependencies in one transaction.

    Without `items` they are read from the goal's own outline. All of their agents get the `notes`.
    """
    with transaction.atomic():
        goal = move_task(
            goal_id,
            TaskStatus.IN_PROGRESS,
            by=Actor.PLANNER,
            reason=f"planned on {base_branch} at {base_commit[:8]}",
            now=now,
            base_branch=base_branch,
            base_commit=base_commit,
            notes=notes,
            plan_draft=None,
            progress="",
            feedback="",
            error="",
        )
        items = parse_outline(goal.description).items if items is None else items
        check_acyclic({item.number: item.after for item in items})
        subtasks = {item.number: _create_subtask(goal, item, now) for item in items}
        for item in items:
            subtasks[item.number].depends_on.set([subtasks[number] for number in item.after])
            publish_task(subtasks[item.number], now)
        publish_task(goal, now)  # once more: it says now how many subtasks there are
    return list(subtasks.values())


def cancel_task(task_id: UUID, *, reason: str, now: datetime) -> Task:
    """Cancel a task and its open subtasks; WrongState when it has already ended."""
    terms.require_emperor()
    with transaction.atomic():
        task = move_task(
            task_id, TaskStatus.CANCELLED, by=Actor.OPERATOR, reason=reason, now=now, error=reason
        )
        for subtask in task.subtasks.exclude(status__in=TASK_TERMINAL):
            move_task(
                subtask.id,
                TaskStatus.CANCELLED,
                by=Actor.DEPENDENCY,
                reason=f"goal cancelled: {reason}",
                now=now,
            )
        if task.parent_id:
            settle_dependants(task.parent_id, now=now)
    return task


def fail_goal(goal_id: UUID, *, reason: str, now: datetime) -> None:
    """End a goal that cannot go on: its open subtasks are cancelled, itself failed."""
    with transaction.atomic():
        goal = get_task(goal_id)
        if goal.status in TASK_TERMINAL:
            return
        for subtask in goal.subtasks.exclude(status__in=TASK_TERMINAL):
            move_task(subtask.id, TaskStatus.CANCELLED, by=Actor.DEPENDENCY, reason=reason, now=now)
        by = {TaskStatus.PLANNING: Actor.PLANNER, TaskStatus.MERGING: Actor.GATE}.get(
            TaskStatus(goal.status), Actor.DEPENDENCY
        )
        move_task(goal_id, TaskStatus.FAILED, by=by, reason=reason, now=now, error=reason)


def cancel_left_over(goal: Task, *, now: datetime) -> None:
    """Cancel subtasks that are still open though their goal has ended."""
    for subtask in goal.subtasks.exclude(status__in=TASK_TERMINAL):
        move_task(
            subtask.id,
            TaskStatus.CANCELLED,
            by=Actor.DEPENDENCY,
            reason=f"its goal is {goal.status}",
            now=now,
        )


def settle_dependants(goal_id: UUID, *, now: datetime) -> None:
    """Free subtasks whose prerequisites are merged, fail those whose prerequisites failed.

    When every subtask has ended the gate decides the goal, or the goal fails with them.
    """
    with transaction.atomic():
        while _settle_round(goal_id, now):
            pass
        goal = get_task(goal_id)
        if goal.status != TaskStatus.IN_PROGRESS:
            return
        statuses = set(goal.subtasks.values_list("status", flat=True))
        if not statuses <= TASK_TERMINAL:
            return
        if statuses == {TaskStatus.COMPLETED}:
            enqueue_gate(goal, now=now)
        else:
            _fail_with_subtasks(goal, now)


def get_task(task_id: UUID) -> Task:
    """Return a task, or raise NotFound."""
    task = Task.objects.filter(id=task_id).first()
    if task is None:
        raise NotFound("task", task_id)
    return task


def _test_of(request: GoalRequest) -> tuple[str, str]:
    """Return the test command and who says it; empty where the repository is still to be asked."""
    if request.test_command is not None:
        return request.test_command.strip(), TestSource.GOAL
    command = settings.ENVIRONMENT.test_command
    return command, TestSource.ENVIRONMENT if command else ""


def _check(title: str, test_command: str, request: GoalRequest) -> None:
    validate_url(request.repository)
    limits = (
        ("title", title, TITLE_CHARS_MAX),
        ("base_branch", request.base_branch, TITLE_CHARS_MAX),
        ("test_command", test_command, TEST_COMMAND_CHARS_MAX),
    )
    for name, value, chars_max in limits:
        if len(value) > chars_max:
            raise DomainError(
                "too_long", f"{name} has {len(value)} characters, at most {chars_max}", status=422
            )
    if request.base_branch.startswith("-") or any(c in request.base_branch for c in " ~^:?*[\\"):
        raise DomainError(
            "bad_branch", f"base_branch {request.base_branch!r} is not a branch name", status=422
        )
    if abs(request.priority) > PRIORITY_LIMIT:
        raise DomainError(
            "bad_priority",
            f"priority {request.priority} is outside -{PRIORITY_LIMIT}..{PRIORITY_LIMIT}",
            status=422,
        )


def _needs(item: OutlineItem) -> list[str]:
    """Return what an agent must be able to do: without a shell block also to take a prompt."""
    implied = [] if item.shell else [PROMPTS]
    return list(dict.fromkeys([*item.capabilities, *implied]))


def _create_subtask(goal: Task, item: OutlineItem, now: datetime) -> Task:
    status = TaskStatus.BLOCKED if item.after else TaskStatus.PENDING
    subtask = Task.objects.create(
        parent=goal,
        number=item.number,
        title=item.title,
        instructions=item.instructions,
        shell=item.shell,
        acceptance_criteria=item.acceptance_criteria,
        complexity=item.complexity,
        test_command=item.test,
        required_capabilities=_needs(item),
        status=status,
        priority=goal.priority,
        repository=goal.repository,
        base_branch=goal.base_branch,
        created_by=goal.created_by,
        created_at=now,
        updated_at=now,
    )
    note_event(subtask, "", status, by=Actor.PLANNER, reason="planned", now=now)
    return subtask


def _settle_round(goal_id: UUID, now: datetime) -> bool:
    moved = False
    blocked = Task.objects.filter(parent_id=goal_id, status=TaskStatus.BLOCKED)
    for task in blocked.prefetch_related("depends_on"):
        statuses = {TaskStatus(each.status): each for each in task.depends_on.all()}
        lost = statuses.get(TaskStatus.FAILED) or statuses.get(TaskStatus.CANCELLED)
        if lost is not None:
            reason = f"prerequisite {lost.number} ({lost.title}) {lost.status}"
            move_task(
                task.id,
                TaskStatus.FAILED,
                by=Actor.DEPENDENCY,
                reason=reason,
                now=now,
                error=reason,
            )
            moved = True
        elif set(statuses) == {TaskStatus.COMPLETED}:
            move_task(
                task.id,
                TaskStatus.PENDING,
                by=Actor.DEPENDENCY,
                reason="every prerequisite is merged",
                now=now,
            )
    return moved


def _fail_with_subtasks(goal: Task, now: datetime) -> None:
    lost = goal.subtasks.exclude(status=TaskStatus.COMPLETED).order_by("number")
    reason = "; ".join(f"{task.number} {task.title}: {task.error or task.status}" for task in lost)
    move_task(
        goal.id,
        TaskStatus.FAILED,
        by=Actor.DEPENDENCY,
        reason=f"{lost.count()} subtasks did not complete",
        now=now,
        error=reason[:4000],
        result=f"integrate/{goal.id8}" if goal.integration_commit else "",
    )


def requeue_or_fail(
    task: Task, *, by: Actor, reason: str, feedback: str, evidence: dict[str, object], now: datetime
) -> Task:
    """Send a subtask back for another attempt, or fail it when none is left.

    The goal's other subtasks are settled with it.
    """
    left = task.attempt < task.attempts_max
    with transaction.atomic():
        moved = move_task(
            task.id,
            TaskStatus.PENDING if left else TaskStatus.FAILED,
            by=by,
            reason=reason if left else f"{reason}; attempt {task.attempt} was the last",
            now=now,
            evidence=evidence,
            feedback=feedback[:8000],
            error=reason,
            assigned_node="",
            assigned_agent="",
            assigned_agent_id=None,
            lease_expires_at=None,
            progress="",
        )
        if task.parent_id and not left:
            settle_dependants(task.parent_id, now=now)
    return moved


def prolong_leases(until: datetime) -> int:
    """Give every task with an agent until `until`: a node that was down heard no sign of life."""
    held = Task.objects.filter(status__in=TASK_WITH_AGENT, parent__isnull=False).filter(
        Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=until)
    )
    return held.update(lease_expires_at=until)


def requeue_lapsed(now: datetime) -> int:
    """Requeue tasks whose lease ran out without a sign of life; returns how many."""
    lapsed = list(Task.objects.filter(status__in=TASK_WITH_AGENT, lease_expires_at__lte=now)[:100])
    if not lapsed or not terms.is_emperor():
        return 0
    for task in lapsed:
        try:
            requeue_or_fail(
                task,
                by=Actor.LEASE,
                reason=f"no sign of life from {task.assigned_node[:8]} since its lease began",
                feedback=task.feedback,
                evidence={"lease_expires_at": str(task.lease_expires_at)},
                now=now,
            )
        except WrongState:
            continue  # its report came in between
    return len(lapsed)

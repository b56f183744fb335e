"""Planning by an agent: a goal without an outline goes to a planner, whose plan is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.hooks import TaskMoved
from swarm.models import Attempt, Task
from swarm.outline import shell_of
from swarm.plan import PlannedSubtask
from swarm.queries import idle_agents
from swarm.replication import terms
from swarm.services import planned_goals
from swarm.services.agents import capable, free_agent
from swarm.services.attempts import Assignment, cancel_open, move_attempt, start_attempt
from swarm.services.goals import get_task
from swarm.services.plan_drafts import take_plan
from swarm.states import ATTEMPT_TERMINAL, Actor, AttemptStatus, TaskStatus

GOALS_MAX = 100  # looked at in one round


def dispatch_planning(now: datetime) -> int:
    """Give prepared goals without an outline to free planners; returns how many were given."""
    goals = Task.objects.filter(
        status=TaskStatus.PLANNING,
        parent__isnull=True,
        subtasks__isnull=True,
        plan_draft__isnull=True,
    ).exclude(base_commit="")
    waiting = list(goals.order_by("-priority", "created_at")[:GOALS_MAX])
    waiting = [
        goal
        for goal in waiting
        if goal.attempt < goal.attempts_max and planned_goals.is_for_agents(goal)
    ]
    if not waiting or not terms.is_emperor():
        return 0
    return sum(_dispatch(goal, now) for goal in waiting)


def accept_plan(
    attempt: Attempt, subtasks: Sequence[PlannedSubtask], *, now: datetime
) -> list[Task]:
    """Take the plan of a planner agent and end its attempt, in one transaction.

    Returns the subtasks created: none where the plan waits for approval first. DomainError
    `not_planning` for an ordinary attempt, PlanError for a plan that is wrong.
    """
    if not attempt.planning:
        raise DomainError(
            "not_planning", "your task is to be done, not planned: call task_complete in the end"
        )
    by = attempt.agent.name if attempt.agent else "an agent"
    with transaction.atomic():
        goal = get_task(attempt.task_id)
        created = take_plan(goal, subtasks, notes="", by=by, now=now)
        Task.objects.filter(id=goal.id).update(assigned_node="", assigned_agent="")
        ended = move_attempt(
            attempt.id,
            AttemptStatus.SUCCEEDED,
            now=now,
            said_done_at=now,
            summary=f"planned {len(subtasks)} subtasks",
        )
        free_agent(ended, now=now)
    return created


def on_task_moved(moved: TaskMoved) -> None:
    """Stop the planner of a goal that was taken from planning by somebody else."""
    if moved.source == TaskStatus.PLANNING and moved.by != Actor.PLANNER:
        cancel_open(
            moved.task.id,
            assigner_node_id=local_node().node_id,
            reason=moved.reason,
            now=moved.now,
        )


def _dispatch(goal: Task, now: datetime) -> bool:
    open_ones = Attempt.objects.filter(
        task_id=goal.id, assigner_node_id=local_node().node_id, planning=True
    ).exclude(status__in=ATTEMPT_TERMINAL)
    if open_ones.exists():
        return False
    needed = [planned_goals.PLANNER, *goal.required_capabilities]
    planners = capable(list(idle_agents(now).order_by("status_since")), needed)
    with transaction.atomic():
        if not planners:
            planned_goals.note_no_planner(goal, now)
            return False
        claimed = planned_goals.claim_for_planner(goal, planners[0], now)
        if claimed is None:
            return False
        if start_attempt(_assignment(claimed), planners[:1], now=now) is None:
            # Cannot happen on the one database thread; were it to, nothing of it may stay.
            raise RuntimeError(f"planner {planners[0].name} was taken for goal {goal.id}")
    return True


def _assignment(goal: Task) -> Assignment:
    return Assignment(
        task_id=goal.id,
        assigner_node_id=local_node().node_id,
        title=goal.title,
        instructions=goal.description,
        shell=shell_of(goal.description),
        feedback=goal.feedback,
        repository=goal.repository,
        number=goal.attempt,
        generation=goal.generation,
        base_commit=goal.base_commit,
        planning=True,
    )

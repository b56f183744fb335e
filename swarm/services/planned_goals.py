"""Goals without an outline: who plans them, and how they are left whole when that fails."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from p2p import outbox
from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from swarm.errors import WrongState
from swarm.models import Agent, Job, Task
from swarm.queries import describe_task
from swarm.services import jobs
from swarm.services.goals import get_task
from swarm.services.transitions import note_event
from swarm.states import Actor, JobStatus, TaskStatus

PLANNER = "planner"
PLAN_GOAL = "plan_goal"
TRIES_MAX = 4  # of a job, where the model cannot be reached or is busy; each may take minutes
LANES = 2  # goals that are planned at once: a worker's other threads merge and review meanwhile
NO_PLANNER = f"waits for an agent with the capability {PLANNER!r}; this node has none that is free"
PREPARED = "prepared; its plan is wanted from a planner"
FOR_MODEL = "prepared; its plan is wanted from the language model"
MODEL_FAILED = "the language model made no plan"
GIVEN_UP = "plan it again, write its plan, or cancel the goal"
FEEDBACK_CHARS_MAX = 8_000


def planned_by_model() -> bool:
    """Tell whether a language model plans goals without an outline, and no agent."""
    environment = settings.ENVIRONMENT
    return (environment.planner or ("llm" if environment.llm_provider else "agent")) == "llm"


def is_for_agents(goal: Task) -> bool:
    """Tell whether a planner agent may plan a goal.

    Where a model plans only because there is one (VOIDLUX_PLANNER says nothing), an agent may
    follow once the model has given up; never while it is at work, or there would be two plans.
    """
    if not planned_by_model():
        return True
    return not settings.ENVIRONMENT.planner and _model_gave_up(goal)


def note_prepared(goal_id: UUID, *, base_branch: str, base_commit: str, now: datetime) -> None:
    """Keep where a goal starts that has no outline, and have it planned.

    One whose plan waits for approval stays as it is.
    """
    with transaction.atomic():
        prepared = Task.objects.filter(
            id=goal_id, status=TaskStatus.PLANNING, plan_draft__isnull=True
        ).update(base_branch=base_branch, base_commit=base_commit, updated_at=now)
        if not prepared:
            return
        if planned_by_model():
            _note(goal_id, FOR_MODEL, now)
            ask_model(goal_id, now=now)
        else:
            _note(goal_id, PREPARED, now)
        ring_on_commit()


def ask_model(goal_id: UUID, *, now: datetime) -> None:
    """Queue the question to the language model, beside the jobs of the goal's repository."""
    lane = f"planner:{goal_id.int % LANES}"
    jobs.enqueue(PLAN_GOAL, key=goal_id.hex, lane=lane, now=now, attempts_max=TRIES_MAX)


def claim_for_planner(goal: Task, agent: Agent, now: datetime) -> Task | None:
    """Give a goal's planning to an agent of this node; None when it was given before."""
    claimed = Task.objects.filter(
        id=goal.id, status=TaskStatus.PLANNING, generation=goal.generation
    ).update(
        generation=max(goal.generation, goal.generation_floor) + 1,
        attempt=F("attempt") + 1,
        assigned_node=local_node().node_id,
        assigned_agent=agent.name,
        progress=f"{agent.name} plans",
        updated_at=now,
    )
    if not claimed:
        return None
    _note(goal.id, f"planning given to {agent.name}", now)
    return get_task(goal.id)


def note_no_planner(goal: Task, now: datetime) -> None:
    """Say, once, that a goal waits because no planner is free."""
    told = (
        Task.objects.filter(id=goal.id, status=TaskStatus.PLANNING)
        .exclude(progress=NO_PLANNER)
        .update(progress=NO_PLANNER, updated_at=now)
    )
    if told:
        _note(goal.id, NO_PLANNER, now)


def note_progress(goal: Task, progress: str, now: datetime) -> None:
    """Show how far a model has come with a goal; WrongState once it is planned otherwise."""
    shown = Task.objects.filter(
        id=goal.id, status=TaskStatus.PLANNING, generation=goal.generation
    ).update(progress=progress, updated_at=now)
    if not shown:
        raise WrongState(f"goal {goal.id}", "planned otherwise or ended", "planned by this answer")
    task, planning = get_task(goal.id), str(TaskStatus.PLANNING)
    news = {"task": describe_task(task), "reason": progress}
    outbox.publish_event("task_update", planning, news, now=now)
    ring_on_commit()


def note_planning_failed(goal_id: UUID, *, code: str, error: str, now: datetime) -> None:
    """Leave a goal whole whose planner failed, and say so; another planner may follow."""
    goal = Task.objects.filter(id=goal_id).first()
    if goal is None or goal.status != TaskStatus.PLANNING:
        return
    last = goal.attempt >= goal.attempts_max
    reason = f"planning attempt {goal.attempt} failed: {_first_line(error) or code}"
    reason += f"; it was the last: {GIVEN_UP}" if last else ""
    feedback = error[:FEEDBACK_CHARS_MAX]
    _leave_whole(goal, reason, now, assigned_node="", assigned_agent="", feedback=feedback)


def note_model_failed(goal_id: UUID, *, error: str, now: datetime) -> None:
    """Leave a goal whole that the language model did not plan, and say so."""
    goal = Task.objects.filter(id=goal_id).first()
    if goal is not None and goal.status == TaskStatus.PLANNING and goal.plan_draft is None:
        reason = f"{MODEL_FAILED}: {_first_line(error)}"
        _leave_whole(goal, f"{reason[:400]}; {GIVEN_UP}", now)


def _leave_whole(goal: Task, reason: str, now: datetime, **columns: str) -> None:
    left = Task.objects.filter(id=goal.id, status=TaskStatus.PLANNING).update(
        progress="", error=reason, updated_at=now, **columns
    )
    if left:
        _note(goal.id, reason, now)
        ring_on_commit()


def _model_gave_up(goal: Task) -> bool:
    newest = Job.objects.filter(kind=PLAN_GOAL, key=goal.id.hex).order_by("-id").first()
    return newest is not None and newest.status == JobStatus.FAILED


def _first_line(error: str) -> str:
    return error.strip().splitlines()[0] if error.strip() else ""


def _note(goal_id: UUID, reason: str, now: datetime) -> None:
    goal, status = get_task(goal_id), TaskStatus.PLANNING
    note_event(goal, status, status, by=Actor.PLANNER, reason=reason, now=now)

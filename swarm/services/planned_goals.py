"""Goals whose plan an agent makes: prepared, claimed for a planner, and left whole by a failure."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from swarm.models import Agent, Task
from swarm.services.goals import get_task
from swarm.services.transitions import note_event
from swarm.states import Actor, TaskStatus

PLANNER = "planner"
NO_PLANNER = f"waits for an agent with the capability {PLANNER!r}; this node has none that is free"
PREPARED = "prepared; its plan is wanted from a planner"


def note_prepared(goal_id: UUID, *, base_branch: str, base_commit: str, now: datetime) -> None:
    """Keep where a goal starts that has no outline: it stays in planning for a planner."""
    with transaction.atomic():
        prepared = Task.objects.filter(id=goal_id, status=TaskStatus.PLANNING).update(
            base_branch=base_branch, base_commit=base_commit, updated_at=now
        )
        if prepared:
            _note(goal_id, PREPARED, now)
            ring_on_commit()


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


def note_planning_failed(goal_id: UUID, *, code: str, error: str, now: datetime) -> None:
    """Leave a goal whole whose planner failed, and say so; another planner may follow."""
    goal = Task.objects.filter(id=goal_id).first()
    if goal is None or goal.status != TaskStatus.PLANNING:
        return
    first_line = error.strip().splitlines()[0] if error.strip() else code
    last = goal.attempt >= goal.attempts_max
    reason = f"planning attempt {goal.attempt} failed: {first_line}"
    reason += "; it was the last: write an outline, or cancel the goal" if last else ""
    Task.objects.filter(id=goal_id, status=TaskStatus.PLANNING).update(
        assigned_node="",
        assigned_agent="",
        progress="",
        error=reason,
        feedback=error[:8000],
        updated_at=now,
    )
    _note(goal_id, reason, now)


def _note(goal_id: UUID, reason: str, now: datetime) -> None:
    goal, status = get_task(goal_id), TaskStatus.PLANNING
    note_event(goal, status, status, by=Actor.PLANNER, reason=reason, now=now)

"""The question to the planning model as a kind of job; what goes wrong leaves the goal whole."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings

from swarm.models import Job, Task
from swarm.planner.llm import plan_goal
from swarm.services import jobs
from swarm.services.planned_goals import PLAN_GOAL, note_model_failed


def register() -> None:
    """Register the kind of job."""
    jobs.register_kind(PLAN_GOAL, jobs.JobKind(_run, _failed, in_office=True))


def _run(job: Job) -> None:
    goal = Task.objects.filter(id=UUID(job.key)).first()
    if goal is not None:
        plan_goal(goal, context_chars=settings.ENVIRONMENT.plan_context_chars)


def _failed(job: Job, now: datetime) -> None:
    tries = f" (after {job.attempts} tries)" if job.attempts > 1 else ""
    note_model_failed(UUID(job.key), error=f"{job.error}{tries}", now=now)

"""A node with a reviewer, for tests of reviews."""

from __future__ import annotations

import pytest
from django.conf import settings

from swarm.jobs import run_job
from swarm.models import Job, Review, Task
from swarm.states import JobStatus


def reviewed_by(monkeypatch: pytest.MonkeyPatch, reviewer: str, command: str = "") -> None:
    """Have reports reviewed from now on: by a "human", by a "command", or by nobody ("")."""
    update = {"reviewer": reviewer, "review_command": command, "review_time_limit_s": 20}
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))


def run_reviews() -> int:
    """Run the review jobs that are due, as a worker would; returns how many."""
    due = list(Job.objects.filter(kind="review", status=JobStatus.QUEUED))
    for job in due:
        run_job(job.id)
    return len(due)


def review_of(task: Task) -> Review:
    """Return the newest review of a task."""
    return Review.objects.filter(task=task).latest("created_at")

"""How long the swarm keeps what it no longer needs."""

from __future__ import annotations

from datetime import datetime, timedelta

from swarm.models import FlakyTest, Job, LlmCall, SeenDispatch
from swarm.replication.tasks import forget_archived
from swarm.states import JobStatus

DONE_JOBS_KEPT = timedelta(days=1)
FAILED_JOBS_KEPT = timedelta(days=30)  # the operator is shown why

FLAKY_TESTS_KEPT = timedelta(days=180)  # by then it is mended, or nobody runs it any more
LLM_CALLS_KEPT = timedelta(days=180)  # what models cost in half a year
DISPATCHES_KEPT = timedelta(days=7)  # no command travels for longer


def forget_old(now: datetime) -> None:
    """Forget jobs that ended long ago; what they did is in tasks, events and runs."""
    done = Job.objects.filter(status=JobStatus.DONE, ended_at__lt=now - DONE_JOBS_KEPT)
    done.delete()
    failed = Job.objects.filter(status=JobStatus.FAILED, ended_at__lt=now - FAILED_JOBS_KEPT)
    failed.delete()
    forget_archived(now)
    FlakyTest.objects.filter(last_at__lt=now - FLAKY_TESTS_KEPT).delete()
    LlmCall.objects.filter(started_at__lt=now - LLM_CALLS_KEPT).delete()
    SeenDispatch.objects.filter(seen_at__lt=now - DISPATCHES_KEPT).delete()

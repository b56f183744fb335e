"""The slow work with forges as kinds of jobs; what fails is kept where people look."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from p2p.clock import now_utc
from p2p.protocol.errors import ExternalError
from swarm import hooks
from swarm.forge import services
from swarm.forge.delivering import deliver, end_undelivered
from swarm.forge.looking import look_at
from swarm.forge.models import FollowUp, PullRequest
from swarm.forge.opening import open_pull
from swarm.forge.resuming import resume_pulls
from swarm.models import Job
from swarm.services import jobs

BACK_OFF_FIRST_S = 15.0
BACK_OFF_MAX_S = 900.0


def register() -> None:
    """Register the kinds of jobs with the swarm's, and hear of goals that end."""
    jobs.register_kind(services.OPEN_PULL, _in_office(_run_open, _pull_failed))
    jobs.register_kind(services.LOOK_AT_PULL, _in_office(_run_look, _pull_failed))
    jobs.register_kind(services.DELIVER, _in_office(_run_deliver, _delivery_failed))
    hooks.task_listeners.append(services.on_task_moved)
    hooks.reconcilers.append(resume_pulls)


def _in_office(
    run: Callable[[Job], None], on_failed: Callable[[Job, datetime], None]
) -> jobs.JobKind:
    return jobs.JobKind(run, on_failed, in_office=True)


def _run_open(job: Job) -> None:
    pull = _pull_of(job)
    if pull is not None:
        with _kept(pull, job):
            open_pull(pull)


def _run_look(job: Job) -> None:
    pull = _pull_of(job)
    if pull is not None:
        with _kept(pull, job):
            look_at(pull)


def _run_deliver(job: Job) -> None:
    follow_up = _follow_up_of(job)
    if follow_up is not None:
        with _kept(follow_up.pull_request, job):
            deliver(follow_up)


def _pull_failed(job: Job, now: datetime) -> None:
    services.give_up(UUID(job.key), job.error, now=now)


def _delivery_failed(job: Job, now: datetime) -> None:
    follow_up = _follow_up_of(job)
    if follow_up is not None:
        end_undelivered(follow_up, job.error, now=now)


@contextlib.contextmanager
def _kept(pull: PullRequest, job: Job) -> Iterator[None]:
    """Keep a failure with the pull request, and have the next try wait as long as was asked."""
    try:
        yield
    except ExternalError as error:
        tries, now = job.attempts + 1, now_utc()
        again = error.retryable and tries < job.attempts_max
        back_off_s = min(BACK_OFF_MAX_S, BACK_OFF_FIRST_S * 2 ** (tries - 1))
        wait_s = max(error.retry_after_s or 0.0, back_off_s)
        error.retry_after_s = wait_s
        services.note_failure(
            pull.id,
            str(error),
            tries=tries,
            next_try_at=now + timedelta(seconds=wait_s) if again else None,
            now=now,
        )
        raise


def _pull_of(job: Job) -> PullRequest | None:
    rows = PullRequest.objects.select_related("goal").filter(goal__released_at__isnull=True)
    return rows.filter(id=UUID(job.key)).first()


def _follow_up_of(job: Job) -> FollowUp | None:
    rows = FollowUp.objects.select_related("goal", "pull_request__goal")
    return rows.filter(goal_id=UUID(job.key), goal__released_at__isnull=True).first()

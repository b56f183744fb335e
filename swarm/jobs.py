"""The swarm's slow work, as Celery tasks over job rows."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.db import connection, transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import Fenced, NotEmperor
from swarm.gate.gate import run_gate
from swarm.gate.preparation import prepare_goal
from swarm.models import Job
from swarm.services import goals, jobs
from swarm.states import TASK_TERMINAL

log = logging.getLogger(__name__)

RENEW_EVERY_S = jobs.LEASE_S / 3


@shared_task(name="swarm.run_job")
def run_job(job_id: int) -> None:
    """Run a job if it is due and its lane is free, then those that wait for the lane."""
    next_id: int | None = job_id
    while next_id is not None:
        job = jobs.claim(next_id, now=now_utc())
        if job is None:
            return
        _run(job)
        next_id = jobs.next_in_lane(job.lane, now=now_utc())


def nudge_worker(job_id: int) -> None:
    """Tell the Celery worker of a job; a broker that is down costs only time."""
    try:
        run_job.delay(job_id)
    except Exception as error:
        log.warning("job %s was not announced to the worker: %s", job_id, error)


def _run(job: Job) -> None:
    try:
        with _lease_kept(job):
            jobs.kind_of(job).run(job)
    except (Fenced, NotEmperor) as left:
        log.info("job %s ends: %s", job, left)
        jobs.finish(job, now=now_utc(), note=str(left))
    except ExternalError as error:
        _failed(job, str(error), retryable=error.retryable, retry_after_s=error.retry_after_s)
    except DomainError as error:
        _failed(job, str(error), retryable=error.code == "remote_moved")
    except Exception as error:
        log.exception("job %s failed by a bug", job)
        _failed(job, f"internal error: {type(error).__name__}: {error}", retryable=True)
    else:
        jobs.finish(job, now=now_utc())


def _failed(job: Job, error: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
    now = now_utc()
    log.warning("job %s: %s", job, error)
    # Together: a worker killed in between would leave a failed job that nobody learns of.
    with transaction.atomic():
        for_good = jobs.fail_or_retry(
            job, error=error, retryable=retryable, now=now, retry_after_s=retry_after_s
        )
        if for_good:
            jobs.kind_of(job).on_failed(Job.objects.get(id=job.id), now)


@contextlib.contextmanager
def _lease_kept(job: Job) -> Iterator[None]:
    over = threading.Event()

    def renew() -> None:
        try:
            while not over.wait(RENEW_EVERY_S):
                jobs.renew(job, now=now_utc())
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name=f"lease-{job.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run_preparation(job: Job) -> None:
    goal = goals.get_task(UUID(job.key))
    if goal.status == "planning":
        prepare_goal(goal)


def _run_gate(job: Job) -> None:
    goal = goals.get_task(UUID(job.key))
    if goal.status not in TASK_TERMINAL:
        run_gate(goal)


def _goal_failed(job: Job, now: datetime) -> None:
    reason = f"{job.error} (after {job.attempts} tries)" if job.attempts > 1 else job.error
    goals.fail_goal(UUID(job.key), reason=reason, now=now)


def register() -> None:
    """Register the swarm's kinds of jobs and how a worker is told of them."""
    jobs.register_kind(goals.PREPARE_GOAL, jobs.JobKind(_run_preparation, _goal_failed))
    jobs.register_kind(goals.GATE, jobs.JobKind(_run_gate, _goal_failed))
    jobs.nudge_with(nudge_worker)

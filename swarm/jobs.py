"""The swarm's slow work, as Celery tasks over job rows."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.db import connection, transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError, ExternalError
from swarm.election.state import DOUBTFUL, read_state
from swarm.errors import Fenced, NotEmperor
from swarm.gate.gate import run_gate
from swarm.gate.preparation import prepare_goal
from swarm.models import Job
from swarm.replication import terms
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
    kind = jobs.kind_of(job)
    if kind.in_office and not terms.is_emperor():
        _leave(job)
        return
    try:
        with _lease_kept(job):
            kind.run(job)
    except NotEmperor:
        _leave(job)
    except Fenced as left:
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


def _leave(job: Job) -> None:
    """Leave a job to the emperor that follows, or for later where this node may still be it."""
    state = read_state()
    if state is not None and state.standing == DOUBTFUL:
        jobs.put_off(job, reason="it was away, and asks whether it is emperor", now=now_utc())
    else:
        jobs.finish(job, now=now_utc(), note="left to another emperor")


def _failed(job: Job, error: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
    if jobs.kind_of(job).in_office and not terms.is_emperor():
        _leave(job)  # its tasks are another's now, and nothing is their fault
        return
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


def _in_office(run: Callable[[Job], None]) -> jobs.JobKind:
    return jobs.JobKind(run, _goal_failed, in_office=True)


def register() -> None:
    """Register the swarm's kinds of jobs and how a worker is told of them."""
    jobs.register_kind(goals.PREPARE_GOAL, _in_office(_run_preparation))
    jobs.register_kind(goals.GATE, _in_office(_run_gate))
    jobs.nudge_with(nudge_worker)
